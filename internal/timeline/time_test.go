package timeline_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/timeline"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// A way is shown soon after the last of what is expected has come, and not before.
func TestShownWhenComplete(t *testing.T) {
	b := newBed(t, rib.None, 1500).resolve()
	b.across(nil, b.ping(1, 1, 56))
	b.back(b.pong(1, 56))
	all := slices.Concat(b.a.records(), b.b.records())
	slices.SortFunc(all, func(a, b *trace.Packet) int { return a.Time.Compare(b.Time) })
	j := timeline.New(b.options("one"))
	now := began
	for _, p := range all {
		if ways := j.Expire(now.Add(within / 2)); len(ways) != 0 {
			t.Errorf("shown with records outstanding: %s", outline(ways[0]))
		}
		j.Add(p, now)
		now = now.Add(within / 4)
	}
	ways := j.Expire(now)
	if len(ways) != 1 {
		t.Fatalf("%d ways are shown when all is there", len(ways))
	}
	// The wire begins when the frame is ready to be written, not when that is done.
	for i, p := range ways[0].Packets {
		if p.WireNS == nil {
			continue
		}
		before := ways[0].Packets[i-1]
		ready := before.Time.Add(time.Duration(before.Steps[len(before.Steps)-2].NS))
		if want := p.Time.Sub(ready).Nanoseconds(); *p.WireNS != want {
			t.Errorf("wire %d ns, want %d", *p.WireNS, want)
		}
	}
	if records, entries := j.Kept(); records+entries != 0 {
		t.Errorf("%d records and %d entries are kept for nothing", records, entries)
	}
}

// What asks for nothing is waited for at the next host all the same.
func TestWaitsForTheNextHost(t *testing.T) {
	b := newBed(t, rib.None, 1500).resolve()
	b.across(nil, ack(b.a, b.b, 5))
	a, there := b.a.records(), b.b.records()
	for _, first := range []*trace.Packet{a[0], there[0]} {
		j := timeline.New(b.options("one"))
		j.Add(first, began)
		if ways := j.Expire(began.Add(within / 2)); len(ways) != 0 {
			t.Errorf("shown without the other host: %s", outline(ways[0]))
		}
	}
}

// A filter that leaves out all fragments but the first is no reason to miss them.
func TestFragmentsLeftOut(t *testing.T) {
	b := newBed(t, rib.None, 1500).resolve()
	b.across(fragments, udp(b.a, b.b, 5, false, 5000, strings.Repeat("x", 1400)))
	f, err := filter.Parse("udp port 53")
	if err != nil {
		t.Fatal(err)
	}
	o := b.options("one")
	o.Traced = f.MatchInner
	records := slices.DeleteFunc(slices.Concat(b.a.records(), b.b.records()), func(p *trace.Packet) bool { return !f.MatchInner(p.Frame.Padded()) })
	if ways := join(o, records); len(records) != 2 || len(ways) != 1 || outline(ways[0]) != pingPath+" delivered" {
		t.Errorf("%d records, %s", len(records), outline(ways[0]))
	}
}

// What comes after its time is said to be late, and what comes twice a copy.
func TestLateAndCopies(t *testing.T) {
	b := newBed(t, rib.None, 1500).resolve()
	b.across(func(f []*packet.Frame) []*packet.Frame { return []*packet.Frame{f[0], f[0].Clone()} }, b.ping(1, 1, 56))
	a, late := b.a.records(), b.b.records()
	j := timeline.New(b.options(""))
	j.Add(a[0], began)
	first := j.Expire(began.Add(within))
	if len(first) != 1 || outline(first[0]) != "packet a ns1>ens160 unseen b; unseen" {
		t.Fatalf("%d ways: %s", len(first), outline(first[0]))
	}
	if out := text(t, first[0]); !strings.Contains(out, "  wire   a > b  not seen at b within 1s\n") {
		t.Errorf("the text does not say what is not seen:\n%s", out)
	}
	j.Add(late[0], began.Add(2*within))
	second := j.Expire(began.Add(3 * within))
	if len(second) != 1 || !says(second[0], "of b came too late to be shown with #") {
		t.Errorf("late: %d ways, %q", len(second), second[0].Notes)
	}

	for _, records := range orders(a, late) {
		ways := join(b.options(""), records)
		if len(ways) != 2 || outline(ways[0]) != pingPath+" delivered none" {
			t.Fatalf("copies: %d ways, the first %s", len(ways), outline(ways[0]))
		}
		if !says(ways[1], "of b is a copy: what a sent as its #") {
			t.Errorf("a copy: %s %q", outline(ways[1]), ways[1].Notes)
		}
	}
}

