package engine

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vrouter/vrouter/internal/neigh"
)

// Held is what waits for one thing: packets for a next hop, the fragments of a
// datagram for the router itself, or packets that are stopped.
type Held struct {
	For      string     // ForNextHop, ForRest or ForLetGo
	Port     string     // by which they are to leave, or by which the fragments came, or the first that is stopped
	NextHop  netip.Addr // ForNextHop
	Src, Dst netip.Addr // ForRest: whose datagram, as is the next
	ID       uint32
	Protocol byte
	Before   string // ForLetGo: the step
	Packets  int
	Bytes    int           // of memory
	Age      time.Duration // since the next hop was first asked for, or the first of the others came
	Missing  string        // "2 of 3 requests are not answered", "2 of 3, from byte 2960"
}

// What packets wait for.
const (
	ForNextHop = "next_hop"
	ForRest    = "fragments"
	ForLetGo   = "stop"
)

// Held lists what waits, the oldest first.
func (r *Router) Held() (list []Held) {
	now := time.Now()
	for _, n := range r.neighbors.List(now) {
		if n.Waiting > 0 {
			list = append(list, Held{
				For: ForNextHop, Port: r.PortName(n.Port), NextHop: n.Addr, Packets: n.Waiting, Bytes: n.Bytes, Age: n.Age,
				Missing: fmt.Sprintf("an answer; %d of %d requests are sent", n.Tries, neigh.Tries),
			})
		}
	}
	list = append(list, r.fragments.held(now)...)
	if s := r.stopped.Load(); s != nil {
		list = append(list, s.heldAt(now)...)
	}
	slices.SortStableFunc(list, func(a, b Held) int { return cmp.Compare(b.Age, a.Age) })
	return list
}

func (r *reassembler) held(now time.Time) (list []Held) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, d := range r.datagrams {
		list = append(list, Held{
			For: ForRest, Port: d.parts[0].In.Name, Src: k.src, Dst: k.dst, ID: k.id, Protocol: k.protocol,
			Packets: len(d.parts), Bytes: d.bytes, Age: now.Sub(d.since), Missing: progressOf(d.fragments()).String(),
		})
	}
	return list
}

// progress is how far a datagram has come.
type progress struct {
	have, of int // fragments; of is a guess: a gap is taken for as many as would fill it
	from     int // the first byte that is missing
}

// String is what is missing: "2 of 3, from byte 2960".
func (p progress) String() string { return fmt.Sprintf("%d of %d, from byte %d", p.have, p.of, p.from) }

// progressOf is that of a datagram, by its fragments in order.
func progressOf(parts []fragment) progress {
	p, end, longest := progress{have: len(parts), of: len(parts), from: -1}, 0, 1
	for _, f := range parts {
		longest = max(longest, len(f.data))
	}
	gap := func(to int) {
		if p.from < 0 {
			p.from = end
		}
		p.of += max(1, (to-end+longest-1)/longest)
	}
	for _, f := range parts {
		if f.from > end {
			gap(f.from)
		}
		end = f.end()
	}
	if parts[len(parts)-1].more {
		gap(end)
	}
	return p
}
