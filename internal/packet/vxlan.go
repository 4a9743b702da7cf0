package packet

import (
	"encoding/binary"
	"net/netip"
)

// Sizes in bytes, and numbers of VXLAN (RFC 7348 5).
const (
	// VXLANLen is what stands between the outer IP header and the inner packet: headers
	// of UDP, VXLAN and Ethernet.
	VXLANLen  = vxlanMin + EthernetLen
	VXLANPort = 4789
	MaxVNI    = 1<<24 - 1

	vxlanMin = UDPLen + 8
	vxlanI   = 0x08 // the flag that says that there is a network identifier
)

// VXLAN is a view on the payload of an IP packet, from the header of UDP on. Its methods
// need VXLANLen bytes, but for those of UDP, which need 8, and Valid.
type VXLAN []byte

// SrcPort tells flows from each other.
func (v VXLAN) SrcPort() uint16 { return binary.BigEndian.Uint16(v) }

// DstPort says that it is VXLAN.
func (v VXLAN) DstPort() uint16 { return binary.BigEndian.Uint16(v[2:]) }

// Len is the length of the datagram in bytes, as the header of UDP says.
func (v VXLAN) Len() int { return int(binary.BigEndian.Uint16(v[4:])) }

// HasVNI says whether a whole header with a network identifier follows that of UDP. Other
// flags are ignored (RFC 7348 5).
func (v VXLAN) HasVNI() bool { return len(v) >= vxlanMin && v[UDPLen]&vxlanI != 0 }

// VNI is the network identifier.
func (v VXLAN) VNI() uint32 { return binary.BigEndian.Uint32(v[UDPLen+4:]) >> 8 }

// DstMAC is the inner frame's destination.
func (v VXLAN) DstMAC() MAC { return MAC(v[vxlanMin:]) }

// SrcMAC is the inner frame's source.
func (v VXLAN) SrcMAC() MAC { return MAC(v[vxlanMin+6:]) }

// EtherType is the inner frame's.
func (v VXLAN) EtherType() uint16 { return binary.BigEndian.Uint16(v[vxlanMin+12:]) }

// VXLANIn is what an IP packet carries, if that is VXLAN by all appearances, around a packet;
// whatever its port, which is for those to choose who speak it. nil: it is not.
func VXLANIn(ip IP) VXLAN {
	protocol, at, fragment := Transport(ip)
	if protocol != ProtocolUDP || fragment || at > len(ip) {
		return nil
	}
	if v := VXLAN(ip[at:]); v.Inner() != nil {
		return v
	}
	return nil
}

// Inner is the packet in a datagram that is VXLAN by all appearances, as far as it is there;
// else nil. What is reserved is ignored in what goes to its port (RFC 7348 5), and 0 in what is taken for it elsewhere.
func (v VXLAN) Inner() IP {
	if len(v) <= VXLANLen || !v.HasVNI() {
		return nil
	}
	if v.DstPort() != VXLANPort && (binary.BigEndian.Uint32(v[UDPLen:]) != vxlanI<<24 || v[vxlanMin-1] != 0) {
		return nil
	}
	inner := IP(v[VXLANLen:])
	if t := v.EtherType(); t == EtherTypeIPv4 && inner.Version() == 4 || t == EtherTypeIPv6 && inner.Version() == 6 {
		return inner
	}
	return nil
}

// VXLANHeader is what PutVXLAN writes.
type VXLANHeader struct {
	SrcPort, DstPort uint16
	Len              int // of the datagram, this header included
	VNI              uint32
	Dst, Src         MAC
	EtherType        uint16
}

// PutVXLAN writes VXLANLen bytes into b, with a checksum of 0: none.
func PutVXLAN(b []byte, h *VXLANHeader) {
	b = b[:VXLANLen]
	binary.BigEndian.PutUint32(b, uint32(h.SrcPort)<<16|uint32(h.DstPort))
	binary.BigEndian.PutUint32(b[4:], uint32(uint16(h.Len))<<16)
	binary.BigEndian.PutUint64(b[UDPLen:], vxlanI<<56|uint64(h.VNI)<<8)
	copy(b[vxlanMin:], h.Dst[:])
	copy(b[vxlanMin+6:], h.Src[:])
	binary.BigEndian.PutUint16(b[vxlanMin+12:], h.EtherType)
}

// SetUDPChecksum makes that of a packet of IPv6, whose payload is a whole datagram.
func (p IPv6) SetUDPChecksum() {
	b := p[IPv6MinLen:]
	binary.BigEndian.PutUint16(b[udpChecksum:], pseudoHeader(p[8:40], ProtocolUDP, len(b)))
	putChecksum(b, udpChecksum)
}

// VTEPMAC is the hardware address that the end of a VXLAN tunnel has inside it, unless
// something else is configured: 02:76 and the four bytes of its address; of IPv6 those of
// its four quarters, one XOR the other.
func VTEPMAC(a netip.Addr) MAC {
	m := MAC{0x02, 0x76}
	if a.Is4() {
		b := a.As4()
		copy(m[2:], b[:])
		return m
	}
	b := a.As16()
	for i, x := range b {
		m[2+i%4] ^= x
	}
	return m
}
