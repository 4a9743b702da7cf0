package doctor

import (
	"errors"
	"fmt"
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
	for _, family := range families {
		some, err := h.rulesOf(family, l.Attrs().Index)
		if found = append(found, some...); err != nil {
			return found, err
		}
	}
	return found, nil
}

func (h *Host) rulesOf(family, uplink int) (found []Finding, err error) {
	list, err := netlink.RuleList(family)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // a kernel without rules for it
	}
	if err != nil {
		return nil, err
	}
	command := "ip"
	if family == unix.AF_INET6 {
		command = "ip -6"
	}
	for _, r := range list {
		if r.Table == unix.RT_TABLE_MAIN && r.Src == nil && r.Dst == nil && r.Mark == 0 && r.IifName == "" {
			break // the kernel goes by their order
		}
		if r.Table == unix.RT_TABLE_MAIN || r.Table == unix.RT_TABLE_LOCAL || r.Table == 0 || r.IifName == "lo" {
			continue
		}
		table, err := netlink.RouteListFiltered(family, &netlink.Route{Table: r.Table}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return found, err
		}
		if whose := h.takes(&r, table, family, uplink); whose != "" {
			found = append(found, Finding{
				State: Warn, Means: fmt.Sprintf("the policy rule %d, %s, comes before the main table, and takes packets of %s elsewhere: the router knows the main table alone", r.Priority, ruleWords(&r), whose),
				Mend: fmt.Sprintf("%s rule del priority %d   # or enter the routes of table %d into the main table", command, r.Priority, r.Table),
			})
		}
	}
	return found, nil
}

// takes names the first whose packets meet a rule whose table leads them elsewhere than by the uplink; "" if there is none.
func (h *Host) takes(r *netlink.Rule, table []netlink.Route, family, uplink int) string {
	src, dst := prefixOf(r.Src, family), prefixOf(r.Dst, family)
	leads := func(to netip.Prefix) bool {
		for _, t := range table {
			if prefixOf(t.Dst, family).Overlaps(to) && t.LinkIndex != uplink && dst.Overlaps(to) {
				out, err := netlink.LinkByIndex(t.LinkIndex)
				return err != nil || out.Attrs().Name != config.HostInterface
			}
		}
		return false
	}
	for _, w := range h.Config.Workloads {
		for _, a := range w.Addresses {
			if own := netip.PrefixFrom(a.Addr(), a.Addr().BitLen()); src.Bits() > 0 && src.Overlaps(own) && len(table) > 0 || src.Bits() == 0 && leads(own) {
				return "workload " + w.Name
			}
		}
	}
	for t := range h.Config.Routes.All {
		if src.Bits() == 0 && t.To.Bits() > 0 && leads(t.To) {
			return t.To.String()
		}
	}
	return ""
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
