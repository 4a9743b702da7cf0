package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/compare"
	"github.com/vrouter/vrouter/internal/timeline"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/walk"
	"github.com/vrouter/vrouter/internal/web"
)

// browser speaks with a page as one does.
type browser struct {
	*running
	base, token string
	events      chan webEvent
}

type webEvent struct{ id, name, data string }

// openPage starts a command that serves a page, and listens to its events by a filter.
func openPage(t *testing.T, filter string, args ...string) *browser {
	t.Helper()
	if err := withLink("lo", netlink.LinkSetUp); err != nil {
		t.Fatal(err)
	}
	b := &browser{running: start(t, exec.Command(program, append(args, "--listen", "127.0.0.1:0")...), outsideOfAll), events: make(chan webEvent, 10000)}
	url := regexp.MustCompile(`(?m)^The page, until Ctrl-C: (http://127\.0\.0\.1:\d+)/#token=([0-9a-f]{32})$`)
	eventually(t, "it says where the page is", func() bool {
		m := url.FindStringSubmatch(read(t, b.out))
		if m != nil {
			b.base, b.token = m[1], m[2]
		}
		return m != nil || b.hasEnded()
	})
	if b.hasEnded() {
		t.Fatal(read(t, b.errors))
	}
	r := b.request(t, "GET", "/v1/events?filter="+filter, "")
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	go b.listen(resp.Body)
	return b
}

func (b *browser) listen(r io.ReadCloser) {
	defer close(b.events)
	defer r.Close()
	var e webEvent
	scan := bufio.NewScanner(r)
	for scan.Buffer(nil, 1<<20); scan.Scan(); {
		switch key, value, _ := strings.Cut(scan.Text(), ": "); key {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
			b.events <- e
			e = webEvent{}
		}
	}
}

func (b *browser) request(t *testing.T, method, path, body string) *http.Request {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, b.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+b.token)
	return r
}

