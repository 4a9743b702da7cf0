package impair

import (
	"bytes"
	"cmp"
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
)

// Line is one direction of a link: to one of its ends. Times count from any moment,
// and do not go back.
type Line struct {
	Counts
	to     Impairment
	random *rand.Rand
	queue  queue
	count  uint64        // of frames that waited, to keep their order
	busy   time.Duration // until then the line sends what came before, where it has a rate
}

// NewLine makes one; number tells it from the link's other lines, so that they do not
// lose the same frames.
func NewLine(i Impairment, number int) *Line {
	l := &Line{}
	l.Change(i, number)
	return l
}

// Change gives the line another impairment. What waits is not touched.
func (l *Line) Change(i Impairment, number int) {
	if i.Limit == 0 {
		i.Limit = DefaultLimit
	}
	l.to, l.random = i, rand.New(rand.NewPCG(i.Seed, uint64(number)))
}

// Send puts a frame on the line, which copies it.
func (l *Line) Send(now time.Duration, frame []byte) {
	l.Sent++
	// All are drawn for each frame, so that one kind does not change the others' fate.
	lost, twice := l.random.Float64() < l.to.Loss, l.random.Float64() < l.to.Duplicate
	first, second := l.draw(frame), l.draw(frame)
	if lost {
		l.Lost++
		return
	}
	l.enqueue(now, frame, first)
	if twice {
		l.Duplicated++
		l.enqueue(now, frame, second)
	}
}

// fate is what becomes of one copy of a frame.
type fate struct {
	reorder bool
	corrupt int // the bit that turns over; -1: none
	delay   time.Duration
}

func (l *Line) draw(frame []byte) (f fate) {
	reorder, corrupt, bit, delay := l.random.Float64(), l.random.Float64(), l.random.Float64(), l.random.Float64()
	f.reorder, f.corrupt = reorder < l.to.Reorder, -1
	if bits := 8 * (len(frame) - packet.EthernetLen); corrupt < l.to.Corrupt && bits > 0 {
		f.corrupt = int(bit * float64(bits))
	}
	f.delay = max(0, l.to.Delay+time.Duration((2*delay-1)*float64(l.to.Jitter)))
	return f
}

func (l *Line) enqueue(now time.Duration, frame []byte, f fate) {
	if len(l.queue) >= l.to.Limit {
		l.Overflow++
		return
	}
	frame = bytes.Clone(frame)
	if f.corrupt >= 0 {
		l.Corrupted++
		frame[packet.EthernetLen+f.corrupt/8] ^= 1 << (f.corrupt % 8)
	}
	due := now
	if l.to.Rate > 0 {
		l.busy = max(l.busy, now) + time.Duration(uint64(len(frame))*8*uint64(time.Second)/l.to.Rate)
		due = l.busy
	}
	if f.reorder {
		l.Reordered++
	} else {
		due += f.delay
	}
	l.count++
	heap.Push(&l.queue, waiting{due, l.count, frame})
}

// Next is when the next frame is due, if any waits.
func (l *Line) Next() (due time.Duration, ok bool) {
	if len(l.queue) == 0 {
		return 0, false
	}
	return l.queue[0].due, true
}

// Take is the next frame that is due by now, nil if there is none.
func (l *Line) Take(now time.Duration) []byte {
	if due, ok := l.Next(); !ok || due > now {
		return nil
	}
	l.Delivered++
	return heap.Pop(&l.queue).(waiting).frame
}

// Refused takes back that the frame of the last Take was delivered: there was no room
// for it at the end.
func (l *Line) Refused() {
	l.Delivered--
	l.Overflow++
}

// waiting is a frame on the line.
type waiting struct {
	due   time.Duration
	order uint64
	frame []byte
}

// queue is a heap: what is due first, and of what is due at once what was sent first.
type queue []waiting

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].due, q[j].due), cmp.Compare(q[i].order, q[j].order)) < 0
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(waiting)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	*q = (*q)[:last]
	return w
}
