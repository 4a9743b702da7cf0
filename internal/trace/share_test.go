package trace

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vrouter/vrouter/internal/filter"
)

// frame is one of ARP: a filter of protocols looks at all its terms to find none.
var frame = append(make([]byte, 12), append([]byte{8, 6}, make([]byte, 46)...)...)

// listenAs listens for somebody with a filter.
func listenAs(t *testing.T, h *Hub, who, expr string) *Listener {
	t.Helper()
	l, err := h.Listen(Options{Owner: who, Filter: parse(t, expr)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func parse(t *testing.T, expr string) *filter.Filter {
	t.Helper()
	f, err := filter.Parse(expr)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// ask has a worker ask those who listen about frames, and makes the records that they want.
func (h *Hub) ask(n int) {
	for i := range n {
		ls := h.Listeners()
		if ls == nil {
			return
		}
		if bits := ls.Wanted(frame, "ns1", i%WeighEvery == 0); bits != 0 {
			r := &Record{ID: h.NextID(), Time: time.Now().UnixNano()}
			r.For(ls, bits)
			h.Deliver(r)
		}
	}
}

// drain takes what there is.
func (l *Listener) drain() (n int, gap Gap, err error) {
	done, cancel := context.WithCancel(context.Background())
	cancel() // so that Next does not wait
	var r Record
	for ; ; n++ {
		g, e := l.Next(done, &r)
		if e != nil {
			return n, gap, cmpErr(l.Err(), e)
		}
		gap.Lost += g.Lost
		gap.Skipped += g.Skipped
	}
}

func cmpErr(own, other error) error {
	if own != nil {
		return own
	}
	return other
}

const allTerms = 500

func terms(n int) string { return strings.TrimSuffix(strings.Repeat("tcp or ", n), " or ") }

// A trace whose filter takes more than its owner's share is ended, and told; his others and those of
// others go on. He waits before the next one, so that it does not help to come again.
func TestCostlyFilterIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Hub{}
		costly := listenAs(t, h, "1000", terms(allTerms))
		cheap, other := listenAs(t, h, "1000", "arp"), listenAs(t, h, "1001", "arp")
		perFrame := costly.opts.Filter.Cost(frame, true)
		h.Refill(time.Now())
		for range 30 { // a tenth of a second each, at a rate that is twice what he may
			h.ask(2 * OwnerNodes / 10 / perFrame)
			time.Sleep(time.Second / 10)
			h.Refill(time.Now())
		}
		if _, _, err := costly.drain(); !errors.Is(err, ErrFilter) {
			t.Errorf("its reader is told %v", err)
		}
		for who, l := range map[string]*Listener{"his other one": cheap, "another's": other} {
			if n, _, err := l.drain(); n == 0 || errors.Is(err, ErrFilter) {
				t.Errorf("%s has %d records, %v", who, n, err)
			}
		}
		if _, ended, _ := h.Shares(); ended != 1 {
			t.Errorf("%d are counted as ended", ended)
		}
		costly.Close()

		tries := 0
		for start := time.Now(); time.Since(start) < 10*time.Second; h.Refill(time.Now()) {
			if l, err := h.Listen(Options{Owner: "1000", Filter: costly.opts.Filter}); err == nil {
				tries++
				h.ask(20 * OwnerNodes / 10 / perFrame) // until he is ended, far too much
				time.Sleep(time.Second / 10)
				h.Refill(time.Now())
				if !errors.Is(l.Err(), ErrFilter) {
					t.Fatal("he goes on")
				}
				l.Close()
			} else if !strings.Contains(err.Error(), "try again in ") {
				t.Fatal(err)
			}
			time.Sleep(time.Second / 10)
		}
		if tries > 6 { // 16 million nodes each time
			t.Errorf("%d traces in 10 s", tries)
		}
	})
}

// What many do together has a bound, too: the most expensive goes first.
func TestCostOfAllFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Hub{}
		var all []*Listener
		for _, who := range []string{"1", "2", "3", "4", "5", "6"} {
			all = append(all, listenAs(t, h, who, terms(allTerms)))
		}
		modest := listenAs(t, h, "7", "arp")
		h.Refill(time.Now())
		for range 40 {
			h.ask(OwnerNodes * 9 / 10 / 10 / all[0].opts.Filter.Cost(frame, true)) // less than the share of one
			time.Sleep(time.Second / 10)
			h.Refill(time.Now())
		}
		ended := 0
		for _, l := range all {
			if l.Err() != nil {
				ended++
			}
		}
		if want := 6 - AllNodes/(OwnerNodes*9/10); ended != want || modest.Err() != nil {
			t.Errorf("%d are ended, want %d; the modest one: %v", ended, want, modest.Err())
		}
	})
}

