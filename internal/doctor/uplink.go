package doctor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/workload"
	"github.com/vrouter/vrouter/rib"
)

// link is the uplink; errNoUplink if there is none.
func (h *Host) link() (netlink.Link, error) {
	l, err := netlink.LinkByName(h.Config.Uplink.Interface)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil, errNoUplink
	}
	return l, err
}

func uplink(h *Host) ([]Finding, error) {
	name := h.Config.Uplink.Interface
	l, err := h.link()
	if errors.Is(err, errNoUplink) {
		return []Finding{{
			State: Fail, Means: "there is no interface " + name + "; nothing else about the uplink was looked at",
			Mend: "ip link   # and name the one towards the other hosts as uplink.interface",
		}}, nil
	}
	if err != nil {
		return nil, err
	}
	a := l.Attrs()
	if len(a.HardwareAddr) != 6 {
		return []Finding{{State: Fail, Means: name + " is no Ethernet interface", Mend: "ip link   # and name one with link/ether as uplink.interface"}}, nil
	}
	var found []Finding
	switch {
	case a.Flags&net.FlagUp == 0:
		found = append(found, Finding{
			State: Fail, Means: name + " is down: nothing comes in or goes out",
			Mend: "ip link set " + name + " up", fix: func() error { return netlink.LinkSetUp(l) },
		})
	case a.RawFlags&unix.IFF_LOWER_UP == 0:
		found = append(found, Finding{State: Warn, Means: name + " has no carrier", Mend: "ip link show " + name + "   # and look at the cable, or at the peer"})
	}
	if a.MasterIndex != 0 {
		if m, err := netlink.LinkByIndex(a.MasterIndex); err == nil {
			found = append(found, Finding{
				State: Warn, Means: fmt.Sprintf("%s is a port of %s, which takes its frames and has its address", name, m.Attrs().Name),
				Mend: "set uplink.interface: " + m.Attrs().Name,
			})
		}
	}
	on, err := subnets(l)
	if err == nil && !slices.ContainsFunc(on, func(s subnet) bool { return s.own.Is4() || !s.own.IsLinkLocalUnicast() }) {
		found = append(found, Finding{
			State: Fail, Means: name + " has no address: nothing can be sent by it, unless by routes that say who is on its link", Mend: "ip addr add ADDRESS/LENGTH dev " + name,
		})
	}
	return found, err
}

// mtu looks at what is configured, and at what the interfaces have.
func mtu(h *Host) (found []Finding, err error) {
	l, err := h.link()
	if err != nil {
		return nil, err
	}
	fits := l.Attrs().MTU
	fits -= h.outerHeaders(l)
	for _, w := range h.Config.Workloads {
		want, fits := w.MTUWhere(fits), (&config.Workload{Addresses: w.Addresses}).MTUWhere(fits)
		if want > fits {
			found = append(found, Finding{
				State: Warn, Means: fmt.Sprintf("workload %s has mtu %d in the configuration, and %d fits: larger packets are fragmented, or refused with an ICMP error that their sender may never see", w.Name, want, fits),
				Mend: fmt.Sprintf("remove the key mtu of %s, or set it to %d, then: vrouter --socket %s reload", w.Name, fits, h.Socket),
			})
		}
		path, _ := h.Config.NamespaceOf(&w)
		ns := workload.Namespace(path)
		if has := mtuOf(ns, w.Interface); has != 0 && has != want {
			found = append(found, Finding{
				State: Warn, Means: fmt.Sprintf("%s of workload %s has mtu %d, and should have %d", w.Interface, w.Name, has, want),
				Mend: fmt.Sprintf("nsenter --net=%s ip link set %s mtu %d", ns, w.Interface, want),
				fix:  h.setMTU(ns, w.Interface, want),
			})
		}
	}
	return found, nil
}

// outerHeaders is the length of the most that any packet gets.
func (h *Host) outerHeaders(uplink netlink.Link) (most int) {
	on, _ := subnets(uplink)
	_, ends := h.hops(on)
	outer := func(encap string, end netip.Addr) {
		e, _ := rib.EncapNamed(encap)
		most = max(most, forwarder.OuterLen(e, end))
	}
	for a, list := range ends {
		for _, e := range list {
			outer(e.encap, a)
		}
	}
	for _, encap := range []string{config.EncapIPIP, config.EncapVXLAN} {
		if h.Config.TunnelsBy(encap) {
			outer(encap, netip.IPv4Unspecified())
		}
	}
	return most
}

// setMTU is for an interface that a router has made, or has taken over.
func (h *Host) setMTU(ns workload.Namespace, name string, mtu int) func() error {
	r, err := h.record()
	if err != nil || r == nil || !r.Has(host.ID{Kind: host.KindInterface, Name: name, Namespace: ns}) {
		return nil
	}
	return func() error {
		return ns.Do(func() error {
			l, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			return netlink.LinkSetMTU(l, mtu)
		})
	}
}

// mtuOf is 0 for an interface that is not there.
func mtuOf(ns workload.Namespace, name string) (mtu int) {
	if !ns.Exists() {
		return 0
	}
	_ = ns.Do(func() error {
		l, err := netlink.LinkByName(name)
		if err == nil {
			mtu = l.Attrs().MTU
		}
		return err
	})
	return mtu
}
