package e2e

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/workload"
)

var showHostile = flag.Bool("hostile", false, "print what floods leave of honest traffic")

const (
	// slice is how long honest traffic is counted, alone and under a flood in turns.
	slice  = 150 * time.Millisecond
	rounds = 3
	// pace is what the honest workload sends each millisecond: well under what the
	// router carries, so that it loses nothing when it is alone.
	pace = 10
	// leastShare is what a flood must leave of it.
	leastShare = 0.5
	// ownTalk is how many packets a workload's own stack may send during a flood, of Neighbor Discovery.
	ownTalk = 200
	// mostMemory is how much a router may grow under all floods together, in KiB: its
	// limits for what waits and is put together, and room for the collector.
	mostMemory = 128 << 10
)

// besieged is a host whose first workload, or whose uplink's other end, is hostile.
type besieged struct {
	host, wire workload.Namespace
	w          [3]workload.Namespace
	router     *running
	socket     string
	dual       bool // with IPv6 beside IPv4
	slices     byte // of honest traffic so far
}

// besiege starts a router with three workloads, by a command if one is given.
func besiege(t *testing.T, by ...string) *besieged {
	t.Helper()
	return (&besieged{}).begin(t, by)
}

// besiegeDual does so in both families.
func besiegeDual(t *testing.T, by ...string) *besieged {
	t.Helper()
	return (&besieged{dual: true}).begin(t, by)
}

func (b *besieged) begin(t *testing.T, by []string) *besieged {
	t.Helper()
	b.host, b.wire, b.socket = newNamespace(t), newNamespace(t), "/run/vrouter/vrouter.sock"
	for i := range b.w {
		b.w[i] = newNamespace(t)
	}
	wire, err := os.Open(string(b.wire))
	if err != nil {
		t.Fatal(err)
	}
	defer wire.Close()
	in(t, b.host, func() error {
		return errors.Join(netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "ens160"}, PeerName: "far", PeerNamespace: netlink.NsFd(wire.Fd()),
		}), up("ens160", hostAddress+"/16"))
	})
	in(t, b.wire, func() error {
		return errors.Join(up("far", farHost+"/16"), netlink.RouteAdd(&netlink.Route{
			Dst: &net.IPNet{IP: net.IPv4(10, 70, 1, 0), Mask: net.CIDRMask(24, 32)}, Gw: net.ParseIP(hostAddress),
		}))
	})
	also, routes := "", ""
	if b.dual {
		b.dualUplink(t)
		also, routes = ", \"fd00:70:1::%[1]d/128\"", ", {to: \"fd00:70:2::1\", via: "+farHost+", encap: ipip}"
	}
	workloads := ""
	for i, ns := range b.w {
		workloads += fmt.Sprintf("  - {name: w%[1]d, addresses: [10.70.1.%[1]d/24"+also+"], namespace: %[2]s}\n", i+1, ns)
	}
	config := file(t, "config.yaml", fmt.Sprintf(`node: h
uplink: {interface: ens160}
workloads:
%sroutes: [{to: 10.70.2.1, via: %s, encap: ipip}%s]
control: {socket: %s}
`, workloads, farHost, routes, b.socket))
	t.Cleanup(func() {
		start(t, command(t, "down", "--config", config), b.host.Do).wait(t).wantOK(t)
	})
	by = append(by, program, "run", "--config", config)
	b.router = start(t, exec.Command(by[0], by[1:]...), b.host.Do) // for longer than a command may take
	eventually(t, "the router answers", func() bool {
		return b.router.hasEnded() || vrouter(t, "--socket", b.socket, "show", "ports").status == 0
	})
	for _, to := range b.honestTo() {
		wantEcho(t, b.w[1], to.address, 63)
	}
	return b
}

// dualUplink gives the wire and both of its ends IPv6.
func (b *besieged) dualUplink(t *testing.T) {
	t.Helper()
	for _, ns := range []workload.Namespace{b.host, b.wire} {
		setIn(t, ns, "all/accept_dad", "0")
		setIn(t, ns, "all/disable_ipv6", "0")
	}
	in(t, b.host, func() error { return up("ens160", hostAddress6+"/64") })
	in(t, b.wire, func() error {
		return errors.Join(up("far", farHost6+"/64"), netlink.RouteAdd(&netlink.Route{Dst: ipNet("fd00:70:1::/64"), Gw: net.ParseIP(hostAddress6)}))
	})
	for ns, address := range map[workload.Namespace]string{b.host: farHost6, b.wire: hostAddress6} {
		eventually(t, address+" answers", func() bool { return answers(ns, address) })
	}
}

// honestTo is where honest traffic of the second workload goes: to the third one, and out by the uplink.
func (b *besieged) honestTo() []destination {
	to := []destination{{b.w[2], "10.70.1.3"}, {b.wire, farHost}}
	if b.dual {
		to = append(to, destination{b.w[2], "fd00:70:1::3"}, destination{b.wire, farHost6})
	}
	return to
}