// Records that a trace has lost are a reason to doubt that a packet was.
func TestLostRecords(t *testing.T) {
	b := newBed(t, rib.None, 1500).resolve()
	b.across(nil, b.ping(1, 1, 56))
	b.across(nil, b.ping(2, 2, 56))
	a, there := b.a.records(), b.b.records()
	there[1].Lost = 7
	ways := join(b.options(""), []*trace.Packet{a[0], a[1], there[1]})
	if len(ways) != 2 || !says(ways[0], "the trace of b has lost 7 records meanwhile") {
		t.Errorf("%d ways, %q", len(ways), ways[0].Notes)
	}
	a[1].Lost = 3
	ways = join(b.options(""), []*trace.Packet{there[0], a[1], there[1]})
	if len(ways) != 2 || !says(ways[0], "#2 of b comes from a, whose record of it is missing: its trace has lost 3 records") {
		t.Errorf("%d ways, %q", len(ways), ways[0].Notes)
	}
}

// A host that stops is no reason to say that packets are lost.
func TestGone(t *testing.T) {
	b := newBed(t, rib.None, 1500).resolve()
	b.across(nil, b.ping(1, 1, 56))
	j := timeline.New(b.options(""))
	j.Gone("b")
	for _, p := range b.a.records() {
		j.Add(p, began)
	}
	ways := j.Expire(began.Add(within))
	if len(ways) != 1 || outline(ways[0]) != "packet a ns1>ens160; left none" || !says(ways[0], "is not followed to b: the trace there has ended") {
		t.Errorf("%s %q", outline(ways[0]), ways[0].Notes)
	}
}

// Only ways with a record that somebody wants are shown, and then the whole of them.
func TestWanted(t *testing.T) {
	b := newBed(t, rib.None, 1500).resolve()
	b.across(nil, b.ping(1, 1, 56), udp(b.a, b.b, 5, false, 5000, "x"))
	o := b.options("")
	o.Wanted = func(p *trace.Packet) bool { return p.Host == "b" && p.Proto == "udp" }
	ways := join(o, slices.Concat(b.a.records(), b.b.records()))
	if len(ways) != 1 || outline(ways[0]) != pingPath+" delivered" {
		t.Errorf("%d ways, %v", len(ways), ways)
	}
}

// What is never seen at the next host does not fill the memory: the oldest is shown.
func TestMemoryIsBounded(t *testing.T) {
	b := newBed(t, rib.None, 1500)
	b.a.router.SetNeighbor(b.a.up, addr(b.b.ip), b.b.mac) // however long it takes, nobody is to answer for it
	b.a.uplink.Discard = true
	j := timeline.New(b.options(""))
	sent, shown := 0, 0
	early := false
	for sent < 2*timeline.MaxRecords {
		batch := make([]*packet.Frame, 64)
		for i := range batch {
			batch[i] = udp(b.a, b.b, 0, true, 5000, fmt.Sprint(sent+i))
		}
		b.a.ns1.Send(batch...)
		for _, p := range b.a.records() {
			sent++
			for _, w := range j.Add(p, began.Add(time.Duration(sent))) {
				shown += len(w.Packets)
				early = true
				if !says(w, "shown before all of it was known") || w.Outcome != timeline.Left {
					t.Fatalf("shown early, and said to be %s: %q", w.Outcome, w.Notes)
				}
			}
		}
		if n := j.Ghosts(); n > timeline.MaxRecords {
			t.Fatalf("%d that were shown are remembered", n)
		}
		if records, entries := j.Kept(); records > timeline.MaxRecords || entries > 10*timeline.MaxRecords {
			t.Fatalf("%d records and %d entries are kept", records, entries)
		}
	}
	for _, w := range j.End() {
		shown += len(w.Packets)
	}
	if shown != sent || !early {
		t.Errorf("%d of %d records are shown; early: %v", shown, sent, early)
	}
	if records, entries := j.Kept(); records+entries != 0 {
		t.Errorf("%d records and %d entries are kept after the end", records, entries)
	}
}

