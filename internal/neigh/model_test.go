package neigh

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
	"pgregory.net/rapid"
)

// model is what must be true of a table whatever is done to it.
type model struct {
	n     *Table[int]
	now   time.Time
	next  int           // number of the next packet
	out   []int         // packets that came out, in any way
	asked map[key]int64 // ns of the last request
}

func (m *model) came(t *rapid.T, packets ...int) {
	for _, p := range packets {
		if slices.Contains(m.out, p) {
			t.Fatalf("packet %d came out twice", p)
		}
	}
	m.out = append(m.out, packets...)
}

// requested holds requests to their pace (RFC 1122 2.3.2.1).
func (m *model) requested(t *rapid.T, a key) {
	if last, ok := m.asked[a]; ok && m.now.UnixNano()-last < int64(RetransTime) {
		t.Fatalf("%v asked for twice within %s", a, time.Duration(m.now.UnixNano()-last))
	}
	m.asked[a] = m.now.UnixNano()
}

func (m *model) hold(t *rapid.T) {
	a, port := drawHost(t), rapid.IntRange(0, 1).Draw(t, "port")
	if seen := m.n.Snapshot().Lookup(port, a); seen != nil && rapid.Bool().Draw(t, "up to date") {
		seen.Use()
		return
	}
	p := m.next
	m.next++
	bytes := rapid.SampledFrom([]int{64, 1500, MaxWaitingBytes / 3}).Draw(t, "bytes")
	would := m.n.Peek(m.now, port, a, bytes)
	h := m.n.Hold(m.now, port, a, p, bytes)
	if would.Ask != h.Ask || would.Refused != h.Refused || would.Known != h.Known {
		t.Fatalf("Peek says %+v, Hold did %+v", would, h)
	}
	m.came(t, h.Evicted...)
	if h.Known || h.Refused {
		m.came(t, p)
	}
	if seen := m.n.Snapshot().Lookup(port, a); h.Known && seen == nil {
		t.Fatalf("%s is said to be known on port %d, and is %+v", a, port, seen)
	}
	if h.Ask {
		m.requested(t, key{port, a})
	}
}

func (m *model) behind(t *rapid.T) {
	m.came(t, m.n.Behind(rapid.IntRange(0, 1).Draw(t, "port"), drawHost(t))...)
}

func (m *model) learn(t *rapid.T) {
	a := drawHost(t)
	mac := packet.MAC{2, 0, 0, 0, 0, rapid.ByteRange(1, 3).Draw(t, "mac")}
	port := rapid.IntRange(0, 1).Draw(t, "port")
	known, released := m.n.Learn(m.now, port, a, mac, rapid.Bool().Draw(t, "create"))
	m.came(t, released...)
	if seen := m.n.Snapshot().Lookup(port, a); known && (seen == nil || seen.MAC != mac) {
		t.Fatalf("%s was learnt as %s, and is %+v", a, mac, seen)
	}
}

func (m *model) solicited(t *rapid.T) {
	a, mac, port := drawHost(t), packet.MAC{2, 0, 0, 0, 0, rapid.ByteRange(1, 3).Draw(t, "mac")}, rapid.IntRange(0, 1).Draw(t, "port")
	known, released := m.n.Solicited(m.now, port, a, mac, rapid.Bool().Draw(t, "create"))
	m.came(t, released...)
	if seen := m.n.Snapshot().Lookup(port, a); known && (seen == nil || seen.MAC != mac) {
		t.Fatalf("%s solicited as %s, and is %+v", a, mac, seen)
	}
}

func (m *model) advertised(t *rapid.T) {
	a, mac, port := drawHost(t), packet.MAC{2, 0, 0, 0, 0, rapid.ByteRange(1, 3).Draw(t, "mac")}, rapid.IntRange(0, 1).Draw(t, "port")
	before := len(m.n.entries)
	_, released := m.n.Advertised(m.now, port, a, mac, rapid.Bool().Draw(t, "has MAC"), rapid.Bool().Draw(t, "override"), rapid.Bool().Draw(t, "solicited"))
	m.came(t, released...)
	if len(m.n.entries) != before {
		t.Fatal("an advertisement made an entry")
	}
}

