package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/walk"
)

// across is how many packets are taken over each lab, first asked about and then sent.
const across = 2000

// What `lab explain` says is what the wire shows: of packets of all kinds, in labs of two and of three hosts, each
// router sees those that were foretold, in by the port and out by the port and with the end that was foretold, and no others.
func TestLabExplainIsWhatTheWireShows(t *testing.T) {
	const more = `      - {to: 10.90.0.0/16, type: blackhole}
      - {to: 10.91.0.0/16, type: unreachable}
      - {to: 10.92.0.0/16, type: prohibit}
`
	two := `hosts:
  - node: a
    uplink: {address: 192.168.0.11/24}
    workloads: [{name: ns1, address: 10.70.1.1/24, mtu: 1500}]
    ipip: {peers: [192.168.0.12]}
    routes:
      - {to: 10.70.2.0/24, via: 192.168.0.12}
      - {to: 10.80.0.0/16, via: 192.168.0.12, encap: ipip}
      - {to: 10.99.0.0/16, via: 192.168.0.12}
` + more + `  - node: b
    uplink: {address: 192.168.0.12/24}
    workloads: [{name: ns1, address: 10.70.2.1/24, mtu: 1500}, {name: ns2, address: 10.80.2.2/24, mtu: 1500}]
    ipip: {peers: [192.168.0.11]}
    routes:
      - {to: 10.70.1.0/24, via: 192.168.0.11, encap: ipip}
      - {to: 10.99.0.0/16, via: 192.168.0.11}
` + more
	three := `links:
  - {subnet: 192.168.0.0/24, gateway: 192.168.0.1}
  - {subnet: 192.168.1.0/24, gateway: 192.168.1.1}
hosts:
  - node: host1
    uplink: {address: 192.168.0.11/24}
    workloads: [{name: ns1, address: 10.70.1.1/24, mtu: 1500}]
    ipip: {mode: cross-subnet}
    routes:
      - {to: 10.70.2.0/24, via: 192.168.0.12}
      - {to: 10.70.3.0/24, via: 192.168.1.13}
      - {to: 10.99.0.0/16, via: 192.168.1.13}
` + more + `  - node: host2
    uplink: {address: 192.168.0.12/24}
    workloads: [{name: ns1, address: 10.70.2.1/24, mtu: 1500}]
    ipip: {mode: cross-subnet, peers: [192.168.1.13]}
    routes:
      - {to: 10.70.1.0/24, via: 192.168.0.11}
      - {to: 10.70.3.0/24, via: 192.168.0.11}
      - {to: 10.99.0.0/16, via: 192.168.0.11}
` + more + `  - node: host3
    uplink: {address: 192.168.1.13/24}
    workloads: [{name: ns1, address: 10.70.3.1/24, mtu: 1500}]
    ipip: {mode: cross-subnet}
    routes:
      - {to: 10.70.1.0/24, via: 192.168.0.11}
      - {to: 10.70.2.0/24, via: 192.168.0.12}
      - {to: 10.99.0.0/16, via: 192.168.0.12}
` + more
	for name, text := range map[string]string{"two hosts": two, "three hosts": three} {
		t.Run(name, func(t *testing.T) { explainAcross(t, labUp(t, text)) })
	}
}

