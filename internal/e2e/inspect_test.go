package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/trace"
)

// Every table, for people and as JSON.
func TestTables(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	wantEcho(t, h.ns1, "10.99.0.1", 0) // no route
	for _, c := range []struct {
		args string
		text []string // words of one line
		json func(t *testing.T, out string)
	}{
		{"show ports", []string{"ens160", "uplink", "1500"}, func(t *testing.T, out string) {
			for _, p := range decode[[]control.Port](t, out) {
				if p.RxPackets == 0 || p.RxPackets != p.Forwarded+p.Consumed+p.Dropped || p.TxPackets == 0 {
					t.Errorf("%+v", p)
				}
			}
		}},
		{"show drops", []string{"no_route", "1", "ns1:1", "no route contains the destination"}, func(t *testing.T, out string) {
			var dropped []control.Drop
			for _, d := range decode[[]control.Drop](t, out) {
				if d.Packets > 0 {
					d.Help, d.RFC, d.Last = "", "", nil // see TestDropLeadsToItsRecord
					dropped = append(dropped, d)
				}
			}
			want := []control.Drop{{Reason: "no_route", Packets: 1, Ports: map[string]uint64{"ns1": 1}}}
			if d := cmp.Diff(want, dropped); d != "" {
				t.Error(d)
			}
		}},
		{"show neighbors", []string{"192.168.0.12", "ens160", "reachable"}, func(t *testing.T, out string) {
			states := map[string]string{}
			for _, n := range decode[[]control.Neighbor](t, out) {
				states[n.Address] = n.State
			}
			if d := cmp.Diff(map[string]string{here: "permanent", "192.168.0.12": "reachable"}, states); d != "" {
				t.Error(d)
			}
		}},
		{"route list", []string{"10.70.2.1/32 via 192.168.0.12 dev ens160 proto static"}, func(t *testing.T, out string) {
			var used []string
			for _, r := range decode[[]control.Route](t, out) {
				if r.Used {
					used = append(used, r.Prefix+" "+r.Protocol)
				}
			}
			if d := cmp.Diff([]string{"10.70.1.1/32 workload", "10.70.2.1/32 static", "192.168.0.0/24 kernel"}, used); d != "" {
				t.Error(d)
			}
		}},
		{"route get 10.70.2.1", []string{"10.70.2.1", "by", "10.70.2.1/32 via 192.168.0.12 dev ens160"}, func(t *testing.T, out string) {
			l := decode[control.Lookup](t, out)
			if l.Route == nil || l.Route.Via != "192.168.0.12" || l.NextHop != "192.168.0.12" || len(l.Neighbor) != len("ee:ee:ee:ee:ee:ee") {
				t.Errorf("%+v", l)
			}
		}},
		{"workload list", []string{"ns1", "10.70.1.1/24", "eth0"}, func(t *testing.T, out string) {
			eth0 := stateOf(t, h.ns1, "eth0")
			want := []control.Workload{{Name: "ns1", Namespace: string(h.ns1), Interface: "eth0", Address: "10.70.1.1/24", Addresses: []string{"10.70.1.1/24"}, MAC: eth0.MAC, MTU: 1500}}
			if d := cmp.Diff(want, decode[[]control.Workload](t, out)); d != "" {
				t.Error(d)
			}
		}},
	} {
		t.Run(c.args, func(t *testing.T) {
			args := strings.Fields(c.args)
			if out := h.ask(t, args...).wantOK(t); !hasLine(out, c.text) {
				t.Errorf("no line with %q in\n%s", c.text, out)
			}
			c.json(t, h.ask(t, append(args, "-o", "json")...).wantOK(t))
		})
	}
}

func hasLine(out string, words []string) bool {
	for line := range strings.Lines(out) {
		found := 0
		for _, w := range words {
			if strings.Contains(line, w) {
				found++
			}
		}
		if found == len(words) {
			return true
		}
	}
	return false
}

func TestRouteGetNothing(t *testing.T) {
	h := labUp(t, "")[0]
	h.ask(t, "route", "get", "8.8.8.8").wantError(t, 1, "no route to 8.8.8.8: .*no_route")
	h.ask(t, "route", "add", "10.99.0.0/24", "via", "203.0.113.9", "encap", "ipip").wantOK(t)
	if out := h.ask(t, "route", "get", "10.99.0.1").wantOK(t); !strings.Contains(out, "no way to the other end of its tunnel") {
		t.Errorf("route get, without a way to the tunnel's end:\n%s", out)
	}
	h.ask(t, "route", "del", "10.99.0.0/24").wantOK(t)
	h.ask(t, "route", "get", "everywhere").wantError(t, 2, `"everywhere" is no IP address`)
	h.ask(t, "route", "get", "fd00:70:2::1").wantError(t, 1, "no route to fd00:70:2::1: .*no_route")
}

// What is in force is a file that says the same again.
func TestShowConfig(t *testing.T) {
	h := labUp(t, "")[0]
	shown := h.ask(t, "show", "config").wantOK(t)
	c, err := config.Parse("shown.yaml", []byte(shown))
	if err != nil {
		t.Fatalf("%v in\n%s", err, shown)
	}
	again, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(shown, string(again)); d != "" {
		t.Error(d)
	}
}

