//go:build peer

package peer_test

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/peer"
	"github.com/vrouter/vrouter/internal/workload"
)

const (
	echoReply    = 0
	unreachable  = 3
	timeExceeded = 11
	fragNeeded   = 4
)

// direct is host B on A's link.
var direct = peer.Setup{
	Address: netip.MustParsePrefix("192.168.0.12/24"), Gateway: netip.MustParseAddr("192.168.0.1"),
	Peer: hostA, Remote: netip.MustParsePrefix("10.70.1.0/26"),
	Tunnel: netip.MustParseAddr("10.70.2.0"), Workload: netip.MustParsePrefix("10.70.2.1/24"),
}

func TestLinuxOnTheLink(t *testing.T) {
	namespaces(t, "host-a", "host-b", "ns1", "wide")
	cable(t, "host-a", uplinkA, "host-b", "eth0")
	address(t, "host-a", uplinkA, "192.168.0.11/24")
	b := newBed(t, direct)
	t.Log(strings.TrimSpace(b.readFile("/proc/version")))
	b.run("ping", (*bed).ping)
	b.run("trace", (*bed).trace)
	b.run("traceroute", (*bed).traceroute)
	b.run("full size", (*bed).fullSize)
	b.run("tos", (*bed).tos)
	b.run("tcp", (*bed).tcp)
	b.run("lower mtu at B", (*bed).lowerMTU)
	b.run("fragmented outer", (*bed).fragmentedOuter)
	b.clean(map[string]bool{"mtu_exceeded": true, "ttl_exceeded": true})
}

// run runs a part of the test.
func (b *bed) run(name string, f func(*bed)) {
	b.Run(name, func(t *testing.T) {
		part := *b
		part.T = t
		f(&part)
	})
}

func (b *bed) ping() {
	for _, p := range []struct {
		from string
		to   netip.Addr
	}{{"ns1", ns1B}, {"wide", ns1B}, {"B", ns1}, {"B", wide}} {
		b.expect(p.from, peer.Probe{To: p.to}, peer.Answer{From: p.to, Type: echoReply, TTL: 62})
	}
}

// expect sends a probe and compares the answer; a TTL of 0 stands for any.
func (b *bed) expect(from string, p peer.Probe, want peer.Answer) {
	b.Helper()
	got := b.probeFrom(from, p)
	if want.TTL == 0 {
		got.TTL = 0
	}
	if got.Type != echoReply {
		got.TOS = 0 // an error has its own
	}
	if got != want {
		b.Errorf("%+v from %s: got %+v, want %+v", p, from, got, want)
	}
}

// trace reads what the router tells of one ping: encapsulated to B, unpacked back.
func (b *bed) trace() {
	tr, err := b.router.Trace(b.Context(), control.TraceOptions{Filter: "icmp and host 10.70.2.1"})
	b.must(err)
	defer tr.Close()
	b.expect("ns1", peer.Probe{To: ns1B}, peer.Answer{From: ns1B, Type: echoReply, TTL: 62})
	for _, want := range []struct{ in, out, step string }{{"ns1", uplinkA, "encap"}, {uplinkA, "ns1", "decap"}} {
		p, err := tr.Next()
		b.must(err)
		found := false
		for _, s := range p.Steps {
			found = found || s.Step == want.step && s.Verdict == "edit"
		}
		if p.In != want.in || p.Out != want.out || p.Outcome != "forwarded" || !found {
			b.Errorf("trace: got %+v, want in %s, out %s and %s", p, want.in, want.out, want.step)
		}
	}
}

func (b *bed) traceroute() {
	for _, way := range []struct {
		from string
		to   netip.Addr
		hops []netip.Addr // B answers with the address of its way back: tunl0's
	}{{"ns1", ns1B, []netip.Addr{hostA, direct.Tunnel}}, {"B", ns1, []netip.Addr{direct.Gateway, hostA}}} {
		for i, hop := range way.hops {
			if way.from == "B" && i == 0 {
				continue // Linux and its own workload
			}
			b.expect(way.from, peer.Probe{To: way.to, TTL: i + 1}, peer.Answer{From: hop, Type: timeExceeded})
		}
		b.expect(way.from, peer.Probe{To: way.to, TTL: 3}, peer.Answer{From: way.to, Type: echoReply, TTL: 62})
	}
}

