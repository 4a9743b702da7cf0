package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/workload"
)

// Fault is something that can be wrong in a lab, between the first workload of its first host and the first of its last.
type Fault struct {
	Name  string
	Shows string // to who tries the network
	plant func(context.Context, *Lab) error
}

// Faults are all that there are.
var Faults = []Fault{
	{"return-route", "a ping arrives, and no reply comes", returnRoute},
	{"next-hop", "host unreachable, after three seconds", nextHop},
	{"blackhole", "nothing comes back, not even an error", blackhole},
	{"loop", "10.99.0.1: time exceeded", loop},
	{"far-mtu", "ping works, TLS hangs", farMTU},
	{"own-mtu", "ping works, large packets are refused", ownMTU},
	{"tunnel-peer", "the tunnel works one way; the lab must have one", tunnelPeer},
	{"tunnel-source", "the tunnel worked until yesterday; the lab must have one", tunnelSource},
	{"second-copy", "some packets come twice", secondCopy},
	{"killed-router", "169.254.1.1 is silent", killedRouter},
	{"lossy-cable", "every other ping; the lab must have an impaired link", lossyCable},
	{"wrong-address", "one workload has changed its address", wrongAddress},
}

// FaultNamed finds one.
func FaultNamed(name string) (*Fault, error) {
	var names []string
	for i := range Faults {
		if Faults[i].Name == name {
			return &Faults[i], nil
		}
		names = append(names, Faults[i].Name)
	}
	return nil, fmt.Errorf("no fault is called %q; there is %s", name, strings.Join(names, ", "))
}

func (l *Lab) first() *Host { return l.Hosts[0] }
func (l *Lab) last() *Host  { return l.Hosts[len(l.Hosts)-1] }