func TestVersionAndCompletion(t *testing.T) {
	if out := vrouter(t, "version").wantOK(t); !strings.HasPrefix(out, "vrouter ") || !strings.Contains(out, " go1.") {
		t.Errorf("version: %q", out)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out := vrouter(t, "completion", shell).wantOK(t); !strings.Contains(out, "completion") || !strings.Contains(out, "vrouter") {
			t.Errorf("completion for %s: %.200q", shell, out)
		}
	}
}

// traced runs a trace and pings until it has seen enough.
func traced(t *testing.T, h host, to string, args ...string) string {
	t.Helper()
	r := start(t, command(t, append([]string{"--socket", h.Socket, "trace"}, args...)...), outsideOfAll)
	eventually(t, "the trace has seen enough", func() bool {
		echo(t, h.ns1, to, 20*time.Millisecond)
		return r.hasEnded()
	})
	return r.wait(t).wantOK(t)
}

func TestTraceJSON(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62) // ARP is settled
	var packets []trace.Packet
	for line := range strings.Lines(traced(t, h, there, "icmp", "-c", "2", "-o", "json")) {
		packets = append(packets, decode[trace.Packet](t, line))
		wantKeys(t, line)
	}
	if len(packets) != 2 {
		t.Fatalf("%d packets, want 2", len(packets))
	}
	for i, p := range packets {
		if p.Host != "k8s-master-1" || p.Outcome != "forwarded" || p.Proto != "icmp" || p.Length != 84 || time.Since(p.Time).Abs() > time.Minute {
			t.Errorf("packet %d: %+v", i, p)
		}
		var steps, last []string
		for _, s := range p.Steps {
			steps, last = append(steps, s.Step), []string{s.Step, s.Verdict}
		}
		if d := cmp.Diff(strings.Fields(contractSteps), steps); d != "" {
			t.Errorf("steps of packet %d (-want +got):\n%s", i, d)
		}
		if d := cmp.Diff([]string{"tx", "pass"}, last); d != "" {
			t.Error(d)
		}
	}
	// The trace may have begun with a reply.
	request := packets[0]
	if request.Src != here {
		request = packets[1]
	}
	if request.Src != here || request.Dst != there || request.In != "ns1" || request.Out != "ens160" {
		t.Errorf("request %+v", request)
	}
}

// wantKeys wants those of the documentation, whether there is something to say or not.
func wantKeys(t *testing.T, line string) {
	t.Helper()
	object := decode[map[string]json.RawMessage](t, line)
	for word := range strings.FieldsSeq("id host time in out outcome reason summary src dst proto length steps") {
		if _, ok := object[word]; !ok {
			t.Errorf("no %q in %s", word, line)
		}
	}
	for _, step := range decode[[]map[string]json.RawMessage](t, string(object["steps"])) {
		for word := range strings.FieldsSeq("step verdict reason ns detail route rfc") {
			if _, ok := step[word]; !ok {
				t.Errorf("no %q in a step of %s", word, line)
			}
		}
	}
}

func TestTraceText(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	out := traced(t, h, there, "icmp", "and", "src", here, "-c", "1")
	for _, want := range [][]string{
		{"#", " k8s-master-1  ns1 > ens160  icmp echo request 10.70.1.1 > 10.70.2.1 id ", " seq 1  84 bytes"},
		{"  rx ", "pass  ns1  ", " > ee:ee:ee:ee:ee:ee"},
		{"  route ", "pass  10.70.2.1/32 via 192.168.0.12 dev ens160 proto static"},
		{"  ttl ", "edit  ttl 64 > 63, checksum ", "RFC 1812 5.3.1"},
		{"  neigh ", "edit  192.168.0.12 is "},
		{"  tx ", "pass  ens160"},
	} {
		if !hasLine(out, want) {
			t.Errorf("no line with %q", want)
		}
	}
	if !strings.HasSuffix(out, "\n  forwarded\n") || t.Failed() {
		t.Errorf("the trace is\n%s", out)
	}
}

// While others are forwarded, a trace of drops shows those alone that are not.
func TestTraceDrops(t *testing.T) {
	h := labUp(t, "")[0]
	r := start(t, command(t, "--socket", h.Socket, "trace", "--drops", "-c", "1", "-o", "json"), outsideOfAll)
	eventually(t, "a drop is traced", func() bool {
		echo(t, h.ns1, there, 100*time.Millisecond)
		echo(t, h.ns1, "10.99.0.1", 20*time.Millisecond)
		return r.hasEnded()
	})
	p := decode[trace.Packet](t, r.wait(t).wantOK(t))
	last := p.Steps[len(p.Steps)-1]
	if p.Outcome != "dropped" || p.Reason != "no_route" || p.Dst != "10.99.0.1" || last.Step != "route" || last.Verdict != "drop" {
		t.Errorf("%+v", p)
	}
}

// The error points at the word; nobody needs a running router to hear it.
func TestTraceFilterErrors(t *testing.T) {
	for _, c := range []struct{ filter, err string }{
		{"icmp and and", `filter: column 10: "and": `},
		{"host 10.70.2.300", `filter: column 6: "10.70.2.300": `},
		{"udp port http2x", `filter: column 10: "http2x": `},
		{"(icmp", `filter: column [0-9]+: `},
	} {
		vrouter(t, append([]string{"trace"}, strings.Fields(c.filter)...)...).wantError(t, 2, c.err)
	}
}