// Long runs of like packets are told in short.
func TestTextFolds(t *testing.T) {
	b := newBed(t, rib.None, 1500).resolve()
	b.across(segments, superframe(b.a, b.b, 1000))
	ways := join(b.options("one"), slices.Concat(b.a.records(), b.b.records()))
	out := text(t, ways[0])
	if n := strings.Count(out, "forwarded\n"); n != 2 || !strings.Contains(out, "\n… 6 more like this one on b, the last at +") {
		t.Errorf("%d blocks:\n%s", n, out)
	}
}

// Generated traffic: whatever is sent in whatever order, and whatever of it is lost, each
// packet has one way, which ends where the packet did; in whatever order the records come.
func TestGenerated(t *testing.T) {
	beds := []*bed{
		newBed(t, rib.None, 1500).resolve(), newBed(t, rib.None, 900).resolve(),
		newBed(t, rib.IPIP, 1500).resolve(), newBed(t, rib.IPIP, 900).resolve(),
		newBed(t, rib.VXLAN, 1500).resolve(), newBed(t, rib.VXLAN, 900).resolve(),
	}
	rapid.Check(t, func(r *rapid.T) {
		b := rapid.SampledFrom(beds).Draw(r, "bed")
		want := map[string]int{}
		n := rapid.IntRange(1, 12).Draw(r, "packets")
		for i := range n {
			lost := rapid.Bool().Draw(r, "lost")
			length := rapid.IntRange(0, 1400).Draw(r, "length")
			var f *packet.Frame
			if rapid.Bool().Draw(r, "udp") {
				id := uint16(0) // RFC 6864 4.1: of no meaning where nothing may be cut
				if length >= 600 {
					id = uint16(i + 1)
				}
				f = udp(b.a, b.b, id, id == 0, 5000, strings.Repeat(fmt.Sprint(i%10), length+1)+fmt.Sprint(i))
			} else {
				f = b.ping(uint16(i+1), uint16(i), length)
			}
			if lost {
				b.across(lose, f)
				want[timeline.Unseen]++
			} else {
				b.across(nil, f)
				want[timeline.Delivered]++
			}
		}
		got := map[string]int{}
		for _, w := range join(b.options("one"), interleave(r, b.a.records(), b.b.records())) {
			got[w.Outcome]++
			if w.Packets[0].Host != "a" || w.Outcome == timeline.Delivered && !slices.Equal(w.Hosts, []string{"a", "b"}) {
				r.Errorf("%s", outline(w))
			}
		}
		if got[timeline.Unseen] != want[timeline.Unseen] || got[timeline.Delivered] != want[timeline.Delivered] || len(got) > 2 {
			r.Errorf("%v, want %v", got, want)
		}
	})
}

// interleave keeps each host's order.
func interleave(r *rapid.T, a, b []*trace.Packet) (all []*trace.Packet) {
	for len(a)+len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && rapid.Bool().Draw(r, "a next") {
			all, a = append(all, a[0]), a[1:]
		} else {
			all, b = append(all, b[0]), b[1:]
		}
	}
	return all
}
