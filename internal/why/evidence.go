package why

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/internal/walk"
)

func sorted(m map[string]*Host) []string { return slices.Sorted(maps.Keys(m)) }

// has says whether ADDRESS/LENGTH is an address's.
func has(prefixes []string, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(text string) bool {
		p, err := netip.ParsePrefix(text)
		return err == nil && p.Addr() == a
	})
}

// between says whether a packet, or one that it carries, goes from one of two addresses to the other.
func between(frame []byte, a, b netip.Addr) bool {
	for ip := packet.IP(frame[min(len(frame), packet.EthernetLen):]); len(ip) >= packet.IPv4MinLen; {
		if v := ip.Version(); v != 4 && (v != 6 || len(ip) < packet.IPv6MinLen) {
			return false
		}
		if src, dst := ip.Src(), ip.Dst(); src == a && dst == b || src == b && dst == a {
			return true
		}
		ip = packet.Inside(ip)
	}
	return false
}

// drops looks for packets of the two that a host has dropped lately, and would drop again.
func (q *inquiry) drops() (bool, error) {
	for _, name := range sorted(q.Known) {
		for _, p := range slices.Backward(q.Known[name].Dropped) {
			if p.Frame == nil || q.Now.Sub(p.Time) > recent || !between(p.Frame.Bytes, q.src, q.dst) {
				continue
			}
			if p.Reason == verdict.TTLExceeded.String() || p.Reason == verdict.MTUExceeded.String() { // a traceroute's, or of path MTU discovery
				continue
			}
			again, err := q.again(name, &p)
			if err != nil {
				return false, err
			}
			if again {
				r, _ := verdict.ReasonNamed(p.Reason)
				q.answer.Reaches = false
				return q.is(Cause(p.Reason), name, q.on(name, fmt.Sprintf("show packets %d", p.ID)), "%s dropped such a packet %s ago, %s: %s (%s)%s",
					name, max(0, q.Now.Sub(p.Time)).Round(100*time.Millisecond), p.Summary, r.Info().Help, p.Reason, mend(r))
			}
		}
	}
	return q.spoofed()
}

// seen notes the last packet of the two that each host has recorded as passed on, each way.
func (q *inquiry) seen() {
	for _, name := range sorted(q.Known) {
		told := map[string]bool{}
		for _, p := range slices.Backward(q.Known[name].Forwarded) {
			if p.Frame == nil || q.Now.Sub(p.Time) > recent || told[p.Out] || !between(p.Frame.Bytes, q.src, q.dst) {
				continue
			}
			told[p.Out] = true
			q.answer.Seen = append(q.answer.Seen, fmt.Sprintf("%s passed it on from %s to %s, %s ago: %s", name, p.In, p.Out, max(0, q.Now.Sub(p.Time)).Round(100*time.Millisecond), p.Summary))
		}
	}
}

func mend(r verdict.Reason) string {
	if m := r.Info().Mend; m != "" {
		return "; " + m
	}
	return ""
}

// again says whether a host would drop a packet for the same reason now.
func (q *inquiry) again(host string, p *trace.Packet) (bool, error) {
	h := q.host(host)
	if h == nil || h.Err != nil || p.In == "" {
		return false, nil
	}
	if p.Reason == verdict.ReassemblyTimeout.String() {
		return true, nil
	}
	a, err := h.Ask(q.ctx, walk.Question{In: p.In, Frame: p.Frame.Padded()})
	if err != nil {
		return false, err
	}
	return a.Packets[0].Outcome == trace.Dropped && a.Packets[0].Reason == p.Reason, nil
}

// spoofed looks for what the source's workload, or any, has sent with an address that is not its own.
func (q *inquiry) spoofed() (bool, error) {
	owner, port := q.ownerOf(q.src)
	for _, name := range sorted(q.Known) {
		for _, p := range slices.Backward(q.Known[name].Dropped) {
			mine := owner != nil && name == owner.Name && p.In == port.Name && p.Dst == q.dst.String()
			if p.Reason != verdict.RPFFailed.String() || q.Now.Sub(p.Time) > recent || !mine && p.Src != q.src.String() {
				continue
			}
			again, err := q.again(name, &p)
			if err != nil {
				return false, err
			}
			if again {
				q.answer.Reaches = false
				return q.is(Cause(p.Reason), name+"/"+p.In, q.shell(name, p.In, "ip addr"), "%s of %s sends from %s, which is not its address: %s drops that (rpf_failed)", p.In, name, p.Src, name)
			}
		}
	}
	return false, nil
}

