package e2e

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/trace"
)

// Each option of a trace shows what it says, and nothing else, while pings go through a
// tunnel and others are dropped.
func TestTraceOptions(t *testing.T) {
	h := labUp(t, read(t, "../../examples/lab-ipip.yaml"))[0]
	wantEcho(t, h.ns1, there, 62)
	changed := func(p trace.Packet, step string) bool {
		for _, s := range p.Steps {
			if s.Step == step {
				return s.Verdict != "pass"
			}
		}
		return false
	}
	for _, c := range []struct {
		args string
		ok   func(p trace.Packet) bool
	}{
		{"--in ns1", func(p trace.Packet) bool { return p.In == "ns1" || p.Cause != 0 }},
		{"--in ens160", func(p trace.Packet) bool { return p.In == "ens160" }},
		{"--out ens160", func(p trace.Packet) bool { return p.Out == "ens160" }},
		{"--port ens160", func(p trace.Packet) bool { return p.In == "ens160" || p.Out == "ens160" }},
		{"--step encap", func(p trace.Packet) bool { return changed(p, "encap") }},
		{"--step decap", func(p trace.Packet) bool { return changed(p, "decap") && p.In == "ens160" }},
		{"--reason no_route", func(p trace.Packet) bool { return p.Reason == "no_route" }},
		{"--drops", func(p trace.Packet) bool { return p.Outcome == "dropped" }},
		{"--sample 1/3", func(trace.Packet) bool { return true }},
	} {
		t.Run(c.args, func(t *testing.T) {
			args := append([]string{"--socket", h.Socket, "trace", "icmp", "-c", "3", "-o", "json"}, strings.Fields(c.args)...)
			r := start(t, command(t, args...), outsideOfAll)
			eventually(t, "the trace has seen enough", func() bool {
				echo(t, h.ns1, there, 20*time.Millisecond)
				echo(t, h.ns1, "10.99.0.1", 5*time.Millisecond)
				return r.hasEnded()
			})
			n := 0
			for line := range strings.Lines(r.wait(t).wantOK(t)) {
				if p := decode[trace.Packet](t, line); !c.ok(p) {
					t.Errorf("it shows %s", line)
				}
				n++
			}
			if n != 3 {
				t.Errorf("%d packets, want 3", n)
			}
		})
	}
}

// What is more than the rate is left out, and said to be.
func TestTraceRate(t *testing.T) {
	h := labUp(t, "")[0]
	r := start(t, command(t, "--socket", h.Socket, "trace", "icmp", "--rate", "1", "-c", "2", "-o", "json"), outsideOfAll)
	eventually(t, "two seconds have one packet each", func() bool {
		echo(t, h.ns1, there, 100*time.Millisecond)
		return r.hasEnded()
	})
	var skipped uint64
	for line := range strings.Lines(r.wait(t).wantOK(t)) {
		skipped += decode[trace.Packet](t, line).Skipped
	}
	if skipped == 0 {
		t.Error("nothing is said to be left out")
	}
}

// A trace ends by itself when its time is over, whatever it has seen.
func TestTraceDuration(t *testing.T) {
	h := labUp(t, "")[0]
	began := time.Now()
	out := vrouter(t, "--socket", h.Socket, "trace", "udp", "--duration", "200ms").wantOK(t)
	if took := time.Since(began); out != "" || took < 200*time.Millisecond {
		t.Errorf("after %v it has shown %q", took, out)
	}
}

// A reader that stops reading loses records, and hears how many; the packets and another
// trace go on.
func TestTraceReaderThatStops(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	stopped := start(t, command(t, "--socket", h.Socket, "trace", "-o", "json"), outsideOfAll)
	traceRuns(t, stopped, h)
	stopped.send(t, syscall.SIGSTOP)
	lost := func() float64 { return scrape(t, h.ns)[key("trace_lost_records_total")] }
	before := lost()
	eventually(t, "it falls behind", func() bool {
		in(t, h.ns1, func() error { return datagrams(there, 5000) })
		return lost() > before
	})
	wantEcho(t, h.ns1, there, 62)
	if out := traced(t, h, there, "icmp", "-c", "1", "-o", "json"); decode[trace.Packet](t, out).Proto != "icmp" {
		t.Errorf("the other trace shows %s", out)
	}
	stopped.send(t, syscall.SIGCONT)
	eventually(t, "it says how many it has lost", func() bool { return strings.Contains(read(t, stopped.out), `"lost":`) })
}

// datagrams sends small datagrams to a port that nobody listens at.
func datagrams(to string, count int) error {
	c, err := net.Dial("udp4", to+":9")
	if err != nil {
		return err
	}
	defer c.Close()
	for range count {
		_, _ = c.Write(make([]byte, 16)) // an earlier one may have been refused
	}
	return nil
}
