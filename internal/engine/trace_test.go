package engine_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// listen traces the bed's router.
func (b *bed) listen(o trace.Options, expr string) *trace.Listener {
	b.t.Helper()
	f, err := filter.Parse(expr)
	if err != nil {
		b.t.Fatal(err)
	}
	o.Filter = f
	l, err := b.router.Trace().Listen(o)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(l.Close)
	return l
}

// records takes what there is to be had from a listener.
func records(l *trace.Listener) (all []trace.Packet) {
	done, cancel := context.WithCancel(context.Background())
	cancel() // so that Next does not wait
	var r trace.Record
	for {
		gap, err := l.Next(done, &r)
		if err != nil {
			return all
		}
		p := r.View("k8s-master-1")
		p.Lost, p.Skipped = gap.Lost, gap.Skipped
		all = append(all, p)
	}
}

func text(t testing.TB, packets []trace.Packet) string {
	t.Helper()
	var b strings.Builder
	for i := range packets {
		if err := (trace.Text{}).Write(&b, &packets[i]); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// In a bubble the clock stands still while a packet is forwarded, and starts
// with the year 2000.
func TestTraceText(t *testing.T) {
	for _, c := range goldens {
		inTime(t, c.name, func(b *bed) {
			b.resolve()
			if c.setup != nil {
				c.setup(b)
			}
			l := b.listen(trace.Options{}, "")
			b.port(c.from).Send(c.send)
			if d := cmp.Diff(strings.TrimPrefix(c.want, "\n"), text(b.t, records(l))); d != "" {
				b.t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestTraceJSON(t *testing.T) {
	inTime(t, "forwarded", func(b *bed) {
		b.resolve()
		l := b.listen(trace.Options{}, "icmp")
		b.ns1.Send(ping(farIP))
		var got strings.Builder
		enc := json.NewEncoder(&got)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(records(l)[0]); err != nil {
			b.t.Fatal(err)
		}
		want, err := os.ReadFile("testdata/trace.json")
		if err != nil {
			b.t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got.String()); d != "" {
			b.t.Errorf("(-want +got):\n%s", d)
		}
	})
}

// A packet that waited is one record, and its time is in it.
func TestTraceOfPacketThatWaited(t *testing.T) {
	inTime(t, "for_a_neighbour", func(b *bed) {
		l := b.listen(trace.Options{}, "icmp")
		b.ns1.Send(ping(farIP))
		pass(250 * time.Millisecond)
		if got := records(l); len(got) != 1 || got[0].Outcome != trace.Forwarded || got[0].Cause != 1 {
			b.t.Errorf("while it waits there should be the request alone: %+v", got)
		}
		b.reply(peerMAC)
		got := records(l)
		if len(got) != 1 || got[0].ID != 1 || got[0].Out != "ens160" || got[0].Outcome != trace.Forwarded {
			b.t.Fatalf("got %+v", got)
		}
		for _, s := range got[0].Steps {
			waited := time.Duration(s.NS) >= 250*time.Millisecond
			if after := s.Step == "neigh" || s.Step == "tx"; waited != after {
				b.t.Errorf("%s ended after %s", s.Step, time.Duration(s.NS))
			}
		}
	})
}

func TestTraceSelects(t *testing.T) {
	for _, c := range []struct {
		name string
		o    trace.Options
		expr string
		want int // of the packets below, with what the router makes because of them
	}{
		{"everything", trace.Options{}, "", 4},
		{"by host", trace.Options{}, "dst host " + ns2IP, 1},
		{"the inner packet", trace.Options{}, "icmp", 4},
		{"the packet on the wire", trace.Options{Outer: true}, "src host " + peerIP, 1},
		{"nothing", trace.Options{}, "port 7", 0},
		{"drops", trace.Options{Drops: true}, "", 1},
		{"drops that match", trace.Options{Drops: true}, "dst host " + ns2IP, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			b.resolve()
			l := b.listen(c.o, c.expr)
			b.ns1.Send(ping(ns2IP), ping("10.99.0.1")) // the second one is dropped, and an error sent
			b.uplink.Send(ipip(peerIP, hostIP, fromPeer(), nil))
			got := records(l)
			if len(got) != c.want {
				t.Errorf("%d records, want %d:\n%s", len(got), c.want, text(t, got))
			}
		})
	}
}

// Who falls behind loses the oldest records, and is told how many.
func TestTraceFallsBehind(t *testing.T) {
	const ring = 4096
	b := newBed(t)
	l := b.listen(trace.Options{}, "")
	batch := make([]*packet.Frame, 64)
	for i := range batch {
		batch[i] = ping(ns2IP)
	}
	b.ns2.Discard = true
	for range ring/len(batch) + 1 {
		b.ns1.Send(batch...)
	}
	got := records(l)
	if len(got) != ring || got[0].Lost != 64 || got[0].ID != 65 || got[1].Lost != 0 {
		t.Errorf("%d records, the first is #%d with %d lost before it", len(got), got[0].ID, got[0].Lost)
	}
	if made, lost := b.router.Trace().Counts(); made != ring+64 || lost != 64 {
		t.Errorf("%d made, %d lost", made, lost)
	}
}

func TestTraceListenersAreBounded(t *testing.T) {
	b := newBed(t)
	var all []*trace.Listener
	for range 16 {
		all = append(all, b.listen(trace.Options{}, ""))
	}
	if _, err := b.router.Trace().Listen(trace.Options{Filter: &filter.Filter{}}); err == nil {
		t.Error("the 17th may listen, too")
	}
	b.ns1.Send(ping(ns2IP))
	for i, l := range all {
		if n := len(records(l)); n != 1 {
			t.Errorf("listener %d got %d records", i, n)
		}
		l.Close()
		l.Close() // twice does no harm
	}
	if b.router.Trace().Listeners() != nil {
		t.Error("when all are gone tracing goes on")
	}
	one(t, b.ns2)
}

// Each step names the RFC of the packet's family as it is there, neigh that of the next hop's.
func TestRFCOfAFamily(t *testing.T) {
	b := newBed(t)
	dual(b)
	b.settings.VXLAN = forwarder.VXLAN{Port: packet.VXLANPort, VNI: 7, Ends: []netip.Addr{addr(peerIP)}}
	b.router.Configure(b.settings)
	b.resolve()
	b.resolve6()
	b.via("fd00:72::/32", peerIP, rib.VXLAN)
	b.via("10.72.0.0/16", peerIP6, rib.None)
	for _, c := range []struct {
		send *packet.Frame
		want map[string]string
	}{
		{ping6(ns1IP6, "fd00:72::1"), map[string]string{"ttl": "RFC 8200 3", "encap": "RFC 7348 5", "neigh": "RFC 826, RFC 1122 2.3.2"}},
		{ping("10.72.0.1"), map[string]string{"ttl": "RFC 1812 5.3.1", "neigh": "RFC 4861 7.2.2"}},
	} {
		l := b.listen(trace.Options{}, "")
		b.ns1.Send(c.send)
		for _, r := range records(l) {
			for _, s := range r.Steps {
				if want := c.want[s.Step]; want != "" && s.RFC != want {
					t.Errorf("%s: %s, %s, want %s", r.Summary, s.Step, s.RFC, want)
				}
				delete(c.want, s.Step)
			}
		}
		if len(c.want) > 0 {
			t.Errorf("not seen: %v", c.want)
		}
	}
}
