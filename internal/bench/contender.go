package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
)

// contender is what forwards between the workloads.
type contender struct {
	name string
	// missing says what it needs that is not here; "" if it can run.
	missing func() string
	start   func(*bed) error
	six     bool // it is measured in both families
	theirs  bool // what does not work is a matter of others
}

const (
	vrouterName = "vrouter"
	ipipName    = "vrouter ipip"
	vxlanName   = "vrouter vxlan"
	linuxName   = "linux"
	ovsName     = "ovs userspace" // as it is packaged
	ovsTSOName  = "ovs with tso"
	// noRouterName is a cable between the workloads: what sender and receiver can do.
	noRouterName = "no router"
)

var contenders = []contender{
	{name: noRouterName, missing: nothing, start: joinGuests, six: true},
	{name: vrouterName, missing: nothing, start: vrouter(""), six: true},
	{name: ipipName, missing: nothing, start: vrouter("ipip: {mode: always}\n"), six: true},
	{name: vxlanName, missing: nothing, start: vrouter("vxlan: {mode: always}\n"), six: true},
	{name: "vrouter offload off", missing: nothing, start: vrouter("offload: false\n")},
	{name: "vrouter traced", missing: nothing, start: traced("host 203.0.113.1")},
	{name: "vrouter sampled", missing: nothing, start: traced("--sample", "1/1000")},
	{name: "vrouter recorded", missing: nothing, start: traced()},
	{name: linuxName, missing: nothing, start: startLinux(routeByKernel), six: true},
	{name: "linux vxlan", missing: nothing, start: startLinux(routeByVXLAN)},
	{name: ovsName, missing: missingOVS, start: ovs(false), theirs: true},
	{name: ovsTSOName, missing: missingOVS, start: ovs(true), theirs: true},
	{name: "pasta (one hop)", missing: missingProgram("pasta"), theirs: true, start: oneHop("pasta", "--foreground", "--runas", "0", "--config-net", "--no-map-gw", "--netns-only", "--netns")},
	{name: "slirp4netns (one hop)", missing: missingProgram("slirp4netns"), theirs: true, start: oneHop("slirp4netns", "--configure", "--mtu=65520", "--netns-type=path")},
}

func nothing() string { return "" }

func missingProgram(name string) func() string {
	return func() string {
		if _, err := exec.LookPath(name); err != nil {
			return name
		}
		return ""
	}
}

// joinGuests plugs the workloads into each other.
func joinGuests(b *bed) error {
	if err := addVeth(b.sides[0].guest, "eth0", b.sides[1].guest, "eth0", nil); err != nil {
		return err
	}
	for _, s := range b.sides {
		if err := s.guest.Do(func() error {
			l, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			if err := errors.Join(up(l, s.address), addRoute("eth0", s.peer.address.Addr().String()+"/32", "")); err != nil || !b.six {
				return err
			}
			return errors.Join(up(l, s.address6), addRoute("eth0", s.peer.address6.String(), ""))
		}); err != nil {
			return err
		}
	}
	return nil
}

// oneHop starts a program that gives a namespace the host's network by sockets of the host's own, and no address of its own: the other
// end is the other host itself. The namespace is its last argument.
func oneHop(args ...string) func(*bed) error {
	return func(b *bed) error {
		s := b.sides[0]
		s.peer.guest, s.peer.address = s.peer.host, s.peer.uplink
		if err := s.host.Do(func() error {
			return errors.Join(sysctl("ipv4/ping_group_range", "0 2147483647"), addRoute(uplink, "0.0.0.0/0", s.peer.uplink.Addr().String()))
		}); err != nil {
			return err
		}
		command := append(slices.Clone(args), string(s.guest))
		if args[0] == "slirp4netns" {
			command = append(command, "tap0")
		}
		p, err := b.start(s.host, nil, command...)
		if err != nil {
			return err
		}
		b.routers = append(b.routers, p)
		return nil
	}
}

func names(list []contender) []string {
	var all []string
	for _, c := range list {
		all = append(all, c.name)
	}
	return all
}

// vrouter starts one on each host, with some more lines of configuration. Tunnels are IPv4's, and IPv6 goes by them too.
func vrouter(more string) func(*bed) error {
	return func(b *bed) error {
		for _, s := range b.sides {
			addresses, routes := s.address.String(), fmt.Sprintf("{to: %s, via: %s}", s.peer.address.Addr(), s.peer.uplink.Addr())
			if b.six {
				via := s.peer.uplink6.Addr()
				if strings.Contains(more, "mode: always") {
					via = s.peer.uplink.Addr()
				}
				addresses, routes = fmt.Sprintf(`%s, "%s"`, addresses, s.address6), fmt.Sprintf(`%s, {to: "%s", via: "%s"}`, routes, s.peer.address6.Addr(), via)
			}
			config := fmt.Sprintf("node: %s\nuplink: {interface: %s}\n"+
				"workloads: [{name: ns1, addresses: [%s], namespace: %s}]\nroutes: [%s]\ncontrol: {socket: %s}\n%s",
				s.name, uplink, addresses, s.guest, routes, s.socket(), more)
			file := filepath.Join(scratch, s.name+".yaml")
			if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
				return err
			}
			p, err := b.start(s.host, nil, program, "run", "--config", file)
			if err != nil {
				return err
			}
			b.routers = append(b.routers, p)
		}
		return nil
	}
}

