//go:build bgp

package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/workload"
)

// examples of BIRD's and vrouter's configuration, which docs/bgp.md tells about.
const examples = "../../examples/bgp/"

// bgpPatience is for what BGP's timers may delay.
const bgpPatience = 30 * time.Second

// bird is a BIRD of one host.
type bird struct {
	*running
	config, control string
}

// birdProgram finds bird or birdc, which are not in everybody's PATH.
func birdProgram(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Fatalf("this test needs %s: apt-get install bird2", name)
	return ""
}

// startBird starts BIRD on a host as docs/bgp.md does: `bird -R -c FILE`.
func startBird(t *testing.T, h host, config string) *bird {
	t.Helper()
	dir := t.TempDir()
	b := &bird{config: config, control: filepath.Join(dir, "bird.ctl")}
	cmd := exec.Command(birdProgram(t, "bird"), "-f", "-R", "-c", config, "-s", b.control, "-P", filepath.Join(dir, "bird.pid"))
	b.running = start(t, cmd, h.ns.Do)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("BIRD with %s:\n%s\n%s", config, read(t, b.errors), b.ask(t, "show route all"))
		}
	})
	return b
}

// ask is a command of birdc; what it says is returned, right or wrong.
func (b *bird) ask(t *testing.T, command string) string {
	t.Helper()
	out, _ := exec.Command(birdProgram(t, "birdc"), "-s", b.control, command).CombinedOutput()
	return string(out)
}

// birdLab builds a lab with a BIRD on each host.
func birdLab(t *testing.T, lab, directory string) (hosts []host, all []*bird) {
	t.Helper()
	birdProgram(t, "bird") // before anything is built
	hosts = labUp(t, read(t, examples+lab))
	for _, h := range hosts {
		all = append(all, startBird(t, h, examples+directory+"/"+h.Name+".conf"))
	}
	return hosts, all
}

// hasRoute waits until a host's router has a route, or has it no more.
func (h host) hasRoute(t *testing.T, want bool, line string) {
	t.Helper()
	within(t, bgpPatience, fmt.Sprintf("%s has %q: %v", h.Name, line, want), func() bool {
		return strings.Contains(h.ask(t, "route", "list").wantOK(t), line+"\n") == want
	})
}

// Two hosts, each with its block of addresses.
func TestBGPTwoHosts(t *testing.T) {
	hosts, birds := birdLab(t, "lab-two.yaml", "two")
	a, b := hosts[0], hosts[1]
	const toB, toA = "10.70.2.0/24 via 192.168.0.12 dev ens160 proto bird metric 32", "10.70.1.0/24 via 192.168.0.11 dev ens160 proto bird metric 32"
	a.hasRoute(t, true, toB)
	b.hasRoute(t, true, toA)
	wantEcho(t, a.ns1, there, 62)

	// What is announced no more goes, and comes back.
	if out := birds[1].ask(t, "disable workloads"); !strings.Contains(out, "disabled") {
		t.Fatal(out)
	}
	a.hasRoute(t, false, toB)
	wantEcho(t, a.ns1, there, 0)
	birds[1].ask(t, "enable workloads")
	a.hasRoute(t, true, toB)
	wantEcho(t, a.ns1, there, 62)

	// A BIRD that is killed, and another one in its place, lose no packet.
	settled(t, birds...)
	stream := newStream(t, a.ns1, b.ns1)
	for i, h := range hosts {
		birds[i].signal(t, syscall.SIGKILL)
		stream.more(t)
		a.hasRoute(t, true, toB)
		b.hasRoute(t, true, toA)
		birds[i] = startBird(t, h, birds[i].config)
		settled(t, birds...)
		stream.more(t)
		a.hasRoute(t, true, toB)
		b.hasRoute(t, true, toA)
	}
	stream.wantAll(t)
}

// settled waits until all sessions are up, and graceful restart is over.
func settled(t *testing.T, birds ...*bird) {
	t.Helper()
	for _, b := range birds {
		within(t, bgpPatience, "BIRD settles", func() bool {
			out := b.ask(t, "show protocols all")
			sessions := strings.Count(out, "BGP state:")
			return sessions > 0 && strings.Count(out, "BGP state:          Established") == sessions &&
				!strings.Contains(out, "Restart timer") && !strings.Contains(b.ask(t, "show status"), "Graceful restart recovery in progress")
		})
	}
}

