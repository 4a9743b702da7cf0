package impair

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	frames = 100_000
	// chance is how seldom a fair share may be further off, to either side.
	chance = 1e-6
)

func frame(n, length int) []byte {
	b := make([]byte, length)
	binary.BigEndian.PutUint32(b[length-4:], uint32(n))
	return b
}

// number is the number of a frame that was not damaged.
func number(b []byte) int { return int(binary.BigEndian.Uint32(b[len(b)-4:])) }

// arrival is a frame that came off a line.
type arrival struct {
	at time.Duration
	b  []byte
}

// drain takes what is left, each frame when it is due.
func drain(l *Line) (all []arrival) {
	for due, ok := l.Next(); ok; due, ok = l.Next() {
		all = append(all, arrival{due, l.Take(due)})
	}
	return all
}

// send puts n frames on a new line, one every interval, and takes each when it is due.
func send(i Impairment, n, length int, interval time.Duration) (l *Line, all []arrival) {
	l = NewLine(i, 0)
	for k := range n {
		now := time.Duration(k) * interval
		for due, ok := l.Next(); ok && due <= now; due, ok = l.Next() {
			all = append(all, arrival{due, l.Take(due)})
		}
		l.Send(now, frame(k, length))
	}
	return l, append(all, drain(l)...)
}

// fair says whether k of n is what comes of a probability p, by the exact binomial tails.
func fair(k, n uint64, p float64) bool {
	var low, high float64
	mass := float64(n) * math.Log1p(-p) // its logarithm, as the first ones are too small
	for i := range n + 1 {
		if i <= k {
			low += math.Exp(mass)
		}
		if i >= k {
			high += math.Exp(mass)
		}
		mass += math.Log(float64(n-i)/float64(i+1)) + math.Log(p) - math.Log1p(-p)
	}
	return low > chance && high > chance
}

func TestFair(t *testing.T) {
	for k, want := range map[uint64]bool{4600: false, 4700: true, 5000: true, 5300: true, 5400: false} {
		if fair(k, frames, 0.05) != want {
			t.Errorf("%d of %d by 5%%: fair is %v", k, frames, !want)
		}
	}
}

// Each kind has its share, of those that it can happen to.
func TestShares(t *testing.T) {
	for _, c := range []Impairment{
		{Seed: 1, Loss: 0.05, Duplicate: 0.01, Corrupt: 0.001, Reorder: 0.25, Delay: time.Millisecond},
		{Seed: 2, Loss: 0.5, Duplicate: 0.5, Corrupt: 0.5, Reorder: 0.5, Delay: time.Millisecond},
	} {
		l, all := send(c, frames, 64, time.Microsecond*100)
		kept := l.Sent - l.Lost
		copies := kept + l.Duplicated
		for _, s := range []struct {
			what string
			k, n uint64
			p    float64
		}{
			{"lost", l.Lost, l.Sent, c.Loss}, {"duplicated", l.Duplicated, kept, c.Duplicate},
			{"corrupted", l.Corrupted, copies, c.Corrupt}, {"reordered", l.Reordered, copies, c.Reorder},
		} {
			if !fair(s.k, s.n, s.p) {
				t.Errorf("%+v: %d of %d %s", c, s.k, s.n, s.what)
			}
		}
		if l.Sent != frames || l.Delivered != copies || uint64(len(all)) != copies || l.Overflow != 0 {
			t.Errorf("%+v: %+v, and %d came", c, l.Counts, len(all))
		}
	}
}

// All or nothing is exact.
func TestAllOrNothing(t *testing.T) {
	for _, c := range []struct {
		i    Impairment
		want Counts
	}{
		{Impairment{}, Counts{Sent: 1000, Delivered: 1000}},
		{Impairment{Loss: 1, Duplicate: 1, Corrupt: 1}, Counts{Sent: 1000, Lost: 1000}},
		{Impairment{Duplicate: 1, Corrupt: 1}, Counts{Sent: 1000, Delivered: 2000, Duplicated: 1000, Corrupted: 2000}},
	} {
		if l, _ := send(c.i, 1000, 64, time.Millisecond); l.Counts != c.want {
			t.Errorf("%+v: %+v, want %+v", c.i, l.Counts, c.want)
		}
	}
}