func (s *side) socket() string { return filepath.Join(scratch, s.name+".sock") }

// traced has a `vrouter trace` run beside each router, whose words go nowhere.
func traced(args ...string) func(*bed) error {
	return func(b *bed) error {
		if err := vrouter("")(b); err != nil {
			return err
		}
		if err := b.ready(); err != nil {
			return err
		}
		for _, s := range b.sides {
			command := []string{"/bin/sh", "-c", `exec "$0" "$@" >/dev/null`, program, "--socket", s.socket(), "trace", "-o", "json"}
			if _, err := b.start(s.host, nil, append(command, args...)...); err != nil {
				return err
			}
			if err := s.waitForTrace(); err != nil {
				return err
			}
		}
		return nil
	}
}

// waitForTrace waits until the router says that it is traced.
func (s *side) waitForTrace() error {
	dial := func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = s.host.Do(func() error {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	for deadline := time.Now().Add(readyTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		resp, err := client.Get("http://127.0.0.1:9473/metrics")
		if err != nil {
			return err
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || bytes.Contains(text, []byte("vrouter_trace_listeners 1\n")) {
			return err
		}
	}
	return fmt.Errorf("the trace on %s does not begin", s.name)
}

// startLinux makes the hosts' kernels the routers, as the tutorial and Calico do.
func startLinux(route func(s *side, six bool) error) func(*bed) error {
	return func(b *bed) error {
		for _, s := range b.sides {
			if err := s.plug(b.six); err != nil {
				return err
			}
			if err := s.host.Do(func() error { return errors.Join(s.forwardByKernel(b.six), route(s, b.six)) }); err != nil {
				return err
			}
		}
		return nil
	}
}

// forwardByKernel has a host forward, and say to its workload that it does.
func (s *side) forwardByKernel(six bool) error {
	for _, c := range [][2]string{
		{"ipv4/ip_forward", "1"},
		{"ipv4/conf/veth1/proxy_arp", "1"},
		{"ipv4/neigh/veth1/proxy_delay", "0"}, // else it waits up to 0.8 s
	} {
		if err := sysctl(c[0], c[1]); err != nil {
			return err
		}
	}
	if err := addRoute("veth1", s.address.Addr().String()+"/32", ""); err != nil {
		return err
	}
	if six {
		if err := errors.Join(sysctl("ipv6/conf/all/forwarding", "1"), addRoute("veth1", s.address6.String(), "")); err != nil {
			return err
		}
	}
	// Proxy ARP answers for 169.254.1.1 only if a route leads there.
	return addRoute(uplink, "0.0.0.0/0", s.peer.uplink.Addr().String())
}

func routeByKernel(s *side, six bool) error {
	err := addRoute(uplink, s.peer.address.Addr().String()+"/32", s.peer.uplink.Addr().String())
	if err != nil || !six {
		return err
	}
	return addRoute(uplink, s.peer.address6.String(), s.peer.uplink6.Addr().String())
}

// routeByVXLAN has the hosts' kernels route by a vxlan device, as Calico has them.
func routeByVXLAN(s *side, _ bool) error {
	const name, vni, port, overhead = "vxlan.bench", 4096, 4789, 50
	own, peer := vxlanAddress(s), vxlanAddress(s.peer)
	if err := netlink.LinkAdd(&netlink.Vxlan{
		LinkAttrs: netlink.LinkAttrs{Name: name, MTU: 1500 - overhead}, VxlanId: vni, Port: port,
		SrcAddr: s.uplink.Addr().AsSlice(), Group: s.peer.uplink.Addr().AsSlice(),
	}); err != nil {
		return err
	}
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return errors.Join(up(l, own), addRoute(name, s.peer.address.Addr().String()+"/32", peer.Addr().String()),
		s.guest.Do(func() error {
			l, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			return netlink.LinkSetMTU(l, 1500-overhead)
		}))
}

// vxlanAddress is what a host's vxlan device has.
func vxlanAddress(s *side) netip.Prefix {
	a := s.uplink.Addr().As4()
	a[2] = 99
	return netip.PrefixFrom(netip.AddrFrom4(a), 24)
}