// Three hosts, each a neighbour of the others.
func TestBGPFullMesh(t *testing.T) { threeHosts(t, "mesh") }

// Three hosts, of which one tells the others about each other.
func TestBGPRouteReflector(t *testing.T) { threeHosts(t, "reflector") }

// threeHosts announce their workloads one by one, out of the host's table.
func threeHosts(t *testing.T, directory string) {
	hosts, birds := birdLab(t, "lab-three.yaml", directory)
	to := func(n int) string {
		return strings.ReplaceAll("10.70.N.1/32 via 192.168.0.1N dev ens160 proto bird metric 32", "N", string(rune('0'+n)))
	}
	others := func(do func(h host, n int)) {
		for i, h := range hosts {
			for n := 1; n <= 3; n++ {
				if n != i+1 {
					do(h, n)
				}
			}
		}
	}
	others(func(h host, n int) { h.hasRoute(t, true, to(n)) }) // all of them, as a reply needs one too
	others(func(h host, n int) {
		wantEcho(t, h.ns1, strings.ReplaceAll("10.70.N.1", "N", string(rune('0'+n))), 62)
	})
	wantEcho(t, hosts[0].ns, "10.70.1.1", 64)     // the host its own workload,
	wantEcho(t, hosts[0].ns, "10.70.2.1", 63)     // and another host's,
	wantEcho(t, hosts[1].ns1, "192.168.0.11", 63) // which reaches it too

	// A workload that goes is announced no more; one that comes is.
	h := hosts[2]
	if err := h.ns1.Delete(); err != nil {
		t.Fatal(err)
	}
	hosts[0].hasRoute(t, false, to(3))
	hosts[1].hasRoute(t, false, to(3))
	if _, err := workload.Create(filepath.Base(string(h.ns1))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.ns1.Delete() }) // it is none of the lab's, which leaves it
	hosts[0].hasRoute(t, true, to(3))
	hosts[1].hasRoute(t, true, to(3))
	resumes(t, hosts[0].ns1, "10.70.3.1")

	// A router that stops takes back what it announced, and one that is killed does not.
	h.killRouter(t, syscall.SIGTERM)
	hosts[0].hasRoute(t, false, to(3))
	h.restart(t)
	hosts[0].hasRoute(t, true, to(3))
	resumes(t, hosts[0].ns1, "10.70.3.1")
	settled(t, birds...)
}

// What two hosts announce has two next hops, until one of them announces it no more.
func TestBGPTwoNextHops(t *testing.T) {
	birdProgram(t, "bird")
	hosts := labUp(t, read(t, examples+"lab-three.yaml"))
	var birds []*bird
	for i, h := range hosts {
		config, err := filepath.Abs(examples + "mesh/" + h.Name + ".conf")
		if err != nil {
			t.Fatal(err)
		}
		text := "include \"" + config + "\";\n"
		if i > 0 {
			text += "protocol static service {\n\tipv4;\n\troute 10.70.9.0/24 blackhole;\n}\n"
		}
		birds = append(birds, startBird(t, h, file(t, "bird.conf", text)))
	}
	const two = "10.70.9.0/24 proto bird metric 32 nexthop via 192.168.0.12 dev ens160 weight 1 nexthop via 192.168.0.13 dev ens160 weight 1"
	hosts[0].hasRoute(t, true, two)
	counts := map[string]int{}
	for port := range 32 {
		out := hosts[0].ask(t, "explain", fmt.Sprintf("udp 10.70.1.1:%d > 10.70.9.1:53", 1000+port)).wantOK(t)
		for _, via := range []string{"192.168.0.12", "192.168.0.13"} {
			if strings.Contains(out, "10.70.9.0/24 via "+via+" dev ens160 proto bird metric 32 weight 1: next hop") {
				counts[via]++
			}
		}
	}
	if counts["192.168.0.12"] < 5 || counts["192.168.0.13"] < 5 || counts["192.168.0.12"]+counts["192.168.0.13"] != 32 {
		t.Errorf("flows by next hop: %v", counts)
	}
	birds[1].ask(t, "disable service")
	hosts[0].hasRoute(t, true, "10.70.9.0/24 via 192.168.0.13 dev ens160 proto bird metric 32")
}

