package trace

import (
	"encoding/binary"
	"fmt"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// mend is what the reader can do about a drop: nothing, where a link carries what is
// between others.
func (r *Record) mend() string {
	v, last := r.Outcome, &r.steps[max(0, r.numSteps-1)]
	switch {
	case v.Reason == verdict.UnknownEthertype && !v.Noise:
		return foreign(r.frame(0))
	case v.Reason == verdict.MartianSource && last.facts.Note != "":
		return "does another station have this host's address, or does a switch send frames back?"
	case last.facts.Note != "" && (last.step == forwarder.ARP || last.step == forwarder.ND):
		return last.facts.Note + ": nothing is wrong"
	case v.Noise && v.Reason != verdict.ARPIgnored && v.Reason != verdict.NDIgnored && v.Reason != verdict.NotForRouter:
		if what := forwarder.Business(r.frame(0)); what != "" {
			return what + ", which is between others on this link: nothing is wrong"
		}
	}
	if here := r.mendHere(last); here != "" {
		return here
	}
	return v.Reason.Info().Mend
}

// mendHere is the advice that names what it is about: the next hop, the route, the peer; "" where nothing is known of it.
func (r *Record) mendHere(last *step) string {
	switch reason := r.Outcome.Reason; reason {
	case verdict.NeighborUnresolved:
		if last.facts.Addr.IsValid() {
			return fmt.Sprintf("is %s up, and on this link? vrouter show neighbors", last.facts.Addr)
		}
	case verdict.Blackhole, verdict.UnreachableRoute, verdict.ProhibitRoute:
		if last.facts.Route != nil {
			return fmt.Sprintf("remove the route `%s` if it is not meant", last.facts.Route)
		}
	case verdict.IPIPUnknownPeer, verdict.VXLANUnknownPeer:
		if b := r.frame(0); len(b) >= packet.EthernetLen+packet.IPv6MinLen {
			if ip := packet.IP(b[packet.EthernetLen:]); ip.Version() == 4 || ip.Version() == 6 {
				list := "ipip.peers"
				if reason == verdict.VXLANUnknownPeer {
					list = "vxlan.peers"
				}
				return fmt.Sprintf("add %s to `%s` if it is a host of yours", ip.Src(), list)
			}
		}
	}
	return ""
}

// foreign says what to do about a frame that the router was sent and does not speak.
func foreign(frame []byte) string {
	if len(frame) < packet.EthernetLen {
		return ""
	}
	switch t := binary.BigEndian.Uint16(frame[12:]); t {
	case 0x8100, 0x88a8:
		return "what has a VLAN's tag is for an interface of that VLAN, which the uplink may be"
	default:
		return fmt.Sprintf("IPv4 and IPv6 alone are routed: why does its sender take this router for one of ethertype 0x%04x?", t)
	}
}
