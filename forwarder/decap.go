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

// Decap unpacks IP-in-IP that a peer sent to this host. From then on the packet
// is the inner one, and meets the same steps as any other.
var Decap = &Step{
	Word: "decap", Help: "IP-in-IP from a known peer to this host is unpacked", RFC: "RFC 2003 3, RFC 6040 4.2", Quiet: true,
	run: (*Path).decap, facts: noteFacts, say: saysDecap,
}

func (x *Path) decap(p *Packet) Verdict {
	if p.IP.Version() != 4 {
		return pass
	}
	outer := packet.IPv4(p.IP)
	if outer.Protocol() != packet.ProtocolIPIP || p.In.Kind != Uplink || !x.isOwn(p.IP.Dst()) {
		return pass
	}
	t := x.Tunnel(p.IP.Src())
	if t == nil || !t.Accept {
		return verdict.Dropped(verdict.IPIPUnknownPeer)
	}
	if outer.IsFragment() {
		p.note, p.add().Action = "", WaitRest
		return hold // RFC 1812 4.2.2.8: put together what is for this host
	}
	inner := packet.IPv4(outer.Payload())
	if badHeader4(inner) != verdict.None {
		return verdict.Dropped(verdict.IPIPBadInner)
	}
	if inner.TTL() == 0 {
		return verdict.Dropped(verdict.IPIPInnerTTLZero)
	}
	ecn, ok := innerECN(inner.TOS()&ecnMask, outer.TOS()&ecnMask)
	if !ok {
		return verdict.Dropped(verdict.IPIPECN)
	}
	p.Frame.Strip(outer.HeaderLen())
	p.Frame.Trim(inner.TotalLen())
	p.IP = packet.IP(p.Frame.Payload())
	if !p.Frame.OffloadValid() {
		return verdict.Dropped(verdict.FrameTooShort)
	}
	if p.IP.TrafficClass()&ecnMask != ecn {
		p.IP.SetECN(ecn)
	}
	if x.badAddress(p) != verdict.None || x.isLocal(p.IP.Src()) || isLinkLocal(p.IP[12:16]) || isLinkLocal(p.IP[16:20]) {
		return verdict.Dropped(verdict.IPIPBadInner)
	}
	p.From = t
	return edit
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