// stream sends numbered packets, one a millisecond, and counts those that come.
type stream struct {
	from     net.Conn
	to       *net.UDPConn
	stop     func() // sending
	done     sync.WaitGroup
	mu       sync.Mutex
	sent     uint64
	received map[uint64]bool
}

func newStream(t *testing.T, from, to workload.Namespace) *stream {
	t.Helper()
	s := &stream{received: map[uint64]bool{}}
	in(t, to, func() error {
		c, err := net.ListenPacket("udp4", ":9")
		if err == nil {
			s.to = c.(*net.UDPConn)
		}
		return err
	})
	in(t, from, func() (err error) {
		s.from, err = net.Dial("udp4", there+":9")
		return err
	})
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.done.Go(func() { s.send(ctx) })
	s.done.Go(s.receive)
	t.Cleanup(func() {
		stop()
		s.from.Close()
		s.to.Close()
		s.done.Wait()
	})
	return s
}

func (s *stream) send(ctx context.Context) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.mu.Lock()
			s.sent++
			n := s.sent
			s.mu.Unlock()
			_, _ = s.from.Write(binary.BigEndian.AppendUint64(nil, n))
		case <-ctx.Done():
			return
		}
	}
}

func (s *stream) receive() {
	b := make([]byte, 8)
	for {
		if _, err := io.ReadFull(s.to, b); errors.Is(err, net.ErrClosed) {
			return
		}
		s.mu.Lock()
		s.received[binary.BigEndian.Uint64(b)] = true
		s.mu.Unlock()
	}
}

// more waits until some hundred packets more were sent.
func (s *stream) more(t *testing.T) {
	t.Helper()
	least, _ := s.count()
	least += 500
	eventually(t, "packets are sent", func() bool {
		sent, _ := s.count()
		return sent >= least
	})
}

// count is how many were sent, and how many of them came.
func (s *stream) count() (sent, came uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, uint64(len(s.received))
}

// wantAll stops sending, and wants that all have come.
func (s *stream) wantAll(t *testing.T) {
	t.Helper()
	s.stop()
	defer func() {
		sent, came := s.count()
		t.Logf("%d packets sent, %d came", sent, came)
	}()
	eventually(t, "all packets come", func() bool {
		sent, came := s.count()
		return came == sent
	})
}

// Both families by one session: what a workload has of IPv6 is announced, and taken back, as what it has of IPv4.
func TestBGPDualStack(t *testing.T) {
	hosts, birds := birdLab(t, "lab-dual.yaml", "dual")
	a, b := hosts[0], hosts[1]
	has6 := func(h host, want bool, to string) {
		t.Helper()
		within(t, bgpPatience, fmt.Sprintf("%s has a route to %s: %v", h.Name, to, want), func() bool {
			out := h.ask(t, "route", "get", to)
			return (out.status == 0 && strings.Contains(out.out, " dev ens160 proto bird")) == want
		})
	}
	a.hasRoute(t, true, "10.70.2.1/32 via 192.168.0.12 dev ens160 proto bird metric 32")
	b.hasRoute(t, true, "10.70.1.1/32 via 192.168.0.11 dev ens160 proto bird metric 32")
	has6(a, true, there6)
	has6(b, true, here6)
	wantEcho(t, a.ns1, there, 62)
	wantEcho(t, a.ns1, there6, 62)
	wantEcho(t, a.ns, there6, 63)
	wantEcho(t, b.ns1, uplink6, 63)
	b.ask(t, "workload", "add", "ns3", "address", "fd00:70:2::3/128").wantOK(t)
	has6(a, true, "fd00:70:2::3")
	wantEcho(t, a.ns1, "fd00:70:2::3", 62)
	b.ask(t, "workload", "del", "ns3").wantOK(t)
	has6(a, false, "fd00:70:2::3")
	b.killRouter(t, syscall.SIGTERM)
	has6(a, false, there6)
	b.restart(t)
	has6(a, true, there6)
	resumes(t, a.ns1, there6)
	settled(t, birds...)
}
