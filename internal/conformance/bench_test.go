package conformance

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/workload"
)

// The network of the tutorial, as every bench builds it: one host, two workloads,
// and a wire at whose far end the test plays the other hosts.
const (
	gatewayIP = "169.254.1.1"
	ns1IP     = "10.70.1.1"
	ns2IP     = "10.70.1.2"
	hostIP    = "192.168.0.11"
	peerIP    = "192.168.0.12" // routes 10.70.2.1, 10.70.3.0/24
	peer13IP  = "192.168.0.13"
	peer14IP  = "192.168.0.14" // routes 10.70.4.0/24; answers if a row lets it
	defaultIP = "192.168.0.1"
	farIP     = "10.70.2.1"
	hairpinIP = "10.70.3.1"
	silentIP  = "10.70.4.1"
)

// The same of IPv6, where a row asks for both families.
const (
	gatewayIP6 = "fe80::ecee:eeff:feee:eeee"
	ns1IP6     = "fd00:70:1::1"
	ns2IP6     = "fd00:70:1::2"
	hostIP6    = "fd00:192::11"
	peerIP6    = "fd00:192::12"
	peer13IP6  = "fd00:192::13"
	peer14IP6  = "fd00:192::14"
	farIP6     = "fd00:70:2::1"
	hairpinIP6 = "fd00:70:3::1"
	silentIP6  = "fd00:70:4::1"
)

var baseRoutes6 = []route{
	{to: farIP6 + "/128", via: peerIP6},
	{to: "fd00:70:3::/48", via: peerIP6},
	{to: "fd00:70:4::/48", via: peer14IP6},
	{to: "fd00:70:9::/48", kind: "blackhole"},
	{to: "fd00:70:a::/48", kind: "unreachable"},
	{to: "fd00:70:b::/48", kind: "prohibit"},
}

// route of the host: static for vrouter, `ip route add` for Linux.
type route struct {
	to, via, kind string // kind: blackhole, unreachable, prohibit
	encap         string // of tunnels; "": ipip
	also          string // another next hop, of equal weight (of routes in the kernel's table)
	metric        int
	mtu           int // 0: none
	locked        bool
}

var baseRoutes = []route{
	{to: farIP + "/32", via: peerIP},
	{to: "10.70.3.0/24", via: peerIP},
	{to: "10.70.4.0/24", via: peer14IP},
	{to: "10.70.9.0/24", kind: "blackhole"},
	{to: "10.70.10.0/24", kind: "unreachable"},
	{to: "10.70.11.0/24", kind: "prohibit"},
}

// options are what a row wants otherwise.
type options struct {
	uplinkMTU, ns1MTU, ns2MTU int // 0: 1500
	routes                    []route
	kernelRoutes              []route // in the host's own table, for vrouter to import
	joins                     bool    // the uplink joins what it receives (joined_test.go)
	cuts                      bool    // what goes to ns1 is cut (superframe_test.go)
	six                       bool    // IPv6 beside IPv4 (six_test.go)
	tunnels                   []route // vrouter's, in a tunnel to their next hop
}

func orDefault(mtu int) int {
	if mtu == 0 {
		return 1500
	}
	return mtu
}

// Bench is one host with a router in it, vrouter or Linux, and the test all around.
type Bench struct {
	linux        bool
	options      options
	prefix       string
	host, wire   workload.Namespace
	ns           [2]workload.Namespace
	ns1, ns2, up *port
	router       *routerProcess // nil for Linux

	markers  int
	before   map[string]float64 // metrics at the start of a case
	expected map[string]float64 // what they are to have grown by
}

var benches atomic.Int32

// newBench builds the host and starts its router.
func newBench(linux bool, o options) (*Bench, error) {
	b := &Bench{linux: linux, options: o, prefix: fmt.Sprintf("bench%d-", benches.Add(1))}
	if err := b.build(); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *Bench) build() (err error) {
	for name, ns := range map[string]*workload.Namespace{"host": &b.host, "wire": &b.wire, "ns1": &b.ns[0], "ns2": &b.ns[1]} {
		if *ns, err = workload.Create(b.prefix + name); err != nil {
			return err
		}
		if err := ns.Do(b.quiet); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := b.host.Do(b.buildUplink); err != nil {
		return fmt.Errorf("uplink: %w", err)
	}
	if b.linux {
		err = b.startLinux()
	} else {
		err = b.startVrouter()
	}
	if err == nil && b.options.joins {
		err = b.join()
	}
	if err == nil && b.options.cuts {
		err = b.show()
	}
	if err != nil {
		return err
	}
	return b.openPorts()
}

func sysctl(name, value string) error {
	return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644)
}

