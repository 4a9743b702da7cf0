package forwarder

import (
	"fmt"
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

const (
	ecnMask = 3
	notECT  = 0
	ect1    = 1
	ect0    = 2
	ce      = 3
)

// Decap unpacks IP-in-IP and VXLAN, of either family in either, that a peer sent to this host. From
// then on the packet is the inner one, and meets the same steps as any other.
var Decap = &Step{
	Word: "decap", Help: "IP-in-IP or VXLAN from a known peer to this host is unpacked", RFC: "RFC 2003 3, RFC 6040 4.2", RFC6: "RFC 4213 3.6, RFC 2473 3.3, RFC 6040 4.2", RFCVXLAN: "RFC 7348 5, RFC 6040 4.2", Quiet: true,
	run: (*Path).decap, facts: noteFacts, say: saysDecap,
}

func (x *Path) decap(p *Packet) Verdict {
	if p.six {
		return x.decap6(p)
	}
	ip := packet.IPv4(p.IP)
	protocol := ip.Protocol()
	if protocol == packet.ProtocolUDP && x.VXLAN.Port != 0 {
		return x.decapVXLAN(p, ip.HeaderLen(), ip.IsFragment())
	}
	if protocol != packet.ProtocolIPIP && protocol != packet.ProtocolIPv6 || p.In.Kind != Uplink || !x.isOwn(ip.Dst()) {
		return pass
	}
	t := x.Tunnel(ip.Src())
	if t == nil || !t.Accept {
		return verdict.Dropped(verdict.IPIPUnknownPeer)
	}
	return x.unpackIP(p, t, protocol == packet.ProtocolIPv6, ip.HeaderLen(), ip.IsFragment())
}

func (x *Path) decap6(p *Packet) Verdict {
	ip := packet.IPv6(p.IP)
	switch {
	case p.In.Kind != Uplink:
		return pass
	case ip.NextHeader() == packet.ProtocolUDP && x.VXLAN.Port != 0:
		return x.decapVXLAN(p, packet.IPv6MinLen, false)
	case ip.IsPlain():
		return pass
	}
	protocol, at, fragment := packet.Transport(p.IP)
	if protocol == packet.ProtocolUDP {
		return x.decapVXLAN(p, at, fragment)
	}
	if !isIPInIP(p.IP, protocol, fragment) || !x.isOwn(ip.Dst()) {
		return pass
	}
	switch t := x.Tunnel(ip.Src()); {
	case t != nil && t.Accept:
		return x.unpackIP(p, t, protocol == packet.ProtocolIPv6, at, fragment)
	case protocol == packet.HeaderDestination:
		return pass
	}
	return verdict.Dropped(verdict.IPIPUnknownPeer)
}

// unpackIP unpacks IP-in-IP: the inner packet is IPv6 or not, and begins at a place.
func (x *Path) unpackIP(p *Packet, t *Tunnel, six bool, at int, fragment bool) Verdict {
	if fragment {
		p.note, p.add().Action = "", WaitRest
		return hold // RFC 1812 4.2.2.8: put together what is for this host
	}
	return x.unpack(p, t, p.IP[at:], at, six, verdict.IPIPBadInner)
}

// unpack takes all that is in front of a packet away that came by a tunnel, and begins at a
// place; bad is why it is dropped if it is none.
func (x *Path) unpack(p *Packet, t *Tunnel, inner packet.IP, at int, six bool, bad Reason) Verdict {
	outer := p.IP
	if isBroken(inner, six) {
		return verdict.Dropped(bad)
	}
	if inner.HopLimit() == 0 {
		return verdict.Dropped(verdict.IPIPInnerTTLZero)
	}
	ecn, ok := innerECN(inner.TrafficClass()&ecnMask, outer.TrafficClass()&ecnMask)
	if !ok {
		return verdict.Dropped(verdict.IPIPECN)
	}
	p.Frame.Strip(at)
	p.Frame.Trim(inner.Len())
	if six != p.six {
		p.Frame.SetEtherType(etherTypeOf(inner))
	}
	p.IP, p.six = packet.IP(p.Frame.Payload()), six
	if !p.Frame.OffloadValid() {
		return verdict.Dropped(verdict.FrameTooShort)
	}
	if p.IP.TrafficClass()&ecnMask != ecn {
		p.IP.SetECN(ecn)
	}
	if x.badInner(p) != verdict.None || x.isLocal(p.IP.Src()) {
		return verdict.Dropped(bad)
	}
	p.From = t
	return edit
}

// badInner is badAddress of what was in a tunnel, which is no link of this host: nothing
// there is from or to somebody, or a group, on its link alone.
func (x *Path) badInner(p *Packet) Reason {
	if !p.six {
		if isLinkLocal(p.IP[12:16]) || isLinkLocal(p.IP[16:20]) {
			return verdict.LinkLocal
		}
		return x.badAddress(p)
	}
	src, dst := words(p.IP[8:]), words(p.IP[24:])
	if src.isLinkLocal() || dst.isLinkLocal() || dst.isGroup() || src == (address6{}) {
		return verdict.LinkLocal
	}
	return x.badAddress6(p)
}

// isBroken says whether there is no valid header of a family.
func isBroken(ip packet.IP, six bool) bool {
	if six {
		return badHeader6(packet.IPv6(ip)) != verdict.None || !packet.IPv6(ip).Upper().OK
	}
	return badHeader(packet.IPv4(ip)) != verdict.None
}

// isIPInIP says whether a packet has another one behind its headers, of a protocol. Of a
// fragment of IPv6 but the first it is not known what is behind the options that its packet
// may begin with.
func isIPInIP(ip packet.IP, protocol byte, fragment bool) bool {
	return protocol == packet.ProtocolIPIP || protocol == packet.ProtocolIPv6 ||
		protocol == packet.HeaderDestination && fragment && ip.Version() == 6
}

// isLocal says whether an address is this host's or one of its workloads': no
// packet from there comes out of a tunnel.
func (x *Path) isLocal(a netip.Addr) bool {
	r := x.lookup(a)
	return x.isOwn(a) || r != nil && r.Source == rib.Workload
}

// innerECN is the table of RFC 6040 4.2: what leaves a tunnel, from what came in
// it; not ok where a congestion mark would be lost.
func innerECN(inner, outer byte) (ecn byte, ok bool) {
	switch {
	case inner == notECT:
		return notECT, outer != ce
	case outer == ce:
		return ce, true
	case inner == ect0 && outer == ect1:
		return ect1, true
	}
	return inner, true
}

func saysDecap(o *Seen) string {
	outer, inner := header(o.Before), header(o.After)
	switch {
	case o.Kind == verdict.Pass:
		return "not in a tunnel to this host"
	case o.Kind == verdict.Hold:
		return waitsForRest
	case (o.Reason == verdict.IPIPUnknownPeer || o.Reason == verdict.VXLANUnknownPeer) && outer != nil:
		return fmt.Sprintf("from %s to %s: no peer of this host", outer.Src(), outer.Dst())
	case o.Kind == verdict.Consume:
		return finished
	case o.Reason == verdict.ReassemblyLimit:
		return o.Note
	case o.Kind == verdict.Drop || outer == nil || inner == nil:
		return ""
	}
	return fmt.Sprintf("from %s: %s > %s ttl %d, %d bytes", outer.Src(), inner.Src(), inner.Dst(), inner.HopLimit(), inner.Len())
}

// What is said of fragments for the router itself (RFC 1812 4.2.2.8).
const (
	waitsForRest = "a fragment: kept until the rest of its datagram has come"
	finished     = "a fragment; the whole datagram goes on with the last one"
)
