package link

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
)

// shared is a poller with ports, in a time of its own: what a frame costs is up to the test.
type shared struct {
	t *testing.T
	*epoll
	fed   []*fed
	time  time.Duration
	costs []time.Duration // of a frame, by port
	used  []time.Duration // by port
	count []int           // frames, by port
}

func newShared(t *testing.T, costs ...time.Duration) *shared {
	t.Helper()
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	s := &shared{t: t, epoll: p.(*epoll), costs: costs, used: make([]time.Duration, len(costs)), count: make([]int, len(costs))}
	s.now = func() time.Duration { return s.time }
	for id := range costs {
		s.fed = append(s.fed, newFed(t))
		if err := p.Add(id, s.fed[id]); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// flood has ports have frames without end.
func (s *shared) flood(ids ...int) {
	for _, id := range ids {
		s.feed(id, 1<<30)
	}
}

func (s *shared) feed(id, n int) { s.fed[id].feed(s.t, n) }

// batch is read, and takes its time. It says which ports it was from.
func (s *shared) batch() []int {
	s.t.Helper()
	_, from, e := s.Read()
	if e != nil {
		s.t.Fatal(e.Err)
	}
	for _, id := range from {
		s.time += s.costs[id]
		s.used[id] += s.costs[id]
		s.count[id]++
		s.Charge(id, s.Lap())
	}
	return from
}

// run reads batches for a time, and forgets what was counted before.
func (s *shared) run(d time.Duration) {
	s.t.Helper()
	clear(s.used)
	clear(s.count)
	for end := s.time + d; s.time < end; {
		s.batch()
	}
}

// wantTimes wants so much of the whole time to have gone to each port.
func (s *shared) wantTimes(shares ...float64) {
	s.t.Helper()
	total := time.Duration(0)
	for _, d := range s.used {
		total += d
	}
	for id, want := range shares {
		if got := float64(s.used[id]) / float64(total); got < want-0.03 || got > want+0.03 {
			s.t.Errorf("port %d has had %.2f of the time, want %.2f: %v, frames %v", id, got, want, s.used, s.count)
		}
	}
}

// A frame of one port waits for one batch of each flooded port at most, and a port
// that has many is given as many as a flooded one.
func TestServiceIsFair(t *testing.T) {
	const us = time.Microsecond
	s := newShared(t, us, us, us, us)
	const floods, honest = 3, 3 // the ids of the flooded ports are those below
	s.flood(0, 1, 2)
	for range 100 { // they are at full speed
		s.batch()
	}
	for round := range 50 {
		s.feed(honest, 1)
		batches := 1
		for !slices.Contains(s.batch(), honest) {
			if batches++; batches > floods+1 {
				t.Fatalf("round %d: one frame has waited for more than %d batches", round, floods)
			}
		}
	}
	s.flood(honest)
	s.run(time.Second)
	if least := slices.Min(s.count); 10*least < 9*slices.Max(s.count) {
		t.Errorf("frames by port: %v", s.count)
	}
}

// However dear its frames are, a port has as much time as another one, and nobody waits
// for longer than one of its turns.
func TestShareIsOfTime(t *testing.T) {
	for name, costs := range map[string][]time.Duration{
		"one dear":                {2 * time.Microsecond, 3 * time.Millisecond},
		"all but one dear":        {2 * time.Microsecond, 3 * time.Millisecond, time.Millisecond, 5 * time.Millisecond},
		"dearer by a little":      {2 * time.Microsecond, 5 * time.Microsecond, 20 * time.Microsecond},
		"all dearer than a turn":  {time.Millisecond, 5 * time.Millisecond},
		"many that are as others": {time.Microsecond, time.Microsecond, time.Microsecond, 100 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShared(t, costs...)
			want := make([]float64, len(costs))
			for id := range costs {
				s.flood(id)
				want[id] = 1 / float64(len(costs))
			}
			s.run(3 * time.Second)
			s.wantTimes(want...)
		})
	}
}

// A port whose frames are dear now and then pays for it, and has others wait for no
// longer than it takes to learn what they cost.
func TestShareOfTurnsThatVary(t *testing.T) {
	s := newShared(t, 2*time.Microsecond, 2*time.Microsecond)
	s.flood(0, 1)
	longest := time.Duration(0)
	for end := 3 * time.Second; s.time < end; {
		s.costs[1] = 2 * time.Microsecond
		if s.time/(20*time.Millisecond)%2 == 0 {
			s.costs[1] = 300 * time.Microsecond
		}
		start := s.time
		s.batch()
		longest = max(longest, s.time-start)
	}
	s.wantTimes(0.5, 0.5)
	if most := BatchSize*300*time.Microsecond + turn; longest > most {
		t.Errorf("a batch took %v", longest)
	}
}

// Who is alone has all the time, and owes nobody anything for it; who had nothing to do
// has saved nothing up.
func TestShareIsNotSaved(t *testing.T) {
	s := newShared(t, time.Millisecond, time.Millisecond)
	s.flood(0)
	s.run(time.Second)
	s.wantTimes(1, 0)
	s.flood(1)
	s.run(100 * time.Millisecond)
	s.wantTimes(0.5, 0.5)
	s.fed[0].left = 0 // it has nothing for a while
	s.run(time.Second)
	s.flood(0)
	s.run(100 * time.Millisecond)
	s.wantTimes(0.5, 0.5)
}

// Who pauses does not get rid of what he has had.
func TestShareIsNotForgotten(t *testing.T) {
	s := newShared(t, 100*time.Microsecond, 5*time.Millisecond)
	s.flood(0)
	s.time += time.Second
	for end := s.time + 2*time.Second; s.time < end; {
		if !s.ports[1].ready {
			s.feed(1, 1) // as soon as it has none: one frame
		}
		s.batch()
	}
	s.wantTimes(0.5, 0.5)
}

// A pause of the whole machine in one port's turn is not held against it for long.
func TestShareAfterAPause(t *testing.T) {
	s := newShared(t, 10*time.Microsecond, 10*time.Microsecond)
	s.flood(0, 1)
	s.run(10 * time.Millisecond)
	s.Lap()
	s.time += time.Minute
	s.Charge(0, s.Lap())
	s.run(2 * mostDebt)
	s.run(10 * time.Millisecond)
	s.wantTimes(0.5, 0.5)
}

// A signal may end a wait though nothing has come.
func TestNothingIsReady(t *testing.T) {
	s := newShared(t, time.Microsecond)
	if n, err := s.readReady(); n != 0 || err != nil {
		t.Errorf("%d frames, %v", n, err)
	}
}

// A superframe of many segments is taken in parts, between which others have their turn,
// whatever of its virtio header nobody has set.
func TestManySegmentsAreTakenInParts(t *testing.T) {
	t.Run("pending", func(t *testing.T) { takenInParts(t, func(*packet.Offload) {}) })
	t.Run("complete", func(t *testing.T) {
		takenInParts(t, func(o *packet.Offload) { o.Flags, o.CsumStart, o.CsumOffset = 0, 0, 60000 })
	})
}

func takenInParts(t *testing.T, change func(*packet.Offload)) {
	const size, data = 3, 12000
	s := newShared(t, time.Microsecond, time.Millisecond)
	whole := superframe(data, size)
	change(&whole.Offload)
	s.fed[1].frame = func() *packet.Frame { return whole }
	s.flood(0)
	s.feed(1, 2)
	want := string(whole.Bytes()[whole.Len-data:])
	for range 2 {
		got, others := "", 0
		for got != want {
			frames, from, err := s.Read()
			if err != nil {
				t.Fatal(err.Err)
			}
			for i, id := range from {
				f := &frames[i]
				s.time += s.costs[id]
				s.Charge(id, s.Lap())
				if id == 0 {
					others++
					continue
				}
				if n := f.Segments(); n > turnSegments {
					t.Fatalf("a part of %d segments", n)
				}
				if got != "" && others == 0 {
					t.Fatal("another part came before the other port had its turn")
				}
				at := int(binary.BigEndian.Uint32(f.Bytes()[f.Offload.CsumStart+4:]))
				if at != len(got) {
					t.Fatalf("a part begins at byte %d, want %d", at, len(got))
				}
				got, others = got+string(f.Bytes()[int(f.Offload.CsumStart)+packet.TCPMinLen:]), 0
			}
			if len(got) > len(want) {
				t.Fatalf("%d bytes of %d", len(got), len(want))
			}
		}
	}
	if n := len(s.spare); n != 1 {
		t.Errorf("%d buffers are kept, want 1", n)
	}
}

// superframe is TCP with so much data, to be cut after each size bytes.
func superframe(data, size int) *packet.Frame {
	f := packet.FrameOf(make([]byte, packet.EthernetLen+packet.IPv4MinLen+packet.TCPMinLen+data))
	f.SetEthernet(packet.MAC{2, 9}, packet.MAC{2, 8}, packet.EtherTypeIPv4)
	packet.PutIPv4(f.Payload(), &packet.Header{TotalLen: f.Len - packet.EthernetLen, TTL: 64, Protocol: packet.ProtocolTCP, Src: netip.IPv4Unspecified(), Dst: netip.IPv4Unspecified()})
	tcp := packet.IPv4(f.Payload()).Payload()
	tcp[12] = packet.TCPMinLen / 4 << 4
	for i := range data {
		tcp[packet.TCPMinLen+i] = byte(i * 7)
	}
	f.Offload = packet.Offload{
		Flags: 1, GSOType: packet.GSOTCPv4, GSOSize: uint16(size), CsumStart: packet.EthernetLen + packet.IPv4MinLen, CsumOffset: 16,
	}
	return f
}