type destination struct {
	ns      workload.Namespace
	address string
}

// Whatever a workload or the network floods the router with, in either family: it stays up and answers,
// its limits hold, each packet is on its books with the reason that it should have,
// and other workloads keep at least half of their rate.
func TestHostileFloods(t *testing.T) {
	b := besiegeDual(t)
	memory := b.memory(t)
	goroutines := 0.0 // once the router has all it begins with
	for i, a := range slices.Concat(attacks, attacks6) {
		if i == 1 {
			goroutines = scrape(t, b.host)[key("go_goroutines")]
		}
		where := "workload"
		if a.uplink {
			where = "uplink"
		}
		t.Run(where+"/"+a.name, func(t *testing.T) { b.withstand(t, a) })
	}
	if grown := b.memory(t) - memory; grown > mostMemory {
		t.Errorf("the router has grown by %d KiB", grown)
	}
	now := 0.0
	within(t, 2*patience, "goroutines are as many as before", func() bool {
		if n := scrape(t, b.host)[key("go_goroutines")]; n != now {
			now = n
			t.Logf("%v goroutines; %v before", n, goroutines)
		}
		return now <= goroutines+2 // the scrape's own
	})
	wantEcho(t, b.w[1], farHost, 63)
}

// withstand floods, and holds the router to its promises.
func (b *besieged) withstand(t *testing.T, a attack) {
	ns, dev, port := b.w[0], "eth0", "w1"
	if a.uplink {
		ns, dev, port = b.wire, "far", "ens160"
	}
	frames := b.frames(t, a, ns, dev)
	before := scrape(t, b.host)
	var alone, under, shares []float64
	var sent, refused uint64
	for range rounds {
		_, n := b.honest(t)
		alone = append(alone, n)
		stop := deluge(t, ns, dev, frames)
		offered, n := b.honest(t)
		under, shares = append(under, n), append(shares, n/offered)
		vrouter(t, "--socket", b.socket, "show", "ports").wantOK(t)
		s, r := stop()
		sent, refused = sent+s, refused+r
		if !*showHostile && n >= leastShare*offered {
			break // a busy machine may need another try
		}
	}
	if b.router.hasEnded() {
		t.Fatalf("the router has ended: %+v", b.router.wait(t))
	}
	b.wantAccount(t, a, port, before, sent, refused)
	slices.Sort(alone)
	slices.Sort(under)
	slices.Sort(shares)
	middle := len(shares) / 2
	rate, share := under[middle]/alone[middle], shares[middle]
	if *showHostile {
		grown := scrape(t, b.host).since(before)
		fmt.Printf("%-55s %8d sent, %8.0f lost in the kernel; honest %5.0f of %5.0f a slice: %3.0f %%, arrived of what was sent: %3.0f %%\n", t.Name()[len("TestHostileFloods/"):], sent,
			grown[key("port_receive_lost_packets_total", `port="`+port+`"`)], under[middle], alone[middle], 100*rate, 100*share)
	}
	if share < leastShare {
		t.Errorf("of honest traffic %.0f %% arrives", 100*share)
	}
	// The sender shares its processors with the flood's, so what it sends is the
	// machine's to say, and required only of a machine that has nothing else to do.
	if *showHostile && rate < leastShare {
		t.Errorf("honest traffic keeps %.0f %% of its rate", 100*rate)
	}
}

var reasonLabel = regexp.MustCompile(`reason="([a-z0-9_]+)"`)

// wantAccount wants each frame of a flood on the books: read, or lost before, and
// dropped for no other reason than it should be.
func (b *besieged) wantAccount(t *testing.T, a attack, port string, before series, sent, refused uint64) {
	t.Helper()
	p := `port="` + port + `"`
	var grown series
	eventually(t, "all frames are counted", func() bool {
		grown = scrape(t, b.host).since(before)
		n := uint64(grown[key("port_receive_packets_total", p)] + grown[key("port_receive_lost_packets_total", p)])
		return n >= sent && (a.uplink || n <= sent+refused+ownTalk)
	})
	for _, k := range grown.labels("drop_packets_total{", p) {
		// What an earlier flood has left to wait ends in its own time.
		if r := reasonLabel.FindStringSubmatch(k)[1]; !a.allows(r) && r != "reassembly_timeout" && r != "neighbor_unresolved" {
			t.Errorf("%s grew by %v", k, grown[k])
		}
	}
	now := scrape(t, b.host)
	if n := now[key("accounting_imbalance_packets")]; n != 0 {
		t.Errorf("the books do not balance: %v", n)
	}
	total := 0.0
	for _, k := range now.labels("neighbors{") {
		if !strings.Contains(k, `state="permanent"`) {
			total += now[k]
		}
	}
	if total > 4096 {
		t.Errorf("%v neighbours", total)
	}
}