// leads says whether a route is to a workload's address.
func leads(r config.Route, w *Workload) bool {
	for _, text := range w.Addresses {
		if p, err := netip.ParsePrefix(text); err == nil && r.To.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

// between are the two workloads, at the first and the last host.
func (l *Lab) between() (a, b *Workload, err error) {
	if len(l.Hosts) < 2 || len(l.first().Workloads) == 0 || len(l.last().Workloads) == 0 {
		return nil, nil, errors.New("that takes a lab of two hosts at least, with a workload on the first and on the last")
	}
	return &l.first().Workloads[0], &l.last().Workloads[0], nil
}

func returnRoute(ctx context.Context, l *Lab) error {
	a, _, err := l.between()
	if err != nil {
		return err
	}
	return l.last().routes(ctx, func(r config.Route) (config.Route, bool) { return r, !leads(r, a) })
}

func nextHop(ctx context.Context, l *Lab) error {
	_, b, err := l.between()
	if err != nil {
		return err
	}
	nobody, err := l.free(l.first())
	if err != nil {
		return err
	}
	return l.first().routes(ctx, func(r config.Route) (config.Route, bool) {
		if leads(r, b) && r.To.Addr().Is4() {
			r.Via, r.Encap = nobody, config.EncapNone
		}
		return r, true
	})
}

func blackhole(ctx context.Context, l *Lab) error {
	_, b, err := l.between()
	if err != nil {
		return err
	}
	return l.first().routes(ctx, func(r config.Route) (config.Route, bool) {
		if leads(r, b) {
			r = config.Route{To: r.To, Type: config.RouteBlackhole, Metric: r.Metric}
		}
		return r, true
	})
}

func loop(ctx context.Context, l *Lab) error {
	a, b, err := l.between()
	if err != nil {
		return err
	}
	for h, w := range map[*Host]*Workload{l.first(): b, l.last(): a} {
		err = errors.Join(err, h.change(ctx, func(c *config.Host) error {
			var list []config.Route
			for r := range c.Routes.All {
				list = append(list, r)
				if leads(r, w) && r.To.Addr().Is4() {
					r.To = netip.MustParsePrefix("10.99.0.0/16")
					list = append(list, r)
				}
			}
			c.Routes = config.NewRoutes(list)
			return nil
		}))
	}
	return err
}

func farMTU(_ context.Context, l *Lab) error { return l.last().setMTU(1400) }

func (h *Host) setMTU(mtu int) error {
	return workload.Named(h.Namespace).Do(func() error {
		up, err := netlink.LinkByName(h.Uplink)
		if err != nil {
			return err
		}
		return netlink.LinkSetMTU(up, mtu)
	})
}

func ownMTU(ctx context.Context, l *Lab) error {
	if _, _, err := l.between(); err != nil {
		return err
	}
	err := l.first().change(ctx, func(c *config.Host) error { c.Workloads[0].MTU = 1500; return nil })
	for _, h := range l.Hosts {
		err = errors.Join(err, h.setMTU(1400))
	}
	return err
}

var errNoTunnel = errors.New("the lab has no tunnels: take one of examples/lab-ipip.yaml or lab-vxlan.yaml")

func tunnelPeer(ctx context.Context, l *Lab) error {
	nobody, err := l.free(l.last())
	if err != nil {
		return err
	}
	return l.last().change(ctx, func(c *config.Host) error {
		if !c.Tunnels() {
			return errNoTunnel
		}
		c.IPIP.Peers, c.VXLAN.Peers = []netip.Addr{nobody}, []config.VTEP{{Address: nobody}}
		return nil
	})
}

func tunnelSource(ctx context.Context, l *Lab) error {
	h := l.first()
	p, err := netip.ParsePrefix(h.Address)
	if err != nil {
		return err
	}
	other, err := l.free(h)
	if err != nil {
		return err
	}
	err = workload.Named(h.Namespace).Do(func() error {
		up, err := netlink.LinkByName(h.Uplink)
		if err != nil {
			return err
		}
		return addAddress(up, netip.PrefixFrom(other, p.Bits()))
	})
	if err != nil {
		return err
	}
	return h.change(ctx, func(c *config.Host) error {
		if !c.Tunnels() {
			return errNoTunnel
		}
		c.IPIP.Source = config.Source{other}
		return nil
	})
}

func secondCopy(ctx context.Context, l *Lab) error {
	h := l.last()
	if err := h.change(ctx, func(c *config.Host) error { c.Kernel.Guard = false; return nil }); err != nil {
		return err
	}
	return workload.Named(h.Namespace).Do(func() error { return os.WriteFile(h.forwarding(), []byte("1"), 0o644) })
}

func killedRouter(_ context.Context, l *Lab) error {
	r := l.first().Router
	if !r.Running() {
		return fmt.Errorf("the router of %s has ended by itself", l.first().Name)
	}
	if err := syscall.Kill(r.PID, syscall.SIGKILL); err != nil {
		return err
	}
	return host.End(r.PID, r.Start, stopTimeout)
}

func lossyCable(ctx context.Context, l *Lab) error {
	if len(l.Links) == 0 {
		_, err := l.Link("")
		return err
	}
	i, err := l.Links[0].Impairment()
	if err != nil {
		return err
	}
	i.Loss = 0.5
	return l.Links[0].Change(ctx, i)
}

// The router lets be what a workload has chosen; it is done when that has noticed.
func wrongAddress(ctx context.Context, l *Lab) error {
	_, b, err := l.between()
	if err != nil {
		return err
	}
	p, err := netip.ParsePrefix(b.Address)
	if err != nil {
		return err
	}
	other := p.Addr().Next()
	for range 76 {
		other = other.Next()
	}
	if err := workload.Named(b.Namespace).Do(func() error {
		eth0, err := netlink.LinkByName(config.DefaultWorkloadInterface)
		if err != nil {
			return err
		}
		old, err := netlink.ParseAddr(p.String())
		if err != nil {
			return err
		}
		return errors.Join(addAddress(eth0, netip.PrefixFrom(other, p.Bits())), netlink.AddrDel(eth0, old))
	}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*askTimeout)
	defer cancel()
	client := control.NewClient(l.last().Socket)
	defer client.Close()
	for {
		var all []control.Workload
		if err := client.Get(ctx, "/v1/workloads", &all); err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(w control.Workload) bool { return w.Name == b.Name && w.Note != "" }) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}
