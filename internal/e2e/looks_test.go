package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/filter"
)

// the is the look of a name.
func the(t *testing.T, name string) prying {
	t.Helper()
	i := slices.IndexFunc(looks, func(l prying) bool { return l.name == name })
	if i < 0 {
		t.Fatalf("no look is called %q", name)
	}
	return looks[i]
}

// asMember runs a command as a user who may only look.
func asMember(t *testing.T, h host, args ...string) *running {
	t.Helper()
	cmd := command(t, append([]string{"--socket", h.Socket}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: lookUser, Gid: lookGroup}}
	return start(t, cmd, outsideOfAll)
}

// While somebody who may only look has all that he can get, root is answered: his commands, a trace,
// a reload.
func TestRootKeepsHisPlaces(t *testing.T) {
	if loneUser(t) {
		t.Skip("root is the only user here")
	}
	w := watchedLab(t, 0, "")
	h := w.hosts[0]
	r := w.begin(t, the(t, "520 traces and tops"))
	refused := func() float64 { return scrape(t, h.ns)[key("look_refused_connections_total", `by="socket"`)] }
	within(t, 2*patience, "he is refused some", func() bool { return refused() > 0 })
	if n := scrape(t, h.ns)[key("look_connections", `by="socket"`)]; n > 8 {
		t.Errorf("he has %v connections", n)
	}
	if n := scrape(t, h.ns)[key("look_streams")]; n > 4 {
		t.Errorf("he has %v streams", n)
	}
	for _, args := range [][]string{
		{"show", "ports"}, {"route", "add", "10.99.0.0/16", "via", "192.168.0.12"}, {"route", "get", "10.99.0.1"}, {"route", "del", "10.99.0.0/16"},
		{"reload"}, {"show", "config"}, {"trace", "-c", "1"}, {"top", "-c", "1", "--interval", "100ms"},
	} {
		began := time.Now()
		h.ask(t, args...).wantOK(t)
		if took := time.Since(began); took > rootPatience {
			t.Errorf("%v took root %v", args, took)
		}
	}
	r.signal(t, syscall.SIGKILL)
	eventually(t, "what he had is free again", func() bool { return asMember(t, h, "show", "ports").wait(t).status == 0 })
}

// Who may only look has so many streams, and is told; others have theirs.
func TestStreamsOfALooker(t *testing.T) {
	if loneUser(t) {
		t.Skip("root is the only user here")
	}
	h := watchedLab(t, 0, "").hosts[0]
	for i := range 4 {
		asMember(t, h, "trace", "net", fmt.Sprintf("10.98.%d", i))
	}
	eventually(t, "his traces are on", func() bool { return listeners(t, h) == 4 })
	asMember(t, h, "trace").wait(t).wantError(t, 1, "user 60124 has 4 traces, tops, replays, plans and long lists at once, and may have no more: end one of them")
	asMember(t, h, "top", "-o", "json").wait(t).wantError(t, 1, "user 60124 has 4 traces, tops")
	asMember(t, h, "show", "ports").wait(t).wantOK(t)
	h.ask(t, "trace", "-c", "1").wantOK(t)
}

// Strangers who connect to control.listen and show no certificate, idle or with all their might, from
// many addresses or from that of one who has one, keep nobody out who has.
func TestStrangersKeepNobodyOut(t *testing.T) {
	w := watchedLab(t, 0, "")
	h := w.hosts[0]
	onB := func() result {
		args := append([]string{"lab", "exec", "b", "--", program, "trace", "--hosts", "https://192.168.0.11:9474", "-c", "1", "-o", "json"}, w.a.client("me")...)
		return run(t, command(t, args...))
	}
	onB().wantOK(t)
	for _, name := range []string{"600 idle connections to control.listen", "TLS hellos without a certificate"} {
		r := w.begin(t, the(t, name))
		by := `by="listen_stranger"`
		eventually(t, "they are there", func() bool {
			return scrape(t, h.ns)[key("look_waiting_connections", by)] > 0
		})
		for range 3 {
			onB().wantOK(t)
		}
		if n := scrape(t, h.ns)[key("look_connections", by)]; n > 8 {
			t.Errorf("%s: one address has %v connections without a certificate", name, n)
		}
		r.signal(t, syscall.SIGKILL)
	}
	in(t, w.hosts[1].ns, func() error { // who only looks whether somebody answers
		c, err := net.Dial("tcp", "192.168.0.11:9474")
		if err != nil {
			return err
		}
		defer c.Close()
		began := time.Now()
		_ = c.SetReadDeadline(began.Add(hostileTime))
		if n, err := c.Read(make([]byte, 1)); n > 0 || os.IsTimeout(err) || time.Since(began) > 2*patience {
			t.Errorf("a stranger who says nothing gets %d bytes, and %v after %v", n, err, time.Since(began))
		}
		return nil
	})
}