func TestTheSeedIsTheFate(t *testing.T) {
	i := Impairment{Seed: 7, Loss: 0.1, Duplicate: 0.1, Corrupt: 0.1, Reorder: 0.1, Delay: 5 * time.Millisecond, Jitter: 2 * time.Millisecond}
	fate := func(i Impairment, line int) []arrival {
		l := NewLine(i, line)
		for k := range 900 {
			l.Send(time.Duration(k)*time.Microsecond, frame(k, 64))
		}
		return drain(l)
	}
	same := cmp.AllowUnexported(arrival{})
	first := fate(i, 0)
	if d := cmp.Diff(first, fate(i, 0), same); d != "" {
		t.Errorf("the same seed, another fate:\n%s", d)
	}
	if cmp.Equal(first, fate(i, 1), same) {
		t.Error("two lines of a link have the same fate")
	}
	i.Seed++
	if cmp.Equal(first, fate(i, 0), same) {
		t.Error("another seed, the same fate")
	}
}

// One kind more does not change which frames the others meet.
func TestKindsAreIndependent(t *testing.T) {
	const n = 1000
	// Which frames are lost, and which overtake.
	met := func(i Impairment) (lost, early []bool) {
		lost, early = make([]bool, n), make([]bool, n)
		l := NewLine(i, 0)
		for k := range n {
			before := l.Counts
			l.Send(0, frame(k, 64))
			lost[k], early[k] = l.Lost > before.Lost, l.Reordered > before.Reordered
			drain(l)
		}
		return lost, early
	}
	base := Impairment{Seed: 3, Delay: time.Millisecond, Reorder: 0.1}
	_, early := met(base)
	more := base
	more.Loss, more.Corrupt, more.Jitter = 0.3, 0.3, time.Millisecond
	lost, still := met(more)
	if !slices.Contains(early, true) || !slices.Contains(lost, true) {
		t.Fatal("nothing happened")
	}
	for k := range n {
		if still[k] != (early[k] && !lost[k]) {
			t.Fatalf("frame %d: lost %v, reordered %v, and without loss %v", k, lost[k], still[k], early[k])
		}
	}
	more.Duplicate = 0.5
	if twice, _ := met(more); !slices.Equal(lost, twice) {
		t.Error("duplicates change which frames are lost")
	}
}

func numbersOf(all []arrival) (list []int) {
	for _, a := range all {
		list = append(list, number(a.b))
	}
	return list
}

// Without jitter all keep their order and come exactly late.
func TestDelay(t *testing.T) {
	_, all := send(Impairment{Delay: 20 * time.Millisecond}, 1000, 64, 10*time.Microsecond)
	for k, a := range all {
		if want := time.Duration(k)*10*time.Microsecond + 20*time.Millisecond; number(a.b) != k || a.at != want {
			t.Fatalf("frame %d came as the %dth after %v, want %v", number(a.b), k, a.at, want)
		}
	}
	if len(all) != 1000 {
		t.Errorf("%d came", len(all))
	}
	// And so do frames that were sent at the same time.
	_, all = send(Impairment{Delay: time.Millisecond}, 100, 64, 0)
	if !slices.IsSorted(numbersOf(all)) {
		t.Errorf("order %v", numbersOf(all))
	}
}

func TestJitter(t *testing.T) {
	const mean, jitter, every = 20 * time.Millisecond, 5 * time.Millisecond, time.Millisecond
	_, all := send(Impairment{Seed: 1, Delay: mean, Jitter: jitter}, frames, 64, every)
	var sum time.Duration
	least, most := time.Hour, time.Duration(0)
	for _, a := range all {
		late := a.at - time.Duration(number(a.b))*every
		sum, least, most = sum+late, min(least, late), max(most, late)
	}
	// A uniform distribution's mean has a deviation of jitter/√(3n): 9 µs here.
	if average := sum / frames; average < mean-50*time.Microsecond || average > mean+50*time.Microsecond {
		t.Errorf("late by %v on average", average)
	}
	if least < mean-jitter || most > mean+jitter || least > mean-jitter*99/100 || most < mean+jitter*99/100 {
		t.Errorf("late by %v to %v", least, most)
	}
	if slices.IsSorted(numbersOf(all)) {
		t.Error("with a jitter of five intervals nothing overtook")
	}
}

// A reordered frame comes at once, before those that were sent before it.
func TestReorder(t *testing.T) {
	const delay, every = 10 * time.Millisecond, time.Millisecond
	l, all := send(Impairment{Seed: 1, Delay: delay, Reorder: 0.25}, 1000, 64, every)
	overtook, last := uint64(0), -1
	for _, a := range all {
		late := a.at - time.Duration(number(a.b))*every
		switch late {
		case 0:
			overtook++
		case delay:
			if number(a.b) < last {
				t.Errorf("delayed frame %d came after %d", number(a.b), last)
			}
			last = number(a.b)
		default:
			t.Errorf("frame %d is %v late", number(a.b), late)
		}
	}
	if overtook != l.Reordered || overtook == 0 || slices.IsSorted(numbersOf(all)) {
		t.Errorf("%d came at once, %d are counted", overtook, l.Reordered)
	}
}