// held looks for datagrams of the two, or of the tunnel between their hosts, that wait for fragments.
func (q *inquiry) held() (bool, error) {
	for _, name := range sorted(q.Known) {
		for _, held := range q.Known[name].Held {
			if held.For != "fragments" || !q.onTheWay(&held) {
				continue
			}
			q.answer.Reaches = false
			return q.is(Fragments, name, q.on(name, "show held"), "%s waits since %.1f s for fragments of a datagram from %s to %s that have not come: %s", name, held.Age, held.Src, held.Dst, held.Missing)
		}
	}
	return false, nil
}

func (q *inquiry) onTheWay(h *control.Held) bool {
	ends := []netip.Addr{q.src, q.dst}
	for _, name := range q.answer.Path {
		ends = append(ends, q.host(name).Addresses...)
	}
	src, err1 := netip.ParseAddr(h.Src)
	dst, err2 := netip.ParseAddr(h.Dst)
	return err1 == nil && err2 == nil && slices.Contains(ends, src) && slices.Contains(ends, dst)
}

// faults looks at what doctor says of the hosts on the way, and at what the two workloads have made of their set-up.
func (q *inquiry) faults() (bool, error) {
	for _, a := range []netip.Addr{q.src, q.dst} {
		h, p := q.ownerOf(a)
		if h == nil || q.Known[h.Name] == nil {
			continue
		}
		for _, w := range q.Known[h.Name].Workloads {
			if w.Name == p.Name && w.Note != "" {
				return q.though(Waiting, h.Name+"/"+w.Name, q.on(h.Name, "reload"), ", as far as the routers know; but %s of %s is not as it was set up: %s", w.Name, h.Name, w.Note)
			}
		}
	}
	for _, name := range slices.Compact(slices.Concat(q.answer.Path, q.answer.Back)) {
		k := q.Known[name]
		if k == nil {
			continue
		}
		for _, f := range k.Faults {
			cause, what := HostFault, f.Means
			if f.Name == "ip_forward" || f.Name == "guard" || f.Name == "ipip" || f.Name == "vxlan" {
				cause, what = Copy, "each packet may come twice: "+f.Means
			}
			next := q.on(name, "doctor --fix")
			return q.though(cause, name, next, ", but on %s %s", name, what)
		}
	}
	return false, nil
}

// links looks at the cables between the hosts on the way.
func (q *inquiry) links() (bool, error) {
	path := slices.Concat(q.answer.Path, q.answer.Back)
	for _, l := range q.Links {
		n := 0
		for _, h := range l.Hosts {
			if slices.Contains(path, h) {
				n++
			}
		}
		if n < 2 && !(n == 1 && len(q.answer.Path) > 1) {
			continue
		}
		if l.Does != "" {
			return q.though(Cable, l.Name, l.Mend, ", but the link %s between %s does this to packets: %s", l.Name, strings.Join(l.Hosts, " and "), l.Does)
		}
		for _, h := range l.Hosts {
			p := uplink(q.host(h))
			if p != nil && slices.Contains(path, h) && l.MTU > 0 && l.MTU < p.MTU {
				return q.though(MTU, l.Name, q.shell(h, "", "ip link"), " with small packets alone: %d bytes arrive, %d do not: the link %s in the middle takes %d, and %s of %s sends %d", l.MTU, p.MTU, l.Name, l.MTU, p.Name, h, p.MTU)
			}
		}
	}
	return false, nil
}

func uplink(h *walk.Host) *walk.Port {
	if h == nil {
		return nil
	}
	for i := range h.Ports {
		if h.Ports[i].Uplink {
			return &h.Ports[i]
		}
	}
	return nil
}

// otherWay says that the reply goes by other hosts.
func (q *inquiry) otherWay() (bool, error) {
	back := slices.Clone(q.answer.Back)
	slices.Reverse(back)
	if len(back) == 0 || slices.Equal(back, q.answer.Path) {
		return false, nil
	}
	at := q.answer.Back[0]
	return q.though(OtherWay, at, q.on(at, "route get "+q.src.String()), " by %s, but the reply comes by another way: %s", join(q.answer.Path), join(q.answer.Back))
}
