//go:build peer

package peer_test

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/workload"
)

// namespaces makes hosts, which end with the test.
func namespaces(t *testing.T, names ...string) {
	for _, name := range names {
		n, err := workload.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { must(t, n.Delete()) })
		must(t, n.Do(func() error {
			// A host that forwards by itself is the harder case for the router.
			_ = os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
			return os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0o644)
		}))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cable joins two hosts by a veth whose both ends are up.
func cable(t *testing.T, from, link, to, peerLink string) {
	t.Helper()
	ns, err := os.Open(string(workload.Named(to)))
	must(t, err)
	defer ns.Close()
	must(t, workload.Named(from).Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: link}, PeerName: peerLink, PeerNamespace: netlink.NsFd(ns.Fd())})
	}))
	for name, l := range map[string]string{from: link, to: peerLink} {
		must(t, workload.Named(name).Do(func() error {
			return netlink.LinkSetUp(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: l}})
		}))
	}
}

func address(t *testing.T, host, link, text string) {
	t.Helper()
	must(t, workload.Named(host).Do(func() error {
		l, err := netlink.LinkByName(link)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(l, &netlink.Addr{IPNet: prefix(text)})
	}))
}

func addRoute(t *testing.T, host, link string, r netlink.Route) {
	t.Helper()
	must(t, workload.Named(host).Do(func() error {
		l, err := netlink.LinkByName(link)
		if err != nil {
			return err
		}
		r.LinkIndex = l.Attrs().Index
		return netlink.RouteAdd(&r)
	}))
}

// prefix keeps the host's part of an address, as an interface has it.
func prefix(text string) *net.IPNet {
	p := netip.MustParsePrefix(text)
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
