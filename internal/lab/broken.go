package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/impair"
	"github.com/vrouter/vrouter/internal/workload"
)

// brokenFile keeps what a lab was before it was broken.
var brokenFile = filepath.Join(Directory, "broken.json")

// broken is a fault that is planted, and what was there before.
type broken struct {
	Name  string                       `json:"name"`
	Hosts map[string]wasHost           `json:"hosts"`
	Links map[string]impair.Impairment `json:"links"`
}

// wasHost is a host before.
type wasHost struct {
	Config     []byte `json:"config"` // file of its router
	MTU        int    `json:"mtu"`    // of its uplink
	Forwarding []byte `json:"forwarding"`
}

// Broken is the name of the fault that is planted; "" if there is none.
func Broken() string {
	var b broken
	if readJSON(brokenFile, &b) != nil {
		return ""
	}
	return b.Name
}

// Break plants a fault.
func (l *Lab) Break(ctx context.Context, name string) error {
	if was := Broken(); was != "" {
		return fmt.Errorf("the lab is broken already: %s; `vrouter lab mend` mends it", was)
	}
	f, err := FaultNamed(name)
	if err != nil {
		return err
	}
	b := broken{Name: name, Hosts: map[string]wasHost{}, Links: map[string]impair.Impairment{}}
	for _, h := range l.Hosts {
		was, err := h.now()
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		b.Hosts[h.Name] = was
	}
	for _, k := range l.Links {
		if b.Links[k.Subnet], err = k.Impairment(); err != nil {
			return err
		}
	}
	if err := writeJSON(brokenFile, b); err != nil {
		return err
	}
	if err := f.plant(ctx, l); err != nil {
		return errors.Join(fmt.Errorf("breaking the lab: %w", err), l.Mend(ctx))
	}
	return nil
}

// Mend makes the lab what it was before it was broken.
func (l *Lab) Mend(ctx context.Context) error {
	var b broken
	if err := readJSON(brokenFile, &b); errors.Is(err, fs.ErrNotExist) {
		return errors.New("nothing is broken that `vrouter lab break` has broken")
	} else if err != nil {
		return err
	}
	var errs []error
	for _, h := range l.Hosts {
		if was, ok := b.Hosts[h.Name]; ok {
			if err := l.restore(ctx, h, was); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", h.Name, err))
			}
		}
	}
	for _, k := range l.Links {
		if was, ok := b.Links[k.Subnet]; ok {
			errs = append(errs, k.Change(ctx, was))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.Remove(brokenFile)
}

func (h *Host) forwarding() string { return "/proc/sys/net/ipv4/conf/" + h.Uplink + "/forwarding" }

// now is the host as it is.
func (h *Host) now() (was wasHost, err error) {
	if was.Config, err = os.ReadFile(h.file()); err != nil {
		return was, err
	}
	err = workload.Named(h.Namespace).Do(func() error {
		up, err := netlink.LinkByName(h.Uplink)
		if err != nil {
			return err
		}
		was.MTU = up.Attrs().MTU
		was.Forwarding, err = os.ReadFile(h.forwarding())
		return err
	})
	return was, err
}

// restore makes the host as it was: its uplink, then its router's file, then the router.
func (l *Lab) restore(ctx context.Context, h *Host, was wasHost) error {
	err := workload.Named(h.Namespace).Do(func() error {
		up, err := netlink.LinkByName(h.Uplink)
		if err != nil {
			return err
		}
		err = onlyAddresses(up, h.Addresses)
		if up.Attrs().MTU != was.MTU {
			err = errors.Join(err, netlink.LinkSetMTU(up, was.MTU))
		}
		return errors.Join(err, os.WriteFile(h.forwarding(), was.Forwarding, 0o644))
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(h.file(), was.Config, 0o644); err != nil {
		return err
	}
	if h.Router.Running() {
		if err := h.reload(ctx); err != nil {
			return err
		}
	} else if err := l.relaunch(ctx, h); err != nil {
		return err
	}
	for _, w := range h.Workloads {
		if err := workload.Named(w.Namespace).Do(func() error {
			if eth0, err := netlink.LinkByName(config.DefaultWorkloadInterface); err == nil {
				return onlyAddresses(eth0, w.Addresses)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) relaunch(ctx context.Context, h *Host) error {
	if err := h.launch(l.temporary); err != nil {
		return err
	}
	if err := h.ready(ctx); err != nil {
		return err
	}
	return l.save()
}

// onlyAddresses takes the IPv4 addresses away that a fault has added.
func onlyAddresses(k netlink.Link, wanted []string) error {
	have, err := netlink.AddrList(k, netlink.FAMILY_V4)
	for _, a := range have {
		if !slices.Contains(wanted, a.IPNet.String()) {
			err = errors.Join(err, netlink.AddrDel(k, &a))
		}
	}
	return err
}

func (h *Host) reload(ctx context.Context) error {
	c := control.NewClient(h.Socket)
	defer c.Close()
	var done control.Reloaded
	return c.Post(ctx, "/v1/reload", struct{}{}, &done)
}

// change has the host's router go by another file.
func (h *Host) change(ctx context.Context, f func(*config.Host) error) error {
	c, err := config.Load(h.file())
	if err != nil {
		return err
	}
	if err := f(c); err != nil {
		return err
	}
	text, err := c.YAML()
	if err != nil {
		return err
	}
	if err := os.WriteFile(h.file(), text, 0o644); err != nil {
		return err
	}
	return h.reload(ctx)
}

// routes has the host's router go by other static routes: f says what becomes of each.
func (h *Host) routes(ctx context.Context, f func(config.Route) (config.Route, bool)) error {
	return h.change(ctx, func(c *config.Host) error {
		var list []config.Route
		for r := range c.Routes.All {
			if r, stays := f(r); stays {
				list = append(list, r)
			}
		}
		c.Routes = config.NewRoutes(list)
		return nil
	})
}

// free is an address of the host's subnet that nobody has.
func (l *Lab) free(h *Host) (netip.Addr, error) {
	p, err := netip.ParsePrefix(h.Address)
	if err != nil {
		return netip.Addr{}, err
	}
	a := p.Addr()
	for range 100 {
		if a = a.Next(); !p.Contains(a) {
			a = p.Masked().Addr().Next()
		}
		taken := slices.ContainsFunc(l.Hosts, func(o *Host) bool {
			return slices.ContainsFunc(o.Addresses, func(text string) bool { q, err := netip.ParsePrefix(text); return err == nil && q.Addr() == a })
		})
		if gateways, err := l.Gateways(); !taken && (err != nil || !slices.Contains(gateways, a)) {
			return a, nil
		}
	}
	return a, fmt.Errorf("no free address in %s", p.Masked())
}
