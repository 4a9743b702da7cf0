package packet

import "net/netip"

// ND options: of a solicitation its sender's hardware address, of an advertisement the
// target's (RFC 4861 4.6.1).
const (
	ndSourceMAC = 1
	ndTargetMAC = 2
	ndOptionLen = 8 // of either over Ethernet
)

const (
	// NDHopLimit is that of all messages: no router has passed them on (RFC 4861 11.2).
	NDHopLimit = 255
	// ndLen is the length in bytes of a solicitation or an advertisement without options.
	ndLen = 24
)

const (
	ndRouter    = 0x80
	ndSolicited = 0x40
	ndOverride  = 0x20
)

// ND is a message of Neighbor Discovery (RFC 4861 4).
type ND struct {
	Type     byte       // ICMPv6RouterSolicitation to ICMPv6Redirect
	Src, Dst netip.Addr // of its packet
	Target   netip.Addr // it speaks of; zero where it is about routers
	MAC      MAC        // of the target in an advertisement or a redirect, else of the sender; zero: it is not said

	Router, Solicited, Override bool // of an advertisement
}

// ndKinds are what the kinds of messages must have, and where their options begin.
var ndKinds = [...]struct {
	len    int
	option byte // that has the hardware address
	target bool
	near   bool // the source is link-local
}{
	0: {len: 8, option: ndSourceMAC},
	ICMPv6RouterAdvertisement - ICMPv6RouterSolicitation:   {len: 16, option: ndSourceMAC, near: true},
	ICMPv6NeighborSolicitation - ICMPv6RouterSolicitation:  {len: ndLen, option: ndSourceMAC, target: true},
	ICMPv6NeighborAdvertisement - ICMPv6RouterSolicitation: {len: ndLen, option: ndTargetMAC, target: true},
	ICMPv6Redirect - ICMPv6RouterSolicitation:              {len: 40, option: ndTargetMAC, target: true, near: true},
}

// IsND says whether a type of ICMPv6 is one of Neighbor Discovery's.
func IsND(icmpType byte) bool {
	return icmpType >= ICMPv6RouterSolicitation && icmpType <= ICMPv6Redirect
}

// IsMLD says whether a type of ICMPv6 is one of Multicast Listener Discovery's.
func IsMLD(icmpType byte) bool {
	return icmpType >= ICMPv6ListenerQuery && icmpType <= ICMPv6ListenerDone || icmpType == ICMPv6ListenerReportVersion2
}

// ParseND reads an IPv6 packet that carries a message of Neighbor Discovery. It refuses
// what RFC 4861 6.1, 7.1 and 8.1 have a node discard in silence, what has a fragment
// header (RFC 6980 5), and a hardware address that cannot be one station's.
func ParseND(ip IPv6) (m ND, ok bool) {
	u := ip.Upper()
	if !u.OK || u.Protocol != ProtocolICMPv6 || u.Fragment != 0 || ip.HopLimit() != NDHopLimit {
		return m, false
	}
	b := ip[u.At:ip.end()]
	if len(b) < ICMPHeaderLen || !IsND(b[0]) || b[1] != 0 || ICMPv6Sum(ip, u.At) != 0xffff {
		return m, false
	}
	kind := &ndKinds[b[0]-ICMPv6RouterSolicitation]
	m = ND{Type: b[0], Src: ip.Src(), Dst: ip.Dst()}
	if len(b) < kind.len || m.Src.IsMulticast() || kind.near && !m.Src.IsLinkLocalUnicast() {
		return m, false
	}
	if kind.target {
		m.Target = netip.AddrFrom16([16]byte(b[8:24]))
	}
	if m.Type == ICMPv6NeighborAdvertisement {
		m.Router, m.Solicited, m.Override = b[4]&ndRouter != 0, b[4]&ndSolicited != 0, b[4]&ndOverride != 0
	}
	return m, m.options(b[kind.len:], kind.option) && m.valid(b)
}

// options takes over the hardware address. Options that are not known are skipped
// (RFC 4861 4.6); of two of a kind the first counts.
func (m *ND) options(b []byte, wanted byte) bool {
	for len(b) > 0 {
		if len(b) < 2 {
			return false
		}
		n := int(b[1]) * 8
		if n == 0 || n > len(b) {
			return false
		}
		if b[0] == wanted && m.MAC == (MAC{}) {
			if m.MAC = MAC(b[2:8]); n != ndOptionLen || !m.MAC.IsUnicast() {
				return false
			}
		}
		b = b[n:]
	}
	return true
}

// valid says whether the fields of the message agree with each other.
func (m *ND) valid(b []byte) bool {
	nobody := m.Src.IsUnspecified()
	switch m.Type {
	case ICMPv6RouterSolicitation: // RFC 4861 6.1.1
		return !nobody || m.MAC == MAC{}
	case ICMPv6NeighborSolicitation: // 7.1.1
		return isTarget(m.Target) && (!nobody || m.MAC == MAC{} && IsSolicitedNode(m.Dst))
	case ICMPv6NeighborAdvertisement: // 7.1.2
		return isTarget(m.Target) && !nobody && !(m.Solicited && m.Dst.IsMulticast())
	case ICMPv6Redirect: // 8.1
		dst := netip.AddrFrom16([16]byte(b[24:40]))
		return !dst.IsMulticast() && (m.Target.IsLinkLocalUnicast() || m.Target == dst)
	}
	return true
}

// isTarget says whether an address can be one station's.
func isTarget(a netip.Addr) bool { return !a.IsMulticast() && !a.IsUnspecified() }

// IsProbe says whether the sender only asks if the address is taken (RFC 4862 5.4).
func (m *ND) IsProbe() bool { return m.Type == ICMPv6NeighborSolicitation && m.Src.IsUnspecified() }

// Len is the length in bytes of the packet that Put writes.
func (m *ND) Len() int {
	if m.MAC == (MAC{}) {
		return IPv6MinLen + ndLen
	}
	return IPv6MinLen + ndLen + ndOptionLen
}

// Put writes a neighbour solicitation or advertisement with its IPv6 header into b,
// which has Len bytes.
func (m *ND) Put(b []byte) {
	ip := IPv6(b[:m.Len()])
	PutIPv6(ip, &Header6{
		PayloadLen: len(ip) - IPv6MinLen, NextHeader: ProtocolICMPv6, HopLimit: NDHopLimit, Src: m.Src, Dst: m.Dst,
	})
	icmp := ip[IPv6MinLen:]
	clear(icmp[:8])
	icmp[0] = m.Type
	target, option := m.Target.As16(), byte(ndSourceMAC)
	copy(icmp[8:], target[:])
	if m.Type == ICMPv6NeighborAdvertisement {
		icmp[4], option = m.flags(), ndTargetMAC
	}
	if len(icmp) > ndLen {
		icmp[ndLen], icmp[ndLen+1] = option, ndOptionLen/8
		copy(icmp[ndLen+2:], m.MAC[:])
	}
	SetICMPv6Checksum(ip, IPv6MinLen)
}

func (m *ND) flags() (b byte) {
	if m.Router {
		b |= ndRouter
	}
	if m.Solicited {
		b |= ndSolicited
	}
	if m.Override {
		b |= ndOverride
	}
	return b
}

// PutND makes f the Ethernet frame of a message, from one station to another; to the
// zero address, to the group that its destination is.
func PutND(f *Frame, m *ND, from, to MAC) {
	if to == (MAC{}) {
		to = GroupMAC(m.Dst)
	}
	f.Reset(EthernetLen + m.Len())
	f.SetEthernet(to, from, EtherTypeIPv6)
	m.Put(f.Payload())
}