func explainAcross(t *testing.T, hosts []host) {
	a := newAcross(t, hosts)
	r := rand.New(rand.NewPCG(1, uint64(len(hosts))))
	met := map[string]int{}
	for n := 0; n < across; {
		a.greet()
		type sending struct {
			from  int
			frame []byte
		}
		var send []sending
		for ; n < across && len(send) < 60; n++ {
			from := r.IntN(len(hosts))
			line := a.line(r, from, n)
			w, err := walk.Run(context.Background(), *a.net, line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			met[w.Outcome+" "+w.Reason]++
			if w.Loop != nil {
				met["loop"]++
			}
			if w.Reply != nil {
				met["reply "+w.Reply.Outcome]++
			}
			a.foretell(line, w)
			send = append(send, sending{from, w.Hops[0].Frame.Padded()})
		}
		for _, s := range send {
			if err := a.raw[s.from].write(s.frame); err != nil {
				t.Fatal(err)
			}
		}
		if !a.settle() {
			break
		}
	}
	a.greet()
	a.settle()
	t.Log(met)
	for _, want := range []string{"delivered ", "dropped no_route", "dropped blackhole", "dropped ttl_exceeded", "dropped mtu_exceeded", "dropped rpf_failed", "consumed ", "host not_for_router", "loop", "reply delivered"} {
		if met[want] == 0 {
			t.Errorf("never met: %s", want)
		}
	}
}

// overHosts is a lab that is watched.
type overHosts struct {
	t     *testing.T
	hosts []host
	net   *walk.Net
	raw   []*rawPort
	own   []string // the workloads' addresses

	mu       sync.Mutex
	foretold map[string]int // less what was seen
	lines    map[string]string
	lost     uint64
}

func newAcross(t *testing.T, hosts []host) *overHosts {
	a := &overHosts{t: t, hosts: hosts, foretold: map[string]int{}, lines: map[string]string{}}
	var sources []follow.Source
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	t.Cleanup(func() { cancel(); group.Wait() })
	for _, h := range hosts {
		c := control.NewClient(h.Socket)
		t.Cleanup(c.Close)
		sources = append(sources, follow.Source{Name: h.Name, Client: c})
		for _, w := range h.Workloads {
			p := netip.MustParsePrefix(w.Address)
			a.own = append(a.own, p.Addr().String())
		}
		a.raw = append(a.raw, openRaw(t, h))
		tr, err := c.Trace(ctx, control.TraceOptions{Frames: true})
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			for {
				p, err := tr.Next()
				if err != nil {
					return
				}
				a.seen(p)
			}
		})
	}
	a.greet()
	a.net = follow.Net(context.Background(), sources)
	l, err := lab.Load()
	if err != nil {
		t.Fatal(err)
	}
	around, err := l.Gateways()
	if err != nil {
		t.Fatal(err)
	}
	a.net.Others = append(a.net.Others, around...)
	return a
}

// numberOf is the identification of a fragment: of a reply its own stack chooses it.
var numberOf = regexp.MustCompile(` id \d+ offset `)

// greeting is the length of a ping that greets.
const greeting = 84

// greet has all next hops known.
func (a *overHosts) greet() {
	for _, from := range a.hosts {
		for _, to := range a.hosts {
			if from.Name != to.Name {
				resumes(a.t, from.ns1, strings.Split(to.Workloads[0].Address, "/")[0])
			}
		}
	}
}

// key is what is compared of a packet at a host.
func atHost(p *trace.Packet) string {
	return fmt.Sprintf("%s %s > %s %s %d bytes: %s %s", p.Host, p.In, p.Out, numberOf.ReplaceAllString(p.Summary, " offset "), p.Length, p.Outcome, p.Reason)
}

// unforetold is what nobody can foretell, or is not part of it: what the workloads' and the hosts' own stacks say, ARP, what
// greets, and what the router does not even read, as it is the host's.
func (a *overHosts) unforetold(p *trace.Packet) bool {
	s := p.Summary
	if p.Proto == "arp" || p.Outcome == trace.LeftToHost && p.In == uplink || strings.Contains(s, "port unreachable") || strings.Contains(s, "protocol unreachable") || strings.Contains(s, " 192.168.0.1 >") || strings.Contains(s, " 192.168.1.1 >") ||
		strings.Contains(s, "echo") && (p.Length == greeting || p.Length == greeting+20) {
		return true
	}
	return strings.Contains(s, "echo reply 192.168.") || strings.Contains(s, "tcp") && strings.Contains(s, " R. ")
}

func (a *overHosts) seen(p *trace.Packet) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost += p.Lost + p.Skipped
	if a.unforetold(p) {
		return
	}
	a.add(atHost(p), -1)
}

