package doctor

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/config"
)

// rules before that of the main table which take what is from or to workloads elsewhere. The router knows the main
// table alone.
func rules(h *Host) (found []Finding, err error) {
	l, err := h.link()
	if err != nil {
		return nil, err
	}
	list, err := netlink.RuleList(unix.AF_INET)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if r.Table == unix.RT_TABLE_MAIN && r.Src == nil && r.Dst == nil && r.Mark == 0 && r.IifName == "" {
			break // the kernel goes by their order
		}
		if r.Table == unix.RT_TABLE_MAIN || r.Table == unix.RT_TABLE_LOCAL || r.Table == 0 || r.IifName == "lo" {
			continue
		}
		table, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: r.Table}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return found, err
		}
		if whose := h.takes(&r, table, l.Attrs().Index); whose != "" {
			found = append(found, Finding{
				State: Warn, Means: fmt.Sprintf("the policy rule %d, %s, comes before the main table, and takes packets of %s elsewhere: the router knows the main table alone", r.Priority, ruleWords(&r), whose),
				Mend: fmt.Sprintf("ip rule del priority %d   # or enter the routes of table %d into the main table", r.Priority, r.Table),
			})
		}
	}
	return found, nil
}

// takes names the first whose packets meet a rule whose table leads them elsewhere than by the uplink; "" if there is none.
func (h *Host) takes(r *netlink.Rule, table []netlink.Route, uplink int) string {
	src, dst := selector(r.Src), selector(r.Dst)
	leads := func(to netip.Prefix) bool {
		for _, t := range table {
			if destination(&t).Overlaps(to) && t.LinkIndex != uplink && dst.Overlaps(to) {
				out, err := netlink.LinkByIndex(t.LinkIndex)
				return err != nil || out.Attrs().Name != config.HostInterface
			}
		}
		return false
	}
	for _, w := range h.Config.Workloads {
		if own := netip.PrefixFrom(w.Address.Addr(), 32); src.Bits() > 0 && src.Overlaps(own) && len(table) > 0 || src.Bits() == 0 && leads(own) {
			return "workload " + w.Name
		}
	}
	for t := range h.Config.Routes.All {
		if src.Bits() == 0 && t.To.Bits() > 0 && leads(t.To) {
			return t.To.String()
		}
	}
	return ""
}

// selector is what a rule asks for; nil is everything.
func selector(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	a, _ := netip.AddrFromSlice(n.IP.To4())
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a, bits)
}

func ruleWords(r *netlink.Rule) string {
	s := "from all"
	if r.Src != nil {
		s = "from " + r.Src.String()
	}
	if r.Dst != nil {
		s += " to " + r.Dst.String()
	}
	if r.Mark != 0 {
		s += fmt.Sprintf(" fwmark %#x", r.Mark)
	}
	return s + fmt.Sprintf(" lookup %d", r.Table)
}