func (m *model) pass(t *rapid.T) {
	m.now = m.now.Add(rapid.SampledFrom([]time.Duration{tick, 300 * time.Millisecond, time.Second, 31 * time.Second, time.Minute}).Draw(t, "time"))
	asks, failed := m.n.Tick(m.now)
	m.came(t, failed...)
	for _, a := range asks {
		m.requested(t, key{a.Port, a.Target})
	}
}

func (m *model) permanent(t *rapid.T) {
	m.came(t, m.n.SetPermanent(rapid.IntRange(0, 1).Draw(t, "port"), drawHost(t), mac1, m.now)...)
}

func (m *model) removePort(t *rapid.T) {
	port := rapid.IntRange(0, 1).Draw(t, "port")
	for _, i := range m.n.List(m.now) {
		if i.Port == port {
			delete(m.asked, key{port, i.Addr}) // a new port's neighbour is another one
		}
	}
	m.came(t, m.n.RemovePort(port)...)
}

// confirm loses nobody's address: each is used until it has not answered.
func (m *model) confirm(t *rapid.T) {
	port := rapid.IntRange(0, 1).Draw(t, "port")
	before := m.n.List(m.now)
	m.n.Confirm(port)
	for i, is := range m.n.List(m.now) {
		was := before[i]
		if known := was.MAC != (packet.MAC{}) && was.State != Permanent; known && was.Port == port {
			was.State, was.Tries = Probe, 0
		}
		if is != was {
			t.Fatalf("%+v became %+v", before[i], is)
		}
	}
}

func drawHost(t *rapid.T) netip.Addr { return host(rapid.IntRange(0, 3).Draw(t, "host")) }

// check holds the table's own books together.
func (m *model) check(t *rapid.T) {
	waiting, incomplete, permanent, bytes, resolved, learnt := 0, 0, 0, 0, 0, [2]int{}
	for _, i := range m.n.List(m.now) {
		waiting += i.Waiting
		seen := m.n.Snapshot().Lookup(i.Port, i.Addr)
		known := i.State != Incomplete && i.State != Failed
		if known != (seen != nil) || known && (seen.MAC != i.MAC || i.Waiting != 0 && !seen.Queued()) || !known && i.MAC != (packet.MAC{}) {
			t.Fatalf("%+v is seen as %+v", i, seen)
		}
		if i.State == Permanent {
			permanent++
		} else {
			learnt[i.Port]++
		}
		if i.State == Incomplete {
			incomplete++
		} else if i.Waiting > 0 && !seen.Queued() {
			t.Fatalf("packets wait for nobody: %+v", i)
		}
		if known {
			resolved++
		}
	}
	for _, e := range m.n.entries {
		for _, w := range e.queue {
			bytes += w.bytes
		}
	}
	if waiting != m.next-len(m.out) {
		t.Fatalf("%d packets wait; %d were held, %d came out", waiting, m.next, len(m.out))
	}
	for port := range 2 {
		if learnt[port] != m.n.of(port).learnt {
			t.Fatalf("port %d has %d, counted %+v", port, learnt[port], m.n.of(port))
		}
	}
	if len(m.n.entries)-permanent != m.n.all.learnt {
		t.Fatalf("%d entries, %d permanent, counted %+v", len(m.n.entries), permanent, m.n.all)
	}
	if incomplete != m.n.all.incomplete || bytes != m.n.waiting || bytes > MaxWaitingBytes {
		t.Fatalf("incomplete %d, counted %d; bytes %d, counted %d", incomplete, m.n.all.incomplete, bytes, m.n.waiting)
	}
	got := 0
	for _, t := range m.n.Snapshot().ports {
		if t != nil {
			got += t.Size()
		}
	}
	if got != resolved {
		t.Fatalf("the snapshot holds %d neighbours, %d are resolved", got, resolved)
	}
}

// Whatever happens: each packet that was held comes out once, or still waits; no
// target is asked for twice within a second; and the snapshot is the table's.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{n: NewTable[int](), now: start, asked: map[key]int64{}}
		t.Repeat(map[string]func(*rapid.T){
			"hold": m.hold, "hold more": m.hold, "behind": m.behind, "learn": m.learn, "solicited": m.solicited, "advertised": m.advertised, "time": m.pass, "a little time": m.pass,
			"permanent": m.permanent, "remove port": m.removePort, "confirm": m.confirm, "": m.check,
		})
	})
}