// A filter that is too long is refused wherever it is given, and one that takes too much of the
// router's time ends its trace, which says so.
func TestCostlyFilters(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	long := strings.TrimSuffix(strings.Repeat("arp or ", filter.MaxWords), " or ")
	h.ask(t, "trace", long).wantError(t, 2, "filter: column [0-9]+: it goes on after 1000 words")
	conn := h.raw(t, filtered(5000))
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("%+v, %v", resp, err)
	}
	costly := strings.TrimSuffix(strings.Repeat("arp or ", filter.MaxWords/2), " or ")
	var all []*running
	for range 12 {
		all = append(all, startTrace(t, h, costly))
	}
	cheap := startTrace(t, h, "icmp")
	stop := floods(t, h.ns1, there)
	within(t, 2*patience, "one is ended", func() bool { return slices.ContainsFunc(all, (*running).hasEnded) })
	stop()
	ended := all[slices.IndexFunc(all, (*running).hasEnded)].wait(t)
	ended.wantError(t, 1, "the trace was ended, as its filter takes too much of the router's time: give a shorter one")
	if n := scrape(t, h.ns)[key("trace_ended_total")]; n < 1 {
		t.Errorf("%v traces are counted as ended", n)
	}
	if cheap.hasEnded() {
		t.Errorf("the cheap one has ended: %+v", cheap.wait(t))
	}
}

// Traces that have ended leave no memory behind, though another one runs.
func TestMemoryOfEndedTraces(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	startTrace(t, h)
	stop := floods(t, h.ns1, there)
	defer stop()
	trace := func() {
		conn := h.raw(t, get("/v1/trace"))
		defer conn.Close()
		r := bufio.NewReader(conn)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(line, "{") {
				return
			}
		}
	}
	trace()
	before := memoryOf(t, h.Router.PID, "VmRSS")
	for range 300 {
		trace()
	}
	if grown := memoryOf(t, h.Router.PID, "VmRSS") - before; grown > 64<<10 {
		t.Errorf("300 traces have left %d MiB", grown>>10)
	}
}

// littleMemory is what a router with five hundred workloads has here.
const littleMemory = 192 << 20

// A router with little memory lives through those who look, and do not read what they have asked for.
func TestLookersAndLittleMemory(t *testing.T) {
	ns := newHost(t)
	group := lookGroup
	if loneUser(t) {
		group = 0
	}
	const socket = "/run/vrouter/vrouter.sock"
	config := file(t, "config.yaml", strings.Replace(hostConfig, "}]", extraPorts(t, 500)+"}]", 1)+
		fmt.Sprintf("control: {socket: %s, group: %d}\n", socket, group))
	t.Cleanup(func() { start(t, patiently(t, "down", "--config", config), ns.Do).wait(t).wantOK(t) })
	by := append(confined(t, littleMemory), program, "run", "--config", config)
	r := start(t, exec.Command(by[0], by[1:]...), ns.Do)
	within(t, time.Minute, "the router answers", func() bool {
		return r.hasEnded() || vrouter(t, "--socket", socket, "show", "workers").status == 0
	})
	var all []*running
	for _, name := range []string{"150 pipelines of scrapes, not read, 1,000 workloads", "16 traces of everything, not read", "unread answers"} {
		all = append(all, the(t, name).begin(t, looker{Socket: socket}, ns))
	}
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		answerTime(t, socket)
		if r.hasEnded() {
			t.Fatalf("the router has ended: %+v", r.wait(t))
		}
	}
	for _, l := range all {
		l.signal(t, syscall.SIGKILL)
	}
	t.Logf("at its peak: %d MiB", memoryOf(t, r.cmd.Process.Pid, "VmHWM")>>10)
	within(t, 3*patience, "the metrics are to be had again", func() bool {
		_, err := tryScrape(t, ns)
		return err == nil
	})
}
