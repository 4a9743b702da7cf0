package trace

import (
	"fmt"
	"strings"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// detail says in one line what a step did and by what it decided, or why it
// refused: from the frame before and after it, and from its facts.
func (r *Record) detail(st *step, before, after []byte) string {
	switch st.verdict.Kind {
	case verdict.Drop:
		return dropDetail(st, before)
	case verdict.Consume:
		if st.facts.Note == "" {
			return business(before) + ", which is between others: taken in silence"
		}
		return st.facts.Note
	}
	switch st.step {
	case verdict.RX:
		return strings.TrimSpace(r.In + "  " + macs(after))
	case verdict.ARP:
		return "not ARP"
	case verdict.Check:
		return checkDetail(after)
	case verdict.Decap:
		return decapDetail(st, before, after)
	case verdict.RPF:
		return rpfDetail(st, after)
	case verdict.Local:
		return localDetail(after)
	case verdict.Route:
		if st.facts.Route != nil {
			return st.facts.Route.String()
		}
	case verdict.TTL:
		return r.ttlDetail(st, before, after)
	case verdict.MTU:
		return mtuDetail(st)
	case verdict.Encap:
		return encapDetail(st, after)
	case verdict.Neigh:
		return neighDetail(st, after)
	case verdict.TX:
		return r.Out
	}
	return ""
}

// dropDetail names the reason, and what it is about: the fact that the step decided
// by, where there is one, or what the reason means.
func dropDetail(st *step, frame []byte) string {
	info := st.verdict.Reason.Info()
	why := info.Help
	if about := dropFact(st, frame); about != "" {
		why = about
	}
	return info.Word + ": " + why
}

func dropFact(st *step, frame []byte) string {
	f, ip := &st.facts, ipv4(frame)
	switch st.verdict.Reason {
	case verdict.ReassemblyLimit, verdict.MartianSource:
		return f.Note
	case verdict.RPFFailed:
		return "the workload is " + f.Addr.String()
	case verdict.MTUExceeded:
		return mtuSum(f)
	case verdict.NeighborUnresolved, verdict.NeighborQueueFull:
		return "next hop " + f.Addr.String()
	case verdict.NotForRouter:
		if f.MAC.IsUnicast() {
			return "this port is " + f.MAC.String()
		}
	case verdict.Blackhole, verdict.UnreachableRoute, verdict.ProhibitRoute:
		if f.Route != nil {
			return f.Route.String()
		}
	}
	if ip == nil {
		return ""
	}
	switch st.verdict.Reason {
	case verdict.NoRoute:
		return "no route contains " + ip.Dst().String()
	case verdict.IPIPUnknownPeer:
		return fmt.Sprintf("from %s to %s: no peer of this host", ip.Src(), ip.Dst())
	}
	return ""
}

func macs(frame []byte) string {
	if len(frame) < packet.EthernetLen {
		return ""
	}
	return fmt.Sprintf("%s > %s", packet.MAC(frame[6:]), packet.MAC(frame))
}

func checkDetail(frame []byte) string {
	ip := ipv4(frame)
	if ip == nil {
		return ""
	}
	return fmt.Sprintf("header of %d bytes, %d in all, checksum %04x is right", ip.HeaderLen(), ip.TotalLen(), ip.HeaderChecksum())
}

func decapDetail(st *step, before, after []byte) string {
	if st.verdict.Kind == verdict.Pass {
		return "not IP-in-IP to this host"
	}
	outer, inner := ipv4(before), ipv4(after)
	if outer == nil || inner == nil {
		return ""
	}
	return fmt.Sprintf("from %s: %s > %s ttl %d, %d bytes", outer.Src(), inner.Src(), inner.Dst(), inner.TTL(), inner.TotalLen())
}

func rpfDetail(st *step, frame []byte) string {
	ip := ipv4(frame)
	switch {
	case !st.facts.Addr.IsValid():
		return "only a workload is held to one source"
	case ip != nil && ip.Src() == st.facts.Addr:
		return st.facts.Addr.String() + " is the workload's own"
	}
	return "rpf is off"
}

func localDetail(frame []byte) string {
	ip := ipv4(frame)
	if ip == nil {
		return ""
	}
	return ip.Dst().String() + " is not for the router to take"
}

func (r *Record) ttlDetail(st *step, before, after []byte) string {
	if st.verdict.Kind == verdict.Pass {
		if r.In == "" {
			return "the router's own packet"
		}
		return "between the host and its router"
	}
	b, a := ipv4(before), ipv4(after)
	if a == nil || b == nil {
		return ""
	}
	return fmt.Sprintf("ttl %d > %d, checksum %04x > %04x", b.TTL(), a.TTL(), b.HeaderChecksum(), a.HeaderChecksum())
}

func mtuDetail(st *step) string {
	if st.verdict.Kind == verdict.Edit {
		return fmt.Sprintf("%s: cut into %d fragments", mtuSum(&st.facts), st.facts.Pieces)
	}
	return mtuSum(&st.facts)
}

// mtuSum is the sum by which mtu decides, such as "1481 bytes, 1500 - 20 = 1480 fit".
func mtuSum(f *Facts) string {
	link := f.Fit + f.Outer
	fit := fmt.Sprint(f.Fit)
	if f.Outer > 0 {
		fit = fmt.Sprintf("%d - %d = %d", link, f.Outer, f.Fit)
	}
	if link < f.MTU {
		fit = "the tunnel's path carries " + fit
	}
	return fmt.Sprintf("%d bytes, %s fit", f.Size, fit)
}

func encapDetail(st *step, after []byte) string {
	if st.verdict.Kind == verdict.Pass {
		return "the route has no encapsulation"
	}
	ip := ipv4(after)
	if ip == nil {
		return ""
	}
	return fmt.Sprintf("%s > %s proto %d ttl %d, %d bytes", ip.Src(), ip.Dst(), ip.Protocol(), ip.TTL(), ip.TotalLen())
}

func neighDetail(st *step, after []byte) string {
	f := &st.facts
	if st.verdict.Kind == verdict.Pass || len(after) < packet.EthernetLen {
		return f.Addr.String() + f.Note
	}
	text := fmt.Sprintf("%s is %s", f.Addr, packet.MAC(after))
	if f.Age > 0 {
		text += ", confirmed " + ago(f.Age)
	}
	return text + f.Note
}

// ago is a time as one says it.
func ago(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s ago", d.Seconds())
	}
	return fmt.Sprintf("%.0f s ago", d.Seconds())
}
