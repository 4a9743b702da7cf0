// Package twin makes a host's kernel the router, as the tutorial and Calico do: by the commands that a person would
// type, each with its words.
package twin

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/internal/workload"
)

// Host is a host whose kernel is to be the router. Its namespaces are there, and its uplink has its addresses.
type Host struct {
	Namespace workload.Namespace
	Uplink    string
	Addresses []netip.Prefix // of the uplink
	MTU       int            // of the uplink; tunnels raise it (UplinkMTU)
	Gateway   netip.Addr     // of the workloads; a route of the host's leads there, or proxy ARP is silent. Invalid: they get no routes
	Gateway6  netip.Addr
	MAC       string // of the gateway
	Strict    bool   // rp_filter, towards the workloads
	Workloads []Workload
	Routes    []Route
}

// Workload is one of its workloads.
type Workload struct {
	Namespace workload.Namespace
	Interface string
	Veth      string         // the host's end of its interface
	Addresses []netip.Prefix // its own
	MTU       int            // 0: the default
}

// Route is one of the host's table.
type Route struct {
	To     netip.Prefix
	Via    netip.Addr
	Type   string // unicast, blackhole, unreachable, prohibit
	Dev    string // ""; the kernel looks for it
	Metric int    // 0: the default
	Tunnel bool   // to Via, by IPv4
	Onlink bool   // Via is on Dev, whatever the table says
}

// Veth is the name of the host's end of a workload, by its place from 0.
func Veth(i int) string { return fmt.Sprintf("veth%d", i+1) }

func (h *Host) six() bool {
	return slices.ContainsFunc(h.Workloads, func(w Workload) bool { return w.six() }) ||
		slices.ContainsFunc(h.Routes, func(r Route) bool { return r.To.Addr().Is6() })
}

func (w *Workload) six() bool { return w.has(netip.Addr.Is6) }

// Commands make the host's kernel the router, in this order.
func (h *Host) Commands() []Command {
	c := commands{h.Namespace, nil}
	c.sysctl("ipv4.ip_forward", "1")
	c.sysctl("ipv4.conf.all.rp_filter", "0") // the higher one of both holds
	c.sysctl("ipv4.conf.all.send_redirects", "0")
	if h.six() {
		c.sysctl("ipv6.conf.all.disable_ipv6", "0")
		c.sysctl("ipv6.conf.all.forwarding", "1")
	}
	for i := range h.Workloads {
		h.attach(&c, &h.Workloads[i])
	}
	if h.Gateway.Is4() {
		c.route(Route{To: netip.PrefixFrom(h.Gateway, 32), Dev: h.Uplink})
	}
	if slices.ContainsFunc(h.Routes, func(r Route) bool { return r.Tunnel }) {
		h.tunnel(&c)
	}
	peers := map[netip.Addr]bool{}
	for _, r := range h.Routes {
		switch {
		case r.Tunnel:
			if !peers[r.Via] {
				peers[r.Via] = true
				c.peer(r.Via, h.six())
			}
			if r.Dev, r.Onlink = tunnelDevice, true; r.To.Addr().Is6() {
				r.Via = local6(r.Via)
			}
		case r.Dev == "" && h.onUplink(r.Via):
			r.Dev = h.Uplink
		}
		c.route(r)
	}
	return c.list
}

func (h *Host) onUplink(a netip.Addr) bool {
	for _, p := range h.Addresses {
		if p.Contains(a) {
			return true
		}
	}
	return a.Is6() && a.IsLinkLocalUnicast()
}

// attach joins a workload to the host's kernel.
func (h *Host) attach(c *commands, w *Workload) {
	c.veth(w, h.MAC)
	conf := "ipv4.conf." + w.Veth + "."
	c.sysctl(conf+"proxy_arp", "1")
	c.sysctl("ipv4.neigh."+w.Veth+".proxy_delay", "0") // else it waits up to 0.8 s
	c.sysctl(conf+"send_redirects", "0")
	strict := "0"
	if h.Strict {
		strict = "1"
	}
	c.sysctl(conf+"rp_filter", strict)
	if w.six() {
		c.speaks6(w.Veth)
	}
	c.up(w.Veth)
	in := commands{w.Namespace, nil}
	if w.six() {
		in.speaks6(w.Interface)
	}
	for _, a := range w.Addresses {
		in.address(w.Interface, a)
	}
	in.up(w.Interface)
	if w.has(netip.Addr.Is4) && h.Gateway.IsValid() {
		in.route(Route{To: netip.PrefixFrom(h.Gateway, 32), Dev: w.Interface})
		in.route(Route{To: netip.MustParsePrefix("0.0.0.0/0"), Via: h.Gateway, Dev: w.Interface})
	}
	if w.six() && h.Gateway6.IsValid() {
		in.route(Route{To: netip.MustParsePrefix("::/0"), Via: h.Gateway6, Dev: w.Interface})
	}
	c.list = append(c.list, in.list...)
	if w.six() {
		c.awaitLocal(w.Veth) // once the other end is up
	}
	for _, a := range w.Addresses {
		c.route(Route{To: netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), Dev: w.Veth})
	}
}

func (w *Workload) has(is func(netip.Addr) bool) bool {
	return slices.ContainsFunc(w.Addresses, func(p netip.Prefix) bool { return is(p.Addr()) })
}
