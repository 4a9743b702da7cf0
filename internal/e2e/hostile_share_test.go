package e2e

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/ethtool"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/workload"
)

var (
	shareModes   = flag.String("hostile.modes", "kernel,plain,ipip,kernel cut,cut,kernel6,plain6,6in4", "modes in which the shares are measured: plain, ipip, cut (offload: false), plain6 and 6in4 (the same in IPv6, and by a tunnel of IPv4); kernel, kernel cut and kernel6 are kernels in the routers' place, to compare with")
	shareWorkers = flag.String("hostile.workers", "1,2", "numbers of workers with which the shares are measured")
)

const (
	// shareSlice is how long honest traffic is counted, alone and beside a hostile
	// party in turns, once it has found its speed.
	shareSlice  = 300 * time.Millisecond
	shareWarmup = 200 * time.Millisecond
	shareRounds = 3
	// leastOfTCP is what a stream must keep on a machine that has other things to do:
	// without shares it is less than a hundredth of that.
	leastOfTCP = 0.02
)

// field is two hosts. On the first one w1 is hostile, w2 and w3 are not; on the
// second one w1 is the accomplice of the first one's.
type field struct {
	hosts []host // none: their kernels are the routers
	w     [2][]workload.Namespace
	six   bool // all of it is IPv6
}

// kernelMode says whether a mode is one of kernels in the routers' place.
func kernelMode(mode string) bool { return strings.HasPrefix(mode, "kernel") }

// address of a workload, both counted from 0.
func (f *field) address(host, w int) string {
	if f.six {
		return fmt.Sprintf("fd00:70:%d::%d", host+1, w+1)
	}
	return fmt.Sprintf("10.70.%d.%d", host+1, w+1)
}

// takeField brings the hosts up in a mode.
func takeField(t *testing.T, mode string, workers string) *field {
	t.Helper()
	more := "    workers: " + workers + "\n"
	switch mode {
	case "ipip", "6in4":
		more += "    ipip: {mode: always}\n"
	case "cut", "kernel cut":
		more += "    offload: false\n"
	}
	via6 := "fd00:192::1%d"
	if mode == "6in4" {
		via6 = "192.168.0.1%d"
	}
	one := func(n, peer int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "  - node: h%d\n    uplink: {addresses: [192.168.0.1%d/24, \"fd00:192::1%d/64\"]}\n    workloads:\n", n, n, n)
		for w := range 3 {
			fmt.Fprintf(&b, "      - {name: w%d, addresses: [10.70.%d.%d/24, \"fd00:70:%d::%d/128\"]}\n", w+1, n, w+1, n, w+1)
		}
		fmt.Fprintf(&b, "    routes: [{to: 10.70.%d.0/24, via: 192.168.0.1%d}, {to: \"fd00:70:%d::/48\", via: \""+via6+"\"}]\n", peer, peer, peer, peer)
		return b.String() + more
	}
	f := &field{six: strings.Contains(mode, "6")}
	text := "hosts:\n" + one(1, 2) + one(2, 1)
	var all []*lab.Host
	if kernelMode(mode) {
		all = twinUp(t, text).Twins
	} else {
		f.hosts = labUp(t, text)
		for _, h := range f.hosts {
			all = append(all, h.Host)
		}
	}
	for i, h := range all {
		for _, w := range h.Workloads {
			f.w[i] = append(f.w[i], workload.Named(w.Namespace))
			if strings.HasSuffix(mode, "cut") && kernelMode(mode) { // what a TAP has with offload: false
				inNamespace(t, w.Namespace, func() error {
					return errors.Join(inSoftware("eth0"), ethtool.Set("eth0", false, "tx-checksum-ip-generic"))
				})
			}
		}
	}
	for i := range f.w[0] {
		wantEcho(t, f.w[0][i], f.address(1, i), 62)
	}
	wantEcho(t, f.w[0][1], f.address(0, 2), 63)
	return f
}

// honestLoad is honest traffic from the first host's w2: what it is, and what arrives of it.
type honestLoad struct {
	name string
	rate func(t *testing.T, f *field) float64
}

var honestTraffic = []honestLoad{
	{"TCP to w3, Mbit/s", func(t *testing.T, f *field) float64 { return f.tcp(t, 0, 2) }},
	{"TCP to the other host, Mbit/s", func(t *testing.T, f *field) float64 { return f.tcp(t, 1, 1) }},
	{"datagrams to w3, %", func(t *testing.T, f *field) float64 { return f.datagrams(t, 0, 2) }},
	{"datagrams to the other host, %", func(t *testing.T, f *field) float64 { return f.datagrams(t, 1, 1) }},
}

// tcp is what one stream to a workload carries, in Mbit/s; 0 if it cannot connect.
func (f *field) tcp(t *testing.T, host, w int) float64 {
	t.Helper()
	s, err := newStreams(f.w[0][1], f.w[host][w], f.address(host, w), 1, 0)
	if err != nil {
		return 0
	}
	defer s.close()
	time.Sleep(shareWarmup)
	start, before := time.Now(), s.received.Load()
	time.Sleep(shareSlice)
	return float64(s.received.Load()-before) * 8 / 1e6 / time.Since(start).Seconds()
}

// datagrams is the share of small datagrams, ten a millisecond, that arrive.
func (f *field) datagrams(t *testing.T, host, w int) float64 {
	t.Helper()
	from := listenUDP(t, f.w[0][1], f.address(0, 1))
	defer from.Close()
	to := listenUDP(t, f.w[host][w], f.address(host, w))
	defer to.Close()
	_ = to.(*net.UDPConn).SetReadBuffer(4 << 20)
	var came atomic.Int64
	go func() {
		for b := make([]byte, 100); ; came.Add(1) {
			if _, _, err := to.ReadFrom(b); err != nil {
				return
			}
		}
	}()
	sent := 0
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(shareSlice); time.Now().Before(end); <-tick.C {
		for range pace {
			if _, err := from.WriteTo(make([]byte, 64), to.LocalAddr()); err == nil {
				sent++
			}
		}
	}
	for last := int64(-1); last != came.Load(); time.Sleep(20 * time.Millisecond) {
		last = came.Load()
	}
	return 100 * float64(came.Load()) / float64(sent)
}

