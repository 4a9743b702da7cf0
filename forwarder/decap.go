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

// Decap unpacks IP-in-IP, of either family in either, that a peer sent to this host. From
// then on the packet is the inner one, and meets the same steps as any other.
var Decap = &Step{
	Word: "decap", Help: "IP-in-IP from a known peer to this host is unpacked", RFC: "RFC 2003 3, RFC 6040 4.2", RFC6: "RFC 4213 3.6, RFC 2473 3.3, RFC 6040 4.2", Quiet: true,
	run: (*Path).decap, facts: noteFacts, say: saysDecap,
}

func (x *Path) decap(p *Packet) Verdict {
	protocol, at, fragment := carried(p.IP)
	if protocol == 0 || p.In.Kind != Uplink || !x.isOwn(p.IP.Dst()) {
		return pass
	}
	t := x.Tunnel(p.IP.Src())
	if t == nil || !t.Accept {
		if protocol == packet.HeaderDestination {
			return pass
		}
		return verdict.Dropped(verdict.IPIPUnknownPeer)
	}
	if fragment {
		p.note, p.add().Action = "", WaitRest
		return hold // RFC 1812 4.2.2.8: put together what is for this host
	}
	outer, inner, six := p.IP, p.IP[at:], protocol == packet.ProtocolIPv6
	if badHeader(inner, six) != verdict.None || six && !packet.IPv6(inner).Upper().OK {
		return verdict.Dropped(verdict.IPIPBadInner)
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
	p.Frame.SetEtherType(etherTypeOf(inner))
	p.IP = packet.IP(p.Frame.Payload())
	if !p.Frame.OffloadValid() {
		return verdict.Dropped(verdict.FrameTooShort)
	}
	if p.IP.TrafficClass()&ecnMask != ecn {
		p.IP.SetECN(ecn)
	}
	if x.badAddress(p) != verdict.None || x.isLocal(p.IP.Src()) || isNear(p.IP) {
		return verdict.Dropped(verdict.IPIPBadInner)
	}
	p.From = t
	return edit
}

// carried is what a packet has of another one: the protocol, where that begins, and
// whether it is a part of it; 0: nothing. Of a fragment of IPv6 but the first it is not
// known what is behind the options that its packet may begin with.
func carried(ip packet.IP) (protocol byte, at int, fragment bool) {
	if ip.Version() == 4 {
		if p := ip[9]; p != packet.ProtocolIPIP && p != packet.ProtocolIPv6 {
			return 0, 0, false
		}
		return packet.Transport(ip)
	}
	protocol, at, fragment = packet.Transport(ip)
	if protocol != packet.ProtocolIPIP && protocol != packet.ProtocolIPv6 && !(fragment && protocol == packet.HeaderDestination) {
		return 0, 0, false
	}
	return protocol, at, fragment
}

// isNear says whether a packet is from or to somebody, or to a group, on its link alone:
// no tunnel is a link of this host.
func isNear(ip packet.IP) bool {
	if ip.Version() == 4 {
		return isLinkLocal(ip[12:16]) || isLinkLocal(ip[16:20])
	}
	src, dst := words(ip[8:]), words(ip[24:])
	return src.isLinkLocal() || dst.isLinkLocal() || dst.isGroup() || src == address6{}
}

// isLocal says whether an address is this host's or one of its workloads': no
// packet from there comes out of a tunnel.
func (x *Path) isLocal(a netip.Addr) bool {
	r := x.FIB.Lookup(a)
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
		return "not IP-in-IP to this host"
	case o.Kind == verdict.Hold:
		return waitsForRest
	case o.Reason == verdict.IPIPUnknownPeer && outer != nil:
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