// quiet turns off what a kernel would say by itself.
func (b *Bench) quiet() error {
	return errors.Join(
		b.quiet6(),
		sysctl("ipv4/ip_forward", "0"),
		sysctl("ipv4/conf/all/rp_filter", "0"), sysctl("ipv4/conf/default/rp_filter", "0"),
		sysctl("ipv4/conf/all/send_redirects", "0"), sysctl("ipv4/conf/default/send_redirects", "0"),
		sysctl("ipv4/conf/all/accept_source_route", "0"),
		sysctl("ipv4/icmp_ratelimit", "0"), // row I3 sets it back
	)
}

func (b *Bench) buildUplink() error {
	wire, err := os.Open(string(b.wire))
	if err != nil {
		return err
	}
	defer wire.Close()
	mtu := orDefault(b.options.uplinkMTU)
	if err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "ens160", MTU: mtu, TxQLen: 1000},
		PeerName:  "far", PeerNamespace: netlink.NsFd(wire.Fd()), PeerMTU: 1500,
	}); err != nil {
		return err
	}
	addresses := []string{hostIP + "/24"}
	if b.options.six {
		addresses = append(addresses, hostIP6+"/64")
	}
	if err := up("ens160", addresses...); err != nil {
		return err
	}
	return b.wire.Do(func() error { return errors.Join(disable6("far"), up("far")) })
}

// up sets an interface up, with addresses.
func up(name string, addresses ...string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, address := range addresses {
		a, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(l, a); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(l)
}

// openPorts opens the test's sockets, and silences the workloads' own stacks:
// without an address they answer nothing.
func (b *Bench) openPorts() (err error) {
	for i, ns := range b.ns {
		if err := b.silenced(ns); err != nil {
			return err
		}
		p, err := openPort(ns, "eth0")
		if err != nil {
			return err
		}
		p.router = gatewayMAC
		if i == 0 {
			p.name, p.ip, b.ns1 = "ns1", ns1IP, p
		} else {
			p.name, p.ip, b.ns2 = "ns2", ns2IP, p
		}
	}
	if b.up, err = openPort(b.wire, "far"); err != nil {
		return err
	}
	b.up.name = "ens160"
	if b.options.six {
		b.up.answers = map[string]mac{peerIP6: peerMAC}
	}
	return b.host.Do(func() error {
		l, err := netlink.LinkByName("ens160")
		if err == nil {
			b.up.router = mac(l.Attrs().HardwareAddr)
		}
		return err
	})
}

func silence() error {
	l, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	addrs, err := netlink.AddrList(l, unix.AF_INET)
	if err != nil {
		return err
	}
	for i := range addrs {
		if err := netlink.AddrDel(l, &addrs[i]); err != nil {
			return err
		}
	}
	return errors.Join(netlink.LinkSetARPOff(l), disable6("eth0"))
}

func (b *Bench) ports() []*port { return []*port{b.ns1, b.ns2, b.up} }

func (b *Bench) close() error {
	var errs []error
	if b.router != nil {
		errs = append(errs, b.router.stop())
	}
	for _, p := range b.ports() {
		p.close()
	}
	for _, ns := range []workload.Namespace{b.host, b.wire, b.ns[0], b.ns[1]} {
		if ns != "" && ns.Exists() {
			errs = append(errs, ns.Delete())
		}
	}
	return errors.Join(errs...)
}

// addRoutes enters routes into the host's own table.
func addRoutes(routes []route) error {
	kinds := map[string]int{"": unix.RTN_UNICAST, "blackhole": unix.RTN_BLACKHOLE, "unreachable": unix.RTN_UNREACHABLE, "prohibit": unix.RTN_PROHIBIT}
	for _, r := range routes {
		_, dst, err := net.ParseCIDR(r.to)
		if err != nil {
			return err
		}
		k := netlink.Route{Dst: dst, Type: kinds[r.kind], Priority: r.metric, Protocol: unix.RTPROT_STATIC, MTU: r.mtu, MTULock: r.locked}
		switch {
		case r.also != "":
			for _, via := range []string{r.via, r.also} {
				k.MultiPath = append(k.MultiPath, &netlink.NexthopInfo{Gw: netip.MustParseAddr(via).AsSlice()})
			}
		case r.via != "":
			k.Gw = netip.MustParseAddr(r.via).AsSlice()
		}
		if err := netlink.RouteAdd(&k); err != nil {
			return fmt.Errorf("route to %s: %w", r.to, err)
		}
	}
	return nil
}

// defaultRoute adds the host's default route, or takes it away.
func (b *Bench) defaultRoute(want bool) {
	err := b.host.Do(func() error {
		if want {
			return addRoutes([]route{{to: "0.0.0.0/0", via: defaultIP}})
		}
		return netlink.RouteDel(&netlink.Route{Dst: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}, Gw: net.ParseIP(defaultIP)})
	})
	b.must(err)
}

// sysctlHost sets something of the host's kernel.
func (b *Bench) sysctlHost(name, value string) {
	b.must(b.host.Do(func() error { return sysctl(name, value) }))
}
