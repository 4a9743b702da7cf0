package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/hostroutes"
)

// imports: a protocol without routes, and routes that the router cannot go by.
func imports(h *Host) (found []Finding, err error) {
	if len(h.Config.Kernel.Import) == 0 {
		return nil, nil
	}
	l, err := h.link()
	if err != nil {
		return nil, err
	}
	t := hostroutes.NewTable()
	t.IPv6 = h.speaksIPv6() || len(h.Config.Workloads) == 0
	if _, err := t.List(); err != nil {
		return nil, err
	}
	for _, name := range h.Config.Kernel.Import {
		left, there := leftOut(t, name, l.Attrs().Index)
		if !there {
			found = append(found, Finding{
				State: Warn, Means: "kernel.import names " + name + ", and the host has no route of that protocol: its program may not run", Mend: "ip route show proto " + name,
			})
		}
		for _, f := range left {
			f.Mend = "let " + name + " enter its routes by " + h.Config.Uplink.Interface + ", as a host without vrouter would use them; the router encapsulates by ipip.mode"
			found = append(found, f)
		}
	}
	return found, nil
}

// leftOut is what of a protocol's routes is not imported: one finding for each reason. Where there
// are no routes of the protocol, there is false.
func leftOut(t *hostroutes.Table, name string, link int) (found []Finding, there bool) {
	type reason struct {
		why    string
		partly bool
	}
	routes, examples := map[reason]int{}, map[reason]hostroutes.Shared{}
	for r, n := range t.Each {
		v := r.Value()
		if !hasProtocol(netlink.RouteProtocol(v.Protocol), name) {
			continue
		}
		there = true
		if hops, why := t.Usable(&v, link); why != "" {
			k := reason{why, len(hops) > 0}
			routes[k], examples[k] = routes[k]+n, r
		}
	}
	for k, n := range routes {
		example, _ := t.Example(examples[k])
		f := Finding{State: Warn, Means: fmt.Sprintf("the route to %s proto %s %s: it is not imported", example.Prefix(), name, k.why)}
		if k.partly {
			f.Means = fmt.Sprintf("a next hop of the route to %s proto %s %s: it is left out", example.Prefix(), name, k.why)
		}
		if n > 1 {
			f.Means += fmt.Sprintf("; so it is with %d routes", n)
		}
		found = append(found, f)
	}
	slices.SortFunc(found, func(a, b Finding) int { return cmp.Compare(a.Means, b.Means) })
	return found, there
}

// hasProtocol knows a protocol by name or number, as the configuration does.
func hasProtocol(p netlink.RouteProtocol, name string) bool {
	return p.String() == name || strconv.Itoa(int(p)) == name || name == "static" && hostroutes.IsStatic(uint8(p))
}