// ask wants an answer of 200.
func (b *browser) ask(t *testing.T, method, path, body string) string {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(b.request(t, method, path, body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s %s: %d %s %v", method, path, body, resp.StatusCode, text, err)
	}
	return string(text)
}

// await is the next event of a name that matches.
func (b *browser) await(t *testing.T, name, pattern string) webEvent {
	t.Helper()
	match, deadline := regexp.MustCompile(pattern), time.After(2*patience)
	for {
		select {
		case e, ok := <-b.events:
			if !ok {
				t.Fatalf("the stream ends without %s %s", name, pattern)
			}
			if e.name == name && match.MatchString(e.data) {
				return e
			}
		case <-deadline:
			t.Fatalf("no event %s that matches %s", name, pattern)
		}
	}
}

// do does a deed, and returns its number.
func (b *browser) do(t *testing.T, what string) int {
	t.Helper()
	return fromJSON[web.Deed](t, b.ask(t, "POST", "/v1/deeds", what)).ID
}

func (b *browser) undo(t *testing.T, id int) {
	t.Helper()
	if d := fromJSON[web.Deed](t, b.ask(t, "DELETE", fmt.Sprint("/v1/deeds/", id), "")); d.State != "undone" {
		t.Errorf("%+v", d)
	}
}

func fromJSON[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

const pingAcross = `{"do":"ping","from":"host-1/ns1","to":"host-2/ns1","count":1}`

// What the page shows of a lab is what `lab trace` and `lab explain` say; what it does is undone, by a click or at its end.
func TestWebOfALab(t *testing.T) {
	hosts := labUp(t, read(t, "../../examples/lab-three-hosts.yaml")+"links:\n  - delay: 0ms\n")
	b := openPage(t, "icmp", "lab", "web", "--write")
	topology := fromJSON[web.Topology](t, b.ask(t, "GET", "/v1/topology", ""))
	if len(topology.Hosts) != 3 || !topology.Write || len(topology.Hosts[2].Workloads) != 2 {
		t.Errorf("%+v", topology)
	}
	b.await(t, "state", `"rx_packets_per_second"`)

	// A ping appears, and its steps are those of lab trace.
	tracing := start(t, command(t, "lab", "trace", "-o", "json", "-c", "1", "icmp"), outsideOfAll)
	eventually(t, "both listen", func() bool { return listening(t, hosts, 2) == 3 })
	b.do(t, pingAcross)
	e := b.await(t, "packet", `"reply":"arrived"`)
	saved := b.ask(t, "GET", "/v1/ways/"+e.id, "")
	way, traced := fromJSON[web.Way](t, saved), fromJSON[timeline.Way](t, tracing.wait(t).wantOK(t))
	steps := map[string][]trace.Step{}
	for _, p := range traced.Packets {
		steps[fmt.Sprint(p.Part, p.Host, p.ID)] = p.Steps
	}
	if len(way.Packets) < 4 || len(traced.Packets) < 4 {
		t.Fatalf("%d records, lab trace has %d", len(way.Packets), len(traced.Packets))
	}
	for _, p := range way.Timeline().WithoutFrames().Packets {
		if p.Part == timeline.PartCaused { // by then it may not have been known
			continue
		}
		if want := steps[fmt.Sprint(p.Part, p.Host, p.ID)]; !reflect.DeepEqual(p.Steps, want) {
			t.Errorf("%s at %s:\n%+v\nlab trace:\n%+v", p.Part, p.Host, p.Steps, want)
		}
	}
	for _, s := range way.Packets[0].Steps {
		if s.Step.Step == "ttl" && (len(s.Changed) == 0 || s.Changed[0].From != 22 || s.RFC == "") {
			t.Errorf("ttl changes %+v", s)
		}
	}
	out := vrouter(t, "trace", "--read", file(t, "way.json", saved)).wantOK(t)
	if !strings.Contains(out, "host-1 > host-2, delivered after") || !strings.Contains(out, "ttl 64 > 63") {
		t.Errorf("trace --read prints\n%s", out)
	}

	// What-if is lab explain.
	line := "icmp 10.70.1.1 > 10.70.2.1 ttl 1"
	said := fromJSON[walk.Walk](t, vrouter(t, "lab", "explain", "-o", "json", line).wantOK(t))
	if v := fromJSON[web.Way](t, b.ask(t, "POST", "/v1/explain", `{"packet":"`+line+`"}`)); v.Verdict != said.Verdict || v.Kind != "whatif" {
		t.Errorf("%s\nlab explain: %s", v.Verdict, said.Verdict)
	}

	// A packet that is stopped before a step waits there, and goes its way when it is let go.
	id := b.do(t, `{"do":"hold","host":"host-1","step":"ttl","filter":"icmp and dst 10.70.2.1","seconds":60}`)
	b.await(t, "deed", `timers run on`)
	b.do(t, pingAcross)
	b.await(t, "state", `"name":"host-1".*"stop":{[^}]*"packets":1,`)
	if out := hosts[0].ask(t, "show", "held").wantOK(t); !hasLine(out, []string{"stopped", "before", "ttl", "ns1", "to be let go"}) {
		t.Errorf("show held prints\n%s", out)
	}
	b.undo(t, id)
	b.await(t, "packet", `"reply":"arrived"`)
	if out := hosts[0].ask(t, "show", "held").wantOK(t); strings.Contains(out, "stopped") {
		t.Errorf("show held prints\n%s", out)
	}

	// A route that is taken away: the packet is dropped for it, and goes again when that is undone.
	id = b.do(t, `{"do":"route","host":"host-1","prefix":"10.70.2.0/24"}`)
	b.do(t, pingAcross)
	b.await(t, "packet", `"outcome":"dropped","reason":"no_route".*"at":"host-1"`)
	b.undo(t, id)
	b.do(t, pingAcross)
	b.await(t, "packet", `"reply":"arrived"`)

	// A router that is killed is dead; its packets are shown again when it is mended.
	id = b.do(t, `{"do":"fault","fault":"killed-router"}`)
	b.await(t, "warning", `host-1: .*the others go on`)
	b.await(t, "state", `"state":"dead","why":"no router answers at`)
	b.undo(t, id)
	b.await(t, "warning", `"text":""`)
	b.do(t, pingAcross)
	b.await(t, "packet", `"reply":"arrived"`)

	// What is in force at the end is undone then.
	b.do(t, `{"do":"link","link":"192.168.0.0/24","impairment":"loss 100%"}`)
	b.do(t, pingAcross)
	b.await(t, "packet", `"outcome":"unseen"`)
	b.do(t, `{"do":"route","host":"host-3","prefix":"10.70.1.0/24"}`)
	b.send(t, syscall.SIGINT)
	b.await(t, "bye", "")
	if r := b.wait(t); r.status != 0 || r.err != "" {
		t.Errorf("status %d, %q", r.status, r.err)
	}
	wantEcho(t, hosts[0].ns1, "10.70.3.1", 62)
}

// listening is how many routers make records for so many at least.
func listening(t *testing.T, hosts []host, many float64) (n int) {
	t.Helper()
	for _, h := range hosts {
		if scrape(t, h.ns)[key("trace_listeners")] >= many {
			n++
		}
	}
	return n
}

// The demo's page shows a ping by itself, and leaves nothing when it ends.
func TestDemoWeb(t *testing.T) {
	leavesNothing(t)
	b := openPage(t, "icmp", "demo", "--web")
	b.await(t, "packet", `icmp echo request 10\.70\.1\.1 > 10\.70\.2\.1.*"reply":"arrived"`)
	if _, err := os.Stat("/run/vrouter/lab"); err == nil {
		t.Error("the demo's lab is seen outside of it")
	}
	b.send(t, syscall.SIGINT)
	if r := b.wait(t); r.status != 0 || r.err != "" {
		t.Errorf("status %d, %q", r.status, r.err)
	}
}

// Routers that are no lab's are shown the same, as far as they say who they are; nothing is done there.
func TestWebOfHosts(t *testing.T) {
	hosts := labUp(t, "")
	b := openPage(t, "icmp", "web", "--hosts", hosts[0].Socket+","+hosts[1].Socket)
	b.await(t, "topology", `"name":"`+hosts[0].Name+`".*"name":"`+hosts[1].Name+`".*"id":"192\.168\.0\.0/24","kind":"link"`)
	eventually(t, "the page listens", func() bool { return listening(t, hosts, 1) == len(hosts) })
	wantEcho(t, hosts[0].ns1, there, 62)
	e := b.await(t, "packet", `"reply":"arrived"`)
	if way := fromJSON[web.Way](t, b.ask(t, "GET", "/v1/ways/"+e.id, "")); len(way.Hosts) != 2 {
		t.Errorf("%+v", way)
	}
	resp, err := http.DefaultTransport.RoundTrip(b.request(t, "POST", "/v1/deeds", "{}"))
	if err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("a deed: %v %v", resp, err)
	}
	b.send(t, syscall.SIGINT)
	if r := b.wait(t); r.status != 0 || r.err != "" {
		t.Errorf("status %d, %q", r.status, r.err)
	}
}

// Beside a way the page says what the kernel makes of the same packet, where the lab has one.
func TestWebBesideTheKernel(t *testing.T) {
	leavesNothing(t)
	t.Cleanup(func() { vrouter(t, "lab", "down").wantOK(t) })
	vrouter(t, "lab", "up", "--twin").wantOK(t)
	b := openPage(t, "icmp", "lab", "web", "--write")
	b.do(t, `{"do":"ping","from":"k8s-master-1/ns1","to":"k8s-node-1/ns1","count":1}`)
	e := b.await(t, "packet", `icmp echo request.*"reply":"arrived"`)
	for _, q := range []string{`{"id":` + e.id + `}`, `{"packet":"icmp 10.70.1.1 > 10.70.2.1"}`} {
		r := fromJSON[compare.Result](t, b.ask(t, "POST", "/v1/twin", q))
		if len(r.Kernel) == 0 || len(r.Vrouter) == 0 || !r.Explained() || !strings.Contains(fmt.Sprint(r.Kernel), "k8s-node-1") {
			t.Errorf("%s: %+v", q, r)
		}
	}
	b.send(t, syscall.SIGINT)
	if r := b.wait(t); r.status != 0 {
		t.Error(r.err)
	}
}

// Words that say nothing are refused, before anything is built.
func TestWebRefuses(t *testing.T) {
	for pattern, args := range map[string][]string{
		"give --web too":        {"demo", "--write"},
		"ADDRESS:PORT":          {"demo", "--web", "--listen", "8470"},
		"an address, not a":     {"lab", "web", "--listen", "localhost:8470"},
		"whose packets":         {"web"},
		"--read takes neither":  {"trace", "--read", "x", "icmp"},
		"unknown flag: --write": {"web", "--hosts", "/x", "--write"},
	} {
		vrouter(t, args...).wantError(t, 2, regexp.QuoteMeta(pattern))
	}
}
