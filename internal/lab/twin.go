package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/twin"
	"github.com/vrouter/vrouter/internal/workload"
)

// twinned is what the names of twins end in. defaultMTU is that of a veth.
const (
	twinned    = "-kernel"
	defaultMTU = 1500
)

// planTwins gives each host one with the same addresses and workloads, on a network of its own.
func (l *Lab) planTwins(c *config.Lab) {
	for i := range c.Hosts {
		h := newHost(&c.Hosts[i])
		t := &Host{
			Name: h.Name + twinned, Namespace: h.Namespace + twinned, Uplink: h.Uplink, Address: h.Address, Addresses: h.Addresses,
			Commands: filepath.Join(Directory, h.Name+twinned, "commands"), config: c.Hosts[i],
		}
		for _, w := range h.Workloads {
			w.Namespace = t.Namespace + "-" + w.Name
			t.Workloads = append(t.Workloads, w)
		}
		l.Twins = append(l.Twins, t)
	}
}

// Twin is the twin of a host; nil if there is none.
func (l *Lab) Twin(h *Host) *Host {
	for _, t := range l.Twins {
		if t.Name == h.Name+twinned {
			return t
		}
	}
	return nil
}

// TwinFabric is the namespace of what joins the twins; "" where one cable does.
func (l *Lab) TwinFabric() string {
	if l.Fabric == "" {
		return ""
	}
	return l.Fabric + twinned
}

// Config is what the host's router goes by.
func (h *Host) Config() (*config.Host, error) { return config.Load(h.file()) }

// buildTwins makes their namespaces and joins them as the hosts are, then makes their kernels the routers.
func (l *Lab) buildTwins(c *config.Lab) error {
	if len(l.Twins) == 0 {
		return nil
	}
	for _, t := range l.Twins {
		if err := l.makeNamespaces(t); err != nil {
			return err
		}
	}
	if err := l.join(c, l.Twins, l.TwinFabric()); err != nil {
		return err
	}
	tunnels := false
	for i, t := range l.Twins {
		if err := t.route(l.Hosts[i]); err != nil {
			return err
		}
		for r := range t.config.Routes.All {
			tunnels = tunnels || t.tunnels(r)
		}
	}
	if tunnels && l.Fabric != "" {
		return workload.Named(l.TwinFabric()).Do(wider)
	}
	return nil
}

// wider makes what joins the twins take what their tunnels make of a packet.
func wider() error {
	list, err := netlink.LinkList()
	for _, l := range list {
		if l.Type() == "veth" || l.Type() == "bridge" {
			err = errors.Join(err, netlink.LinkSetMTU(l, twin.UplinkMTU(defaultMTU)))
		}
	}
	return err
}

// route makes a twin's kernel do what the router of the host does, and writes down by which commands.
func (t *Host) route(h *Host) error {
	k := twin.Host{
		Namespace: workload.Named(t.Namespace), Uplink: t.Uplink, Addresses: t.config.Uplink.Addresses, MTU: defaultMTU,
		Gateway: t.config.Gateway.Address, Gateway6: t.config.Gateway.Address6, MAC: t.config.Gateway.MAC.String(), Strict: t.config.RPF == config.RPFStrict,
	}
	for i, w := range t.Workloads {
		mtu, err := mtuOf(h.Workloads[i].Namespace, t.config.Workloads[i].Interface)
		if err != nil {
			return err
		}
		if mtu == defaultMTU {
			mtu = 0 // nobody would type it
		}
		k.Workloads = append(k.Workloads, twin.Workload{
			Namespace: workload.Named(w.Namespace), Interface: t.config.Workloads[i].Interface, Veth: twin.Veth(i), Addresses: t.config.Workloads[i].Addresses, MTU: mtu,
		})
	}
	for r := range t.config.Routes.All {
		if t.tunnels(r) && !r.Via.Is4() {
			return fmt.Errorf("%s: the route to %s by %s: tunnels of a twin are by IPv4 alone: build the lab without --twin", t.Name, r.To, r.Via)
		}
		k.Routes = append(k.Routes, twin.Route{To: r.To, Via: r.Via, Type: r.Type, Metric: int(r.Metric), Tunnel: t.tunnels(r)})
	}
	list := k.Commands()
	var text strings.Builder
	for _, c := range list {
		text.WriteString(c.String() + "\n")
	}
	if err := os.MkdirAll(filepath.Dir(t.Commands), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(t.Commands, []byte(text.String()), 0o644); err != nil {
		return err
	}
	return twin.Run(list)
}

// tunnels says whether what goes by a route is put into a tunnel.
func (t *Host) tunnels(r config.Route) bool {
	near := func(a netip.Addr) bool {
		return slices.ContainsFunc(t.config.Uplink.Addresses, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return r.Via.IsValid() && t.config.EncapTo(r.Via, r.Encap, near) != config.EncapNone
}

// mtuOf is what an interface of the router's workload has: what fits.
func mtuOf(namespace, device string) (mtu int, err error) {
	err = workload.Named(namespace).Do(func() error {
		l, err := netlink.LinkByName(device)
		if err == nil {
			mtu = l.Attrs().MTU
		}
		return err
	})
	return mtu, err
}
