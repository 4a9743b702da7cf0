package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/soak"
	"github.com/vrouter/vrouter/internal/workload"
)

// twoNextHops is a host whose workload sends to those of two others.
const twoNextHops = `hosts:
  - node: a
    uplink: {address: 192.168.0.11/24}
    workloads: [{name: ns1, address: 10.70.1.1/24}]
    routes: [{to: 10.70.2.1, via: 192.168.0.12}, {to: 10.70.3.1, via: 192.168.0.13}]
  - node: b
    uplink: {address: 192.168.0.12/24}
    workloads: [{name: ns1, address: 10.70.2.1/24}]
    routes: [{to: 10.70.1.1, via: 192.168.0.11}]
  - node: c
    uplink: {address: 192.168.0.13/24}
    workloads: [{name: ns1, address: 10.70.3.1/24}]
    routes: [{to: 10.70.1.1, via: 192.168.0.11}]
`

const elsewhere = "10.70.3.1" // the third host's workload

// sendDatagrams lets them flow until end is called, which waits until no more are sent.
func sendDatagrams(t *testing.T, from, to workload.Namespace, address string) (d *soak.Datagrams, end func()) {
	t.Helper()
	d = &soak.Datagrams{Path: soak.Path{From: from, To: to, Address: netip.MustParseAddr(address)}, Size: 64, Seed: 1}
	if err := d.Open(); err != nil {
		t.Fatal(err)
	}
	go d.Receive()
	ctx, cancel := context.WithCancel(context.Background())
	sent := make(chan error, 1)
	go func() { sent <- d.Send(ctx) }()
	t.Cleanup(func() { cancel(); d.Close() })
	return d, func() {
		t.Helper()
		cancel()
		if err := <-sent; err != nil {
			t.Error(err)
		}
	}
}

// neighborOf is what the host's router says of another one.
func (h host) neighborOf(t *testing.T, address string) (found control.Neighbor) {
	t.Helper()
	for _, n := range decode[[]control.Neighbor](t, h.ask(t, "show", "neighbors", "-o", "json").wantOK(t)) {
		if n.Address == address {
			found = n
		}
	}
	return found
}

// missing is what was sent and has not come.
func missing(d *soak.Datagrams) float64 { return float64(d.Sent.Load()) - float64(d.Received.Load()) }

// kernelLost is what kernels have lost before a router or a receiver could read it: none,
// but on a busy machine.
func kernelLost(t *testing.T, hosts ...host) (n float64) {
	t.Helper()
	for _, h := range hosts {
		s := scrape(t, h.ns)
		for _, k := range s.labels("port_receive_lost_packets_total{") {
			n += s[k]
		}
		k := kernelOf(t, h.ns1)
		n += float64(k.unsent + k.unread)
	}
	return n
}

// setMAC gives a host's uplink another MAC. It stays up.
func (h host) setMAC(t *testing.T, last byte) (mac string) {
	t.Helper()
	address := net.HardwareAddr{2, 0, 0, 0, 0, last}
	in(t, h.ns, func() error {
		return withLink(uplink, func(l netlink.Link) error { return netlink.LinkSetHardwareAddr(l, address) })
	})
	return address.String()
}

// A next hop that stops answering ARP costs what goes there from the time that its entry
// expires, each packet of it counted with its reason, and a request a second. Nothing of
// what goes elsewhere is lost, and the way is there again when the next hop is.
//
// The entry would expire half a minute after the last answer: TestSilentPeer, forwarder,
// and A7 of the conformance tests. Here it has to be confirmed as the router's own MAC changes.
func TestNextHopStopsAnsweringARP(t *testing.T) {
	for _, c := range []struct {
		name      string
		receives  bool
		off, back func(netlink.Link) error
	}{
		{"and receives", true, netlink.LinkSetARPOff, netlink.LinkSetARPOn},
		{"and receives nothing", false, netlink.LinkSetDown, netlink.LinkSetUp},
	} {
		t.Run(c.name, func(t *testing.T) {
			hosts := labUp(t, twoNextHops)
			a, b := hosts[0], hosts[1]
			wantEcho(t, a.ns1, there, 62)
			wantEcho(t, a.ns1, elsewhere, 62)
			before := scrape(t, a.ns)
			lost, end := sendDatagrams(t, a.ns1, b.ns1, there)
			other, endOther := sendDatagrams(t, a.ns1, hosts[2].ns1, elsewhere)
			in(t, b.ns, func() error { return withLink(uplink, c.off) })
			began := time.Now()
			a.setMAC(t, 0x11)
			var grown series
			count := func() (unresolved, full float64) {
				grown = scrape(t, a.ns).since(before)
				return grown[key("drop_packets_total", `port="ns1"`, `reason="neighbor_unresolved"`)],
					grown[key("drop_packets_total", `port="ns1"`, `reason="neighbor_queue_full"`)]
			}
			eventually(t, "requests have failed", func() bool { unresolved, _ := count(); return unresolved > 0 })
			if n := a.neighborOf(t, "192.168.0.12"); n.State != "incomplete" && n.State != "failed" || n.MAC != "" || n.Waiting > neigh.MaxQueue {
				t.Errorf("the one that does not answer is %+v", n)
			}
			if n := a.neighborOf(t, "192.168.0.13"); n.State != "reachable" {
				t.Errorf("the other one is %+v", n)
			}
			if n, most := grown[key("originated_packets_total", `kind="arp_request"`)], time.Since(began).Seconds()+2; n > most {
				t.Errorf("%v ARP requests, %v at the most", n, most)
			}
			came, told := lost.Received.Load(), ""
			defer func() { t.Log(told) }()
			in(t, b.ns, func() error { return withLink(uplink, c.back) })
			eventually(t, "datagrams come again", func() bool { return lost.Received.Load() > came+1000 })
			end()
			endOther()
			eventually(t, "each datagram has come, or is counted", func() bool {
				unresolved, full := count()
				counted := unresolved + full + kernelLost(t, hosts...)
				all := missing(lost) + missing(other)
				told = fmt.Sprintf("%v are missing, %v of them elsewhere; %v counted, %v lost by kernels", all, missing(other), unresolved+full, kernelLost(t, hosts...))
				return all == counted || !c.receives && all > counted && full > 0
			})
			eventually(t, "nothing is lost of what goes elsewhere", func() bool { return missing(other) <= kernelLost(t, hosts...) })
			for _, k := range grown.labels("drop_packets_total{", `port="ns1"`) {
				if r := reasonLabel.FindStringSubmatch(k)[1]; r != "neighbor_unresolved" && r != "neighbor_queue_full" {
					t.Errorf("%s grew by %v", k, grown[k])
				}
			}
			if n := grown[key("accounting_imbalance_packets")]; n != 0 {
				t.Errorf("imbalance of %v packets", n)
			}
			unresolved, full := count()
			t.Logf("%d sent, %d came, %v neighbor_unresolved, %v neighbor_queue_full; elsewhere %d sent, %d came", lost.Sent.Load(), lost.Received.Load(), unresolved, full, other.Sent.Load(), other.Received.Load())
		})
	}
}