// streams are TCP connections from one workload to another, filled by their clients.
type streams struct {
	received atomic.Uint64
	conns    []net.Conn
}

// newStreams opens n of them, of a maximum segment size if one is given.
func newStreams(from, to workload.Namespace, address string, n, mss int) (*streams, error) {
	s := &streams{}
	var l net.Listener
	if err := to.Do(func() (err error) {
		l, err = listenMSS(address, mss)
		return err
	}); err != nil {
		return nil, err
	}
	defer l.Close()
	for range n {
		var out net.Conn
		if err := from.Do(func() (err error) {
			out, err = dialMSS(l.Addr().String(), mss)
			return err
		}); err != nil {
			s.close()
			return nil, err
		}
		s.conns = append(s.conns, out)
		in, err := l.Accept()
		if err != nil {
			s.close()
			return nil, err
		}
		s.conns = append(s.conns, in)
		go func() {
			for b := make([]byte, 256<<10); ; {
				if _, err := out.Write(b); err != nil {
					return
				}
			}
		}()
		go func() { _, _ = io.CopyBuffer(counting{&s.received}, onlyReader{in}, make([]byte, 256<<10)) }()
	}
	return s, nil
}

type counting struct{ n *atomic.Uint64 }

func (c counting) Write(b []byte) (int, error) {
	c.n.Add(uint64(len(b)))
	return len(b), nil
}

type onlyReader struct{ io.Reader }

func (s *streams) close() {
	for _, c := range s.conns {
		c.Close()
	}
}

// However little a hostile party sends: what it costs is taken from its own share of
// the workers, and the others keep theirs. Without -hostile one stream is looked at in
// the mode that was hit hardest.
func TestHostileShares(t *testing.T) {
	modes, workers := strings.Split(*shareModes, ","), strings.Split(*shareWorkers, ",")
	traffic, rounds := honestTraffic, shareRounds
	if !*showHostile {
		modes, workers, traffic, rounds = []string{"ipip"}, []string{"1"}, honestTraffic[:1], 1
	}
	for _, mode := range modes {
		numbers := workers
		if kernelMode(mode) {
			numbers = workers[:1] // it has none
		}
		for _, n := range numbers {
			t.Run(fmt.Sprintf("%s, workers: %s", mode, n), func(t *testing.T) {
				f := takeField(t, mode, n)
				for _, p := range parties {
					t.Run(p.name, func(t *testing.T) { f.withstand(t, p, traffic, rounds) })
				}
				f.wantWhole(t)
			})
		}
	}
}

// withstand measures honest traffic alone and beside a hostile party, in turns.
func (f *field) withstand(t *testing.T, p party, traffic []honestLoad, rounds int) {
	for _, m := range traffic {
		var alone, beside []float64
		for range rounds {
			alone = append(alone, m.rate(t, f))
			r := f.starts(t, p)
			beside = append(beside, m.rate(t, f))
			f.wantSlow(t, p.slow)
			r.signal(t, syscall.SIGKILL)
			f.settle(t)
		}
		slices.Sort(alone)
		slices.Sort(beside)
		a, b := alone[rounds/2], beside[rounds/2]
		least := leastOfTCP
		if *showHostile {
			if least = leastShare; len(f.hosts) == 0 {
				least = 0 // nothing is asked of the kernel
			}
			fmt.Printf("%-75s %-32s alone %6.0f, beside it %6.0f: %3.0f %%\n", t.Name()[len("TestHostileShares/"):], m.name, a, b, 100*b/a)
		}
		if b < least*a {
			t.Errorf("%s: %.0f alone, %.0f beside it", m.name, a, b)
		}
	}
}

// wantSlow wants a host's router to say that w1 is slow, or both to say that nobody is:
// those with slow stacks come last, and may be slow for a while when they are not any more.
func (f *field) wantSlow(t *testing.T, at int) {
	t.Helper()
	for i, h := range f.hosts {
		var list []string
		if i+1 == at {
			list = []string{"w1"}
		} else if at != 0 {
			continue
		}
		eventually(t, fmt.Sprintf("%s says that slow are %v", h.Name, list), func() bool {
			var slow []string
			for _, w := range decode[[]control.Worker](t, h.ask(t, "show", "workers", "-o", "json").wantOK(t)) {
				slow = append(slow, w.SlowPorts...)
			}
			return slices.Equal(slow, list)
		})
	}
}

// settle waits until what a party has left in queues is worked off.
func (f *field) settle(t *testing.T) {
	t.Helper()
	for _, x := range []struct {
		from workload.Namespace
		to   string
	}{{f.w[0][1], f.address(0, 2)}, {f.w[0][1], f.address(1, 1)}, {f.w[0][0], f.address(1, 0)}} {
		within(t, commandTimeout, "pings from "+string(x.from)+" to "+x.to, func() bool { return echo(t, x.from, x.to, 100*time.Millisecond) != 0 })
	}
}

// wantWhole wants both routers to be up, and their books to balance.
func (f *field) wantWhole(t *testing.T) {
	t.Helper()
	for _, h := range f.hosts {
		s := scrape(t, h.ns)
		if n := s[key("accounting_imbalance_packets")]; n != 0 {
			t.Errorf("%s: the books do not balance: %v", h.Name, n)
		}
	}
}