// fullSize: what fits into the tunnel passes, one byte more is told.
func (b *bed) fullSize() {
	for _, way := range []struct {
		from    string
		to, hop netip.Addr
	}{{"wide", ns1B, hostA}, {"B", wide, netip.Addr{}}} {
		fits := peer.Probe{To: way.to, Size: tunnelMTU, DF: true}
		b.expect(way.from, fits, peer.Answer{From: way.to, Type: echoReply, TTL: 62})
		tooBig := peer.Probe{To: way.to, Size: tunnelMTU + 1, DF: true}
		got := b.probeFrom(way.from, tooBig)
		if got.Type != unreachable || got.Code != fragNeeded || got.MTU != tunnelMTU || way.hop.IsValid() && got.From != way.hop {
			b.Errorf("%+v from %s: got %+v, want 3/4 with %d from %s", tooBig, way.from, got, tunnelMTU, way.hop)
		}
		whole := peer.Probe{To: way.to, Size: 1500}
		b.expect(way.from, whole, peer.Answer{From: way.to, Type: echoReply, TTL: 62})
	}
}

// tos: DSCP and ECN are copied out, and survive the way there and back.
func (b *bed) tos() {
	const efECT0 = 46<<2 | 2
	b.expect("ns1", peer.Probe{To: ns1B, TOS: efECT0}, peer.Answer{From: ns1B, Type: echoReply, TTL: 62, TOS: efECT0})
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	if b.wire.tos[efECT0] == 0 {
		b.Errorf("outer TOS on the wire: %v, want some with %d", b.wire.tos, efECT0)
	}
}

func (b *bed) tcp() {
	b.transfer("ns1", ns1B, 50)
	b.transfer("B", ns1, 50)
	b.transfer("wide", ns1B, 10)
	b.transfer("B", wide, 10)
}

// lowerMTU makes B's workload link, and then B's tunnel, narrower than A can know.
func (b *bed) lowerMTU() {
	defer b.setMTU("cali0", 1500)
	b.setMTU("cali0", 1400)
	tooBig := peer.Probe{To: ns1B, Size: 1401, DF: true}
	b.expect("ns1", tooBig, peer.Answer{From: direct.Tunnel, Type: unreachable, Code: fragNeeded, MTU: 1400})
	b.transfer("ns1", ns1B, 10)
	defer b.setMTU("tunl0", tunnelMTU)
	b.setMTU("tunl0", 1300)
	b.transfer("B", ns1, 10)
}

func (b *bed) setMTU(link string, bytes int) {
	b.Helper()
	b.must(b.guest.Call("Agent.SetMTU", peer.MTU{Link: link, Bytes: bytes}, nil))
}

// fragmentedOuter: a tunnel that is wider than its link makes B send fragments.
func (b *bed) fragmentedOuter() {
	defer b.setMTU("tunl0", tunnelMTU)
	b.setMTU("tunl0", 1500)
	b.Log(b.readFile("/sys/class/net/tunl0/mtu"))
	b.expect("B", peer.Probe{To: wide, Size: 1500}, peer.Answer{From: wide, Type: echoReply, TTL: 62})
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	if b.wire.fragments[direct.Address.Addr()] == 0 {
		b.Error("B sent no fragments")
	}
}

// clean checks what was on the wire all the time, and what the router dropped.
func (b *bed) clean(dropped map[string]bool) {
	for reason, n := range b.drops() {
		if !dropped[reason] {
			b.Errorf("the router dropped %d packets: %s", n, reason)
		}
	}
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	for _, f := range b.wire.faults {
		b.Errorf("on the wire: %s", f)
	}
	b.Logf("on the wire: IP-in-IP %v, fragments of it %v, ICMP errors about it %v", b.wire.tunnelled, b.wire.fragments, b.wire.errors)
}

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
	ip, n, err := net.ParseCIDR(text)
	must(t, err)
	must(t, workload.Named(host).Do(func() error {
		l, err := netlink.LinkByName(link)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: n.Mask}})
	}))
}