func (a *overHosts) add(key string, n int) {
	if a.foretold[key] += n; a.foretold[key] == 0 {
		delete(a.foretold, key)
	}
}

func (a *overHosts) foretell(line string, w *walk.Walk) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range w.Hops {
		h := &w.Hops[i]
		if h.Part == walk.PartReply && !strings.HasPrefix(w.Summary, "icmp") {
			return // nobody listens there
		}
		if a.unforetold(&h.Packet) {
			continue
		}
		a.add(atHost(&h.Packet), 1)
		a.lines[atHost(&h.Packet)] = line
	}
}

// settle waits until all that was foretold has been seen, and nothing else.
func (a *overHosts) settle() bool {
	ok := false
	for end := time.Now().Add(patience); !ok && time.Now().Before(end); {
		a.mu.Lock()
		ok = len(a.foretold) == 0
		a.mu.Unlock()
		time.Sleep(pollEvery)
	}
	if ok {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, n := range a.foretold {
		a.t.Errorf("foretold less seen: %+d  %s\n\t%s", n, key, a.lines[key])
	}
	if a.lost > 0 {
		a.t.Errorf("%d records were lost", a.lost)
	}
	return false
}

// line describes any packet of a host's first workload.
func (a *overHosts) line(r *rand.Rand, from, n int) string {
	src := strings.Split(a.hosts[from].Workloads[0].Address, "/")[0]
	where := fmt.Sprintf(" in %s/ns1", a.hosts[from].Name)
	if r.IntN(20) == 0 {
		src = "10.70.9.9"
	}
	dst := a.own[r.IntN(len(a.own))]
	switch r.IntN(12) {
	case 0:
		dst = pick(r, "10.90.1.1", "10.91.1.1", "10.92.1.1")
	case 1:
		dst = pick(r, "169.254.1.1", "8.8.8.8", "10.70.7.7", "127.0.0.1", "224.0.0.5", "240.0.0.1")
	case 2:
		dst = a.hosts[r.IntN(len(a.hosts))].address()
	case 3:
		if r.IntN(4) == 0 {
			dst = "10.99.1.1"
		}
	}
	kind := pick(r, "icmp", "icmp", "udp", "tcp", "ip")
	switch kind {
	case "udp", "tcp":
		src, dst = src+":"+fmt.Sprint(1024+n), dst+":"+fmt.Sprint(1+r.IntN(60000))
	}
	line := fmt.Sprintf("%s %s > %s id %d tos %d", kind, src, dst, n+1, r.IntN(256))
	if r.IntN(2) == 0 {
		line += fmt.Sprintf(" length %d", pick(r, 60, 576, 1400, 1470, 1480, 1481, 1490, 1500))
	}
	if r.IntN(3) == 0 {
		line += fmt.Sprintf(" ttl %d", r.IntN(6))
	}
	if r.IntN(2) == 0 {
		line += " df"
	}
	if kind == "ip" {
		line += fmt.Sprintf(" proto %d", pick(r, 47, 50, 89))
	}
	if kind == "udp" && !strings.Contains(line, "169.254") && !strings.Contains(line, "> 192.168") && r.IntN(6) == 0 {
		line += fmt.Sprintf(" offset %d", 8*r.IntN(100))
	}
	return line + where
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func (h host) address() string { return strings.Split(h.Address, "/")[0] }

// rawPort writes frames into a workload's interface, as its stack would.
type rawPort struct{ fd int }

func openRaw(t *testing.T, h host) *rawPort {
	t.Helper()
	p := &rawPort{}
	in(t, h.ns1, func() (err error) {
		if p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); err != nil {
			return err
		}
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		return unix.Bind(p.fd, &unix.SockaddrLinklayer{Ifindex: i.Index})
	})
	t.Cleanup(func() { unix.Close(p.fd) })
	return p
}

func (p *rawPort) write(frame []byte) error {
	_, err := unix.Write(p.fd, frame)
	return err
}