// A next hop with another MAC is followed with the first ARP message from there: its
// announcement, or its own request for this host. A router with another MAC asks of itself,
// so that its neighbours know. Until then a frame goes to a station that is no more, which
// nobody can count. Nothing that goes elsewhere is lost.
func TestNextHopChangesMAC(t *testing.T) {
	for _, c := range []struct {
		name          string
		router        bool // the next hop is one; else a host that runs none
		before, after func() error
	}{
		{"a host that announces it", false, func() error {
			return os.WriteFile("/proc/sys/net/ipv4/conf/"+uplink+"/arp_notify", []byte("1"), 0o644)
		}, nil},
		{"a host that asks for this one", false, nil, func() error { return greet("192.168.0.11:9") }},
		{"a router", true, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			hosts := labUp(t, twoNextHops)
			a, b := hosts[0], hosts[1]
			wantEcho(t, a.ns1, there, 62)
			wantEcho(t, a.ns1, elsewhere, 62)
			to, address := b.ns1, there
			if !c.router {
				b.killRouter(t, syscall.SIGTERM)
				to, address = b.ns, "192.168.0.12"
			}
			before := scrape(t, a.ns)
			d, end := sendDatagrams(t, a.ns1, to, address)
			other, endOther := sendDatagrams(t, a.ns1, hosts[2].ns1, elsewhere)
			eventually(t, "datagrams come", func() bool { return d.Received.Load() > 100 })
			if c.before != nil {
				in(t, b.ns, c.before)
			}
			mac := b.setMAC(t, 0x12)
			if c.after != nil {
				in(t, b.ns, c.after)
			}
			eventually(t, "the router has learnt it", func() bool { return a.neighborOf(t, "192.168.0.12").MAC == mac })
			came := d.Received.Load()
			eventually(t, "datagrams come again", func() bool { return d.Received.Load() > came+1000 })
			end()
			endOther()
			eventually(t, "nothing is lost of what goes elsewhere", func() bool { return missing(other) <= kernelLost(t, a, hosts[2]) })
			grown := scrape(t, a.ns).since(before)
			for _, k := range append(grown.labels("drop_packets_total{", `port="ns1"`), grown.labels("imbalance")...) {
				t.Errorf("%s grew by %v", k, grown[k])
			}
			t.Logf("%d sent, %d came; elsewhere %d sent, %d came", d.Sent.Load(), d.Received.Load(), other.Sent.Load(), other.Received.Load())
		})
	}
}

// While neighbours that are not there expire by the hundred, each scrape accounts for every
// packet: it has come to its end, or waits.
func TestScrapesWhileNeighborsExpire(t *testing.T) {
	leavesNothing(t)
	ns := newHost(t)
	in(t, ns, func() error { return withLink("cable", netlink.LinkSetUp) })
	startRouter(t, ns, "/run/vrouter/vrouter.sock", hostConfig)
	var out net.PacketConn
	in(t, workload.Named("w1"), func() (err error) {
		out, err = net.ListenPacket("udp4", ":0")
		return err
	})
	defer out.Close()
	const hosts = 200
	for range neigh.MaxQueue {
		for i := range hosts {
			if _, err := out.WriteTo([]byte("nobody"), &net.UDPAddr{IP: net.IPv4(192, 168, 0, byte(20+i)), Port: 9}); err != nil {
				t.Fatal(err)
			}
		}
	}
	most, dropped := 0.0, 0.0
	eventually(t, "all have expired", func() bool {
		s := scrape(t, ns)
		sum := func(words ...string) (n float64) {
			for _, k := range s.labels(words...) {
				n += s[k]
			}
			return n
		}
		received, waiting := sum("port_receive_packets_total{"), s[key("neighbor_waiting_packets")]
		dropped = sum("drop_packets_total{", "port=")
		ended := s[key("step_packets_total", `step="tx"`, `verdict="pass"`)] + sum("step_packets_total{", `verdict="consume"`) + dropped
		if received != ended+waiting {
			t.Fatalf("%v received, %v of them at their end, %v wait", received, ended, waiting)
		}
		most = max(most, waiting)
		return dropped > 0 && waiting == 0
	})
	if t.Logf("%v packets waited, %v were dropped", most, dropped); most < hosts {
		t.Errorf("only %v packets waited", most)
	}
}