// 1,250 bytes at 10 mbit take a millisecond each, one after the other.
func TestRate(t *testing.T) {
	_, all := send(Impairment{Rate: 10_000_000}, 100, 1250, 0)
	for k, a := range all {
		if want := time.Duration(k+1) * time.Millisecond; a.at != want || number(a.b) != k {
			t.Errorf("frame %d came as the %dth at %v, want %v", number(a.b), k, a.at, want)
		}
	}
	// Slower than that, none waits for another; and the delay comes on top.
	_, all = send(Impairment{Rate: 10_000_000, Delay: 5 * time.Millisecond}, 100, 1250, 3*time.Millisecond)
	for k, a := range all {
		if want := time.Duration(3*k+6) * time.Millisecond; a.at != want {
			t.Errorf("frame %d came at %v, want %v", k, a.at, want)
		}
	}
}

func TestOverflow(t *testing.T) {
	l, all := send(Impairment{Delay: time.Second, Limit: 10}, 25, 64, 0)
	if want := (Counts{Sent: 25, Delivered: 10, Overflow: 15}); l.Counts != want {
		t.Errorf("%+v, want %+v", l.Counts, want)
	}
	if d := cmp.Diff([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, numbersOf(all)); d != "" {
		t.Error(d)
	}
	l, _ = send(Impairment{Delay: time.Second, Duplicate: 1}, DefaultLimit, 64, 0)
	if want := (Counts{Sent: DefaultLimit, Delivered: DefaultLimit, Duplicated: DefaultLimit, Overflow: DefaultLimit}); l.Counts != want {
		t.Errorf("%+v, want %+v", l.Counts, want)
	}
	// What the other end had no room for counts as that too.
	l.Send(0, frame(0, 64))
	drain(l)
	l.Refused()
	if l.Overflow != DefaultLimit+1 || l.Delivered != DefaultLimit+1 {
		t.Errorf("after a refusal %+v", l.Counts)
	}
}

// Corruption turns exactly one bit over, anywhere behind the Ethernet header, and leaves
// the sender's frame alone.
func TestCorrupt(t *testing.T) {
	const length = 34
	l := NewLine(Impairment{Seed: 1, Corrupt: 1}, 0)
	sent, seen := make([]byte, length), [8 * length]bool{}
	for range 5000 {
		l.Send(0, sent)
		got := l.Take(0)
		flipped := 0
		for i, b := range got {
			flipped += bits.OnesCount8(b)
			if b != 0 {
				seen[8*i+bits.TrailingZeros8(b)] = true
			}
		}
		if flipped != 1 || len(got) != length {
			t.Fatalf("%d bits of %d bytes changed", flipped, len(got))
		}
	}
	for bit, hit := range seen {
		if behind := bit >= 8*14; hit != behind {
			t.Errorf("bit %d of byte %d changed: %v", bit%8, bit/8, hit)
		}
	}
	if !bytes.Equal(sent, make([]byte, length)) {
		t.Error("the sender's own frame was changed")
	}
	// A frame with nothing behind its header stays as it is.
	l.Send(0, make([]byte, 14))
	if got := l.Take(0); !bytes.Equal(got, make([]byte, 14)) || l.Corrupted != 5000 {
		t.Errorf("%x, %d counted", got, l.Corrupted)
	}
}

// What waits keeps its time when the line is changed.
func TestChange(t *testing.T) {
	l := NewLine(Impairment{Delay: time.Second}, 0)
	l.Send(0, frame(0, 64))
	l.Change(Impairment{}, 0)
	l.Send(time.Millisecond, frame(1, 64))
	all := drain(l)
	if d := cmp.Diff([]int{1, 0}, numbersOf(all)); d != "" || all[1].at != time.Second {
		t.Errorf("%v, the first at %v", numbersOf(all), all[1].at)
	}
	if l.Take(time.Hour) != nil {
		t.Error("an empty line gave a frame")
	}
	// Its chances begin anew: the same frames are lost once more.
	var lost [2][]int
	for round := range lost {
		l.Change(Impairment{Loss: 0.5, Seed: 7}, 0)
		for n := range 100 {
			l.Send(time.Hour, frame(n, 64))
		}
		lost[round] = numbersOf(drain(l))
	}
	if d := cmp.Diff(lost[0], lost[1]); d != "" || len(lost[0]) == 100 {
		t.Errorf("after a change to what it was, others come: %s", d)
	}
}
