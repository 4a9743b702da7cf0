package trace

import (
	"fmt"
	"strings"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// detail says in one line what a step did, or why it refused: from the frame
// before and after it, and from the facts it decided by.
func (r *Record) detail(st *step, before, after []byte) string {
	if st.verdict.Kind == verdict.Drop {
		return dropDetail(st)
	}
	switch st.step {
	case verdict.RX:
		return strings.TrimSpace(r.In + "  " + macs(after))
	case verdict.ARP, verdict.Local:
		return st.facts.Note
	case verdict.Decap:
		return decapDetail(before, after)
	case verdict.Route:
		if st.facts.Route != nil {
			return st.facts.Route.String()
		}
	case verdict.TTL:
		return ttlDetail(before, after)
	case verdict.MTU:
		if st.verdict.Kind == verdict.Edit {
			return fmt.Sprintf("cut into fragments of at most %d bytes", st.facts.N)
		}
	case verdict.Encap:
		return encapDetail(st, after)
	case verdict.Neigh:
		if len(after) >= packet.EthernetLen && st.verdict.Kind == verdict.Edit {
			return fmt.Sprintf("%s is %s%s", st.facts.Addr, packet.MAC(after), st.facts.Note)
		}
		if st.facts.Note != "" {
			return st.facts.Addr.String() + st.facts.Note
		}
	case verdict.TX:
		return r.Out
	}
	return ""
}

func dropDetail(st *step) string {
	info := st.verdict.Reason.Info()
	f := &st.facts
	switch st.verdict.Reason {
	case verdict.RPFFailed:
		return fmt.Sprintf("%s: the workload is %s", info.Word, f.Addr)
	case verdict.MTUExceeded:
		return fmt.Sprintf("%s: %d bytes fit", info.Word, f.N)
	case verdict.NeighborUnresolved, verdict.NeighborQueueFull:
		return fmt.Sprintf("%s: next hop %s", info.Word, f.Addr)
	case verdict.NotForRouter:
		if f.MAC.IsUnicast() {
			return fmt.Sprintf("%s: this port is %s", info.Word, f.MAC)
		}
	case verdict.Blackhole, verdict.UnreachableRoute, verdict.ProhibitRoute:
		if f.Route != nil {
			return fmt.Sprintf("%s: %s", info.Word, f.Route)
		}
	}
	return fmt.Sprintf("%s: %s", info.Word, info.Help)
}

func macs(frame []byte) string {
	if len(frame) < packet.EthernetLen {
		return ""
	}
	return fmt.Sprintf("%s > %s", packet.MAC(frame[6:]), packet.MAC(frame))
}

func ttlDetail(before, after []byte) string {
	b, a := ipv4(before), ipv4(after)
	if a == nil || b == nil || a.TTL() == b.TTL() {
		return ""
	}
	return fmt.Sprintf("ttl %d > %d, checksum %04x > %04x", b.TTL(), a.TTL(), b.HeaderChecksum(), a.HeaderChecksum())
}

func encapDetail(st *step, after []byte) string {
	ip := ipv4(after)
	if st.verdict.Kind != verdict.Edit || ip == nil {
		return ""
	}
	return fmt.Sprintf("%s > %s proto %d ttl %d, %d bytes", ip.Src(), ip.Dst(), ip.Protocol(), ip.TTL(), ip.TotalLen())
}

func decapDetail(before, after []byte) string {
	outer, inner := ipv4(before), ipv4(after)
	if outer == nil || inner == nil || len(before) == len(after) && outer.Protocol() == inner.Protocol() {
		return ""
	}
	return fmt.Sprintf("from %s: %s > %s ttl %d, %d bytes", outer.Src(), inner.Src(), inner.Dst(), inner.TTL(), inner.TotalLen())
}
