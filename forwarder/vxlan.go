package forwarder

import (
	"fmt"
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// vxlan is what stands between the outer IP header and a packet: for the other end's
// hardware address from ours, and from a port that all packets of a flow have in common
// (RFC 7348 5). Nobody can name that who has seen none of them.
func (x *Path) vxlan(p *Packet, src, end netip.Addr) packet.VXLANHeader {
	return packet.VXLANHeader{
		SrcPort: x.vxlanPort(src, end, p.IP), DstPort: x.VXLAN.Port, VNI: x.VXLAN.VNI,
		Dst: p.Into.vtepMAC(end), Src: packet.VTEPMAC(src), EtherType: etherTypeOf(p.IP),
	}
}

// vtepMAC is the hardware address of a tunnel's end inside it.
func (t *Tunnel) vtepMAC(end netip.Addr) packet.MAC {
	if t != nil && t.MAC != (packet.MAC{}) {
		return t.MAC
	}
	return packet.VTEPMAC(end)
}

// VTEPs are the hardware addresses of this end of VXLAN to a peer, and of the other one.
func (s *State) VTEPs(peer netip.Addr) (own, other packet.MAC) {
	return packet.VTEPMAC(s.tunnelSource(peer)), s.Tunnel(peer).vtepMAC(peer)
}

// vxlanPort is one of the dynamic ports (RFC 6335 6), by the flow of the inner packet.
func (x *Path) vxlanPort(src, end netip.Addr, inner packet.IP) uint16 {
	const first, mask = 49152, 1<<14 - 1
	return first + uint16(x.label(src, end, inner)&mask)
}

// decapVXLAN unpacks what a peer sent to this host's port, and leaves other datagrams to the
// host. What a fragment belongs to the first one of its datagram says alone: those of peers
// are put together.
func (x *Path) decapVXLAN(p *Packet, at int, fragment bool) Verdict {
	if x.VXLAN.Port == 0 || p.In.Kind != Uplink {
		return pass
	}
	v := packet.VXLAN(p.IP[min(at, len(p.IP)):])
	toPort := len(v) >= packet.UDPLen && v.DstPort() == x.VXLAN.Port
	if !toPort && !fragment || !x.isOwn(p.IP.Dst()) {
		return pass
	}
	t := x.Tunnel(p.IP.Src())
	peer := t != nil && t.AcceptVXLAN
	if fragment && peer && (toPort || isLater(p.IP)) {
		p.note, p.add().Action = "", WaitRest
		return hold // RFC 1812 4.2.2.8: put together what is for this host
	}
	if !toPort || fragment && isLater(p.IP) {
		return pass
	}
	if !peer {
		return verdict.Dropped(verdict.VXLANUnknownPeer)
	}
	if v.Len() > len(v) || !v[:v.Len()].HasVNI() {
		return verdict.Dropped(verdict.VXLANBadHeader)
	}
	if v = v[:v.Len()]; v.VNI() != x.VXLAN.VNI {
		return verdict.Dropped(verdict.VXLANUnknownVNI)
	}
	six := len(v) >= packet.VXLANLen && v.EtherType() == packet.EtherTypeIPv6
	if len(v) < packet.VXLANLen || !six && v.EtherType() != packet.EtherTypeIPv4 || v.DstMAC() != packet.VTEPMAC(p.IP.Dst()) {
		return verdict.Dropped(verdict.VXLANBadInner)
	}
	if o := &p.Frame.Offload; !o.IsGSO() && o.NeedsChecksum() && int(o.CsumStart) == packet.EthernetLen+at {
		*o = packet.Offload{} // it was of the outer datagram
	}
	return x.unpack(p, t, p.IP[at+packet.VXLANLen:at+len(v)], at+packet.VXLANLen, six, verdict.VXLANBadInner)
}

// isLater says whether a fragment is another one than the first.
func isLater(ip packet.IP) bool {
	if ip.Version() == 4 {
		return packet.IPv4(ip).FragOffset() != 0
	}
	v6 := packet.IPv6(ip)
	return isLaterFragment(v6, v6.Upper())
}

// quotesVXLAN says whether an ICMP error may quote a datagram of ours, from the header of UDP
// on, and reads it as far as it goes.
func (x *Path) quotesVXLAN(q *quoted, v packet.VXLAN) bool {
	if x.VXLAN.Port == 0 || v.DstPort() != x.VXLAN.Port || v.HasVNI() && v.VNI() != x.VXLAN.VNI {
		return false
	}
	q.number = v.SrcPort()
	if len(v) > packet.VXLANLen {
		q.inner = innerOf(packet.IP(v[packet.VXLANLen:]), v.EtherType() == packet.EtherTypeIPv6)
	}
	return true
}

// fewMore is how many numbers behind that of a superframe's first segment may be those of
// the others: the kernel counts on, and the port is the same. Who quotes the inner packet
// proves that he has not guessed the port.
func (x *Path) fewMore(q *quoted) uint16 {
	const segments = 63
	if q.encap == rib.VXLAN && whole(q.inner) && x.vxlanPort(q.outer.Src(), q.Peer, q.inner) == q.number {
		return segments
	}
	return 0
}

func saysVXLAN(ip packet.IP, v packet.VXLAN) string {
	return fmt.Sprintf("%s:%d > %s:%d vxlan vni %d ttl %d, %d bytes, for %s", ip.Src(), v.SrcPort(), ip.Dst(), v.DstPort(), v.VNI(), ip.HopLimit(), ip.Len(), v.DstMAC())
}