// There are so many records a second, and each owner has an equal share of them: what is left out
// is told and counted.
func TestRecordsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Hub{}
		l, other := listenAs(t, h, "1000", ""), listenAs(t, h, "1001", "")
		got, skipped, others := 0, 0, 0
		for range 100 {
			h.ask(10_000) // 100,000 a second
			time.Sleep(time.Second / 10)
			h.Refill(time.Now())
			n, gap, _ := l.drain()
			m, _, _ := other.drain()
			got, skipped, others = got+n, skipped+int(gap.Skipped), others+m
		}
		most := recordBurst + 10*AllRecords/2
		if got < most*9/10-RingSize || got > most || others < most*9/10-RingSize || others > most {
			t.Errorf("%d and %d records in 10 s, want some %d", got, others, most)
		}
		if left := 1_000_000 - got - skipped; left < 0 || left > 10_000+RingSize {
			t.Errorf("of a million packets %d are told and %d skipped", got, skipped)
		}
	})
}

// heap is what is in use after a collection.
func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// Traces that have ended leave nothing behind, whoever still listens: neither in his ring nor in a record.
func TestEndedTracesAreForgotten(t *testing.T) {
	h := &Hub{}
	running := listenAs(t, h, "0", "")
	worker := &Record{} // that it uses again
	put := func() {
		for range 2 * chunkLen {
			worker.ID, worker.Time = h.NextID(), time.Now().UnixNano()
			worker.For(h.Listeners(), 3)
			h.Deliver(worker)
		}
	}
	for range RingSize / chunkLen {
		put()
	}
	before := heap()
	for range 300 {
		l, err := h.Listen(Options{Owner: "1000", Filter: parse(t, terms(allTerms))})
		if err != nil {
			t.Fatal(err)
		}
		put()
		l.drain()
		l.Close()
	}
	if grown := heap() - before; grown > 2<<20 {
		t.Errorf("300 traces of a few packets have left %d KiB", grown>>10)
	}
	running.Close()
	if _, _, bytes := h.Shares(); bytes != 0 {
		t.Errorf("%d bytes are left when nobody listens", bytes)
	}
}

// Who opens and closes traces over and over takes no memory that is still to be collected.
func TestTracesComeAndGo(t *testing.T) {
	h := &Hub{}
	running := listenAs(t, h, "0", "")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 2000 {
		l, err := h.Listen(Options{Owner: "1000", Filter: &filter.Filter{}})
		if err != nil {
			t.Fatal(err)
		}
		h.ask(1)
		l.Close()
	}
	running.drain()
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 50<<20 {
		t.Errorf("2,000 traces took %d MiB of memory", taken>>20)
	}
}

// When all fall behind, the memory of all has a bound, and each keeps his part and his newest records.
func TestMemoryOfRings(t *testing.T) {
	h := &Hub{}
	var all []*Listener
	for i := range MaxListeners {
		all = append(all, listenAs(t, h, string(rune('a'+i)), ""))
	}
	last := &Record{}
	for range 3 * RingSize {
		last.ID, last.Time = h.NextID(), time.Now().UnixNano()
		last.For(h.Listeners(), 1<<MaxListeners-1)
		h.Deliver(last)
	}
	if _, _, bytes := h.Shares(); bytes > AllRings*RecordSize {
		t.Errorf("their rings have %d MiB", bytes>>20)
	}
	for i, l := range all {
		n, gap, _ := l.drain()
		if n < (leastChunks-2)*chunkLen || n+int(gap.Lost) != 3*RingSize {
			t.Errorf("listener %d has %d records, and lost %d", i, n, gap.Lost)
		}
	}
}
