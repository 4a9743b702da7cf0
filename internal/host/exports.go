package host

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ExportProtocol tells the routes that the router puts into the host's table from all others; nobody
// else in /etc/iproute2/rt_protos has that number.
const ExportProtocol = netlink.RouteProtocol(118)

// Exports are the host's routes to the workloads: `ip route replace TO dev DEVICE proto 118 scope link src SOURCE`.
type Exports struct {
	Device string
	To     []netip.Addr
	// What the host sends from, as else it might be any of its addresses.
	Source, Source6 netip.Addr
}

func (x *Exports) source(to netip.Addr) netip.Addr {
	if to.Is4() {
		return x.Source
	}
	return x.Source6
}

// ID implements Object.
func (x *Exports) ID() ID { return ID{Kind: KindExports, Name: x.Device} }

// For implements Object.
func (x *Exports) For() (string, bool) { return "", false }

func (x *Exports) grows(Object) bool { return true }

func (x *Exports) look(it *Item) (*deeds, error) {
	dev := it.host.items[ID{Kind: KindInterface, Name: x.Device}]
	if dev == nil || !dev.Stands {
		return nil, &Waits{fmt.Errorf("%s is not there", x.Device)}
	}
	have := map[netip.Addr]netip.Addr{}
	for _, family := range families {
		if err := routesOut(family, dev.Index, func(r Route) {
			if netlink.RouteProtocol(r.protocol) == ExportProtocol {
				have[r.prefix.Addr()] = r.source
			}
		}); err != nil {
			return nil, fmt.Errorf("kernel.export: listing the host's routes: %w", err)
		}
	}
	entry := Entry{Netns: it.host.record.Owner.Netns}
	if it.entry != nil {
		entry.Replaced = it.entry.Replaced
	}
	d := &deeds{entry: &entry}
	var enter, withdraw []netip.Addr
	for _, a := range x.To {
		if src, ok := have[a]; ok && src == x.source(a) {
			continue
		}
		enter = append(enter, a)
		if r, ok := routeTo(a); ok && r.prefix.IsSingleIP() && r.metric == usualMetric(a) && netlink.RouteProtocol(r.protocol) != ExportProtocol {
			entry.replace(r.inWords())
		}
	}
	for _, a := range x.To {
		delete(have, a)
	}
	withdraw = slices.SortedFunc(maps.Keys(have), netip.Addr.Compare)
	if len(enter) > 0 {
		d.say("enter the host's routes to %v", enter)
	}
	if len(withdraw) > 0 {
		d.say("take back the host's routes to %v", withdraw)
	}
	var restore []netip.Prefix // also where a router was killed before it had put them back
	for _, r := range entry.Replaced {
		if was, ok := parseRoute(r.Raw); ok && !slices.Contains(x.To, was.prefix.Addr()) {
			d.say("put back the route %s", r.Text)
			restore = append(restore, was.prefix)
		}
	}
	d.do = func() error {
		var errs []error
		for _, a := range enter {
			errs = append(errs, x.enter(a, dev.Index))
			written()
		}
		for _, a := range withdraw {
			errs = append(errs, withdrawExport(a, dev.Index))
			written()
		}
		for _, p := range restore {
			errs = append(errs, it.entry.putBack(p))
			written()
		}
		return errors.Join(errs...)
	}
	return d, nil
}

func (x *Exports) enter(a netip.Addr, index int) error {
	r := exportRoute(a, index)
	if src := x.source(a); src.IsValid() {
		r.Src = src.AsSlice()
	}
	if err := netlink.RouteReplace(r); err != nil {
		return fmt.Errorf("kernel.export: entering the host's route to %s: %w", a, err)
	}
	return nil
}

func exportRoute(a netip.Addr, index int) *netlink.Route {
	return &netlink.Route{
		LinkIndex: index, Protocol: ExportProtocol, Scope: netlink.SCOPE_LINK,
		Dst: ipNet(netip.PrefixFrom(a, a.BitLen())),
	}
}

func withdrawExport(a netip.Addr, index int) error {
	if err := netlink.RouteDel(exportRoute(a, index)); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kernel.export: taking back the host's route to %s: %w", a, err)
	}
	return nil
}

// removeExports takes back all of them.
func removeExports(e *Entry) error {
	var errs []error
	if l, err := netlink.LinkByName(e.Name); err == nil {
		var all []netip.Addr
		for _, family := range families {
			errs = append(errs, routesOut(family, l.Attrs().Index, func(r Route) {
				if netlink.RouteProtocol(r.protocol) == ExportProtocol {
					all = append(all, r.prefix.Addr())
				}
			}))
		}
		for _, a := range all {
			errs = append(errs, withdrawExport(a, l.Attrs().Index))
			written()
		}
	}
	return errors.Join(append(errs, e.putBackAll())...)
}