// frames are those of a flood, made beforehand so that making them takes no time from it.
func (b *besieged) frames(t *testing.T, a attack, ns workload.Namespace, dev string) [][]byte {
	t.Helper()
	x := &attacker{Rand: rand.New(rand.NewPCG(1, 2)), from: packet.MAC(macOf(t, ns, dev)), to: gatewayMAC, own: "10.70.1.1", own6: "fd00:70:1::1"}
	if a.uplink {
		x.to, x.own, x.own6 = packet.MAC(macOf(t, b.host, "ens160")), farHost, farHost6
	}
	return x.frames(t, []attack{a}, ns, dev)
}

// frames are those of attacks, in turn. A workload's interface takes long ones then, as a workload may have it do.
func (x *attacker) frames(t *testing.T, list []attack, ns workload.Namespace, dev string) (frames [][]byte) {
	t.Helper()
	for x.n = range floodFrames {
		frames = append(frames, list[x.n%len(list)].frame(x))
	}
	if !list[0].uplink {
		in(t, ns, func() error {
			return withLink(dev, func(l netlink.Link) error { return netlink.LinkSetMTU(l, 9000) })
		})
	}
	return frames
}

// deluge sends frames at full rate until stop is called, which says how many were
// sent, and how many the sender's own kernel refused.
func deluge(t *testing.T, ns workload.Namespace, dev string, frames [][]byte) (stop func() (sent, refused uint64)) {
	t.Helper()
	var fd, index int
	in(t, ns, func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return withLink(dev, func(l netlink.Link) error {
			index = l.Attrs().Index
			return nil
		})
	})
	var ended atomic.Bool
	var sent, refused uint64
	done := make(chan error, 1)
	go func() {
		to := &unix.SockaddrLinklayer{Ifindex: index}
		for i := 0; !ended.Load(); i++ {
			switch err := unix.Sendto(fd, frames[i%len(frames)], 0, to); err {
			case nil:
				sent++
			case unix.ENOBUFS, unix.EAGAIN:
				refused++
			case unix.EINVAL: // shorter than an Ethernet header
			default:
				done <- err
				return
			}
		}
		done <- nil
	}()
	return func() (uint64, uint64) {
		ended.Store(true)
		if err := <-done; err != nil {
			t.Errorf("sending: %v", err)
		}
		unix.Close(fd)
		return sent, refused
	}
}

// honest sends datagrams from the second workload at a steady pace, in turns to each of its
// destinations, for a slice of time. It returns how many were sent, and how many
// would have arrived if all ways had done as the worst of them did.
func (b *besieged) honest(t *testing.T) (sent, arrived float64) {
	t.Helper()
	from := listenUDP(t, b.w[1], "::")
	defer from.Close()
	b.slices++ // more than one last datagram is sent, and some may come in the next slice
	var ways []*way
	for _, to := range b.honestTo() {
		w := b.way(t, to.ns, to.address)
		defer w.to.Close()
		go w.count(b.slices)
		ways = append(ways, w)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(slice); time.Now().Before(end); <-tick.C {
		for range pace {
			if _, err := from.WriteTo(make([]byte, 64), ways[int(sent)%len(ways)].to.LocalAddr()); err == nil {
				sent++
			}
		}
	}
	arrived = sent
	for _, w := range ways {
		arrived = min(arrived, w.end(t, from, b.slices, tick)*float64(len(ways)))
	}
	return sent, arrived
}

// way is one that honest datagrams take. The last ones are known by their length; a flow
// keeps its order, so behind them nothing comes.
type way struct {
	to   net.PacketConn
	last chan float64
}

func (b *besieged) way(t *testing.T, ns workload.Namespace, address string) *way {
	to := listenUDP(t, ns, address)
	_ = to.(*net.UDPConn).SetReadBuffer(4 << 20) // as much as it may be
	return &way{to: to, last: make(chan float64, 1)}
}

func (w *way) count(mark byte) {
	buf, n := make([]byte, 100), 0.0
	for {
		size, _, err := w.to.ReadFrom(buf)
		if err != nil {
			return
		}
		switch {
		case size > 1:
			n++
		case buf[0] == mark:
			w.last <- n
			return
		}
	}
}

// end sends last datagrams until one arrives, and returns how many others did before it.
func (w *way) end(t *testing.T, from net.PacketConn, mark byte, tick *time.Ticker) float64 {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if _, err := from.WriteTo([]byte{mark}, w.to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		select {
		case n := <-w.last:
			return n
		default:
		}
	}
	t.Fatalf("of honest traffic to %v nothing arrives any more", w.to.LocalAddr())
	return 0
}

// memory is the router's resident set, in KiB.
func (b *besieged) memory(t *testing.T) int {
	t.Helper()
	return memoryOf(t, b.router.cmd.Process.Pid, "VmRSS")
}
