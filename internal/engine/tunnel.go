package engine

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"

	"github.com/vrouter/vrouter/forwarder"
)

const (
	// PathMTUTime is how long a lowered path MTU is believed (RFC 1191 6.3), and how long
	// a tunnel is known that no route and no peer speaks of any more.
	PathMTUTime = 10 * time.Minute
	// ProbeAfter is when a packet that is longer may go, to see whether the path carries
	// it by now: not before (RFC 1191 6.3).
	ProbeAfter = 5 * time.Minute
	// ProbeTime is how long a router may take to say that it does not.
	ProbeTime = 5 * time.Second
)

// Guesses are quotes that no packet of ours has lately looked like. Each tunnel bears
// so many of them, at once and a second; while there are more, none of its errors is
// believed, as one of them might be right.
const (
	guessRate  = 10
	guessBurst = 100
)

// PathMTU is the largest outer packet that the path to a tunnel's other end
// carries, as a router on the way has told. It goes down, and up when a longer packet
// has got through or the time is over.
type PathMTU struct {
	Bytes int
	From  netip.Addr // the router that told
	Since time.Time
	Less  bool // it told less than is believed of any path
}

// tunnelBook is what is known of a tunnel besides what the path sees. It lives on when
// the settings change.
type tunnelBook struct {
	tx, rx  atomic.Uint64
	super   [forwarder.NumCuts]atomic.Uint64 // superframes that went into it
	path    atomic.Pointer[PathMTU]          // nil: the uplink's MTU
	refused atomic.Uint64                    // ICMP errors that quote nothing that was sent lately
	guesses limiter                          // of them
	numbers *numbers                         // of outer packets that may be cut

	answerBy time.Time // housekeeping's: the end of ProbeTime

	left atomic.Pointer[time.Time] // when the settings no longer spoke of it; nil: they do
}

// used says whether there is anything to remember of a tunnel.
func (b *tunnelBook) used() bool {
	return b.tx.Load() != 0 || b.rx.Load() != 0 || b.refused.Load() != 0 || b.path.Load() != nil
}

// setTunnels makes the tunnels that the settings speak of, and keeps what is known of
// those that there were. One that they no longer speak of stays for a while, if anything is
// known of it: a routing daemon may take its routes away for a moment.
func (s *state) setTunnels(now time.Time) {
	old := s.State
	s.Tunnels = new(bart.Table[*forwarder.Tunnel])
	for _, peer := range slices.Concat(s.Ends, s.Peers, s.VXLAN.Ends, s.VXLAN.Peers) {
		if s.Tunnel(peer) != nil {
			continue // to be sent to, and to be heard
		}
		t := &forwarder.Tunnel{Peer: peer, Owner: &tunnelBook{numbers: newNumbers()}}
		if was := old.Tunnel(peer); was != nil {
			*t = *was
		}
		t.Accept, t.AcceptVXLAN = slices.Contains(s.Peers, peer), slices.Contains(s.VXLAN.Peers, peer)
		t.MAC = s.VXLAN.MACs[peer]
		t.Owner.(*tunnelBook).left.Store(nil)
		s.Tunnels.Insert(netip.PrefixFrom(peer, peer.BitLen()), t)
	}
	for p, was := range old.Tunnels.All() {
		if s.Tunnel(was.Peer) == nil && was.Owner.(*tunnelBook).used() {
			t := *was
			t.Accept, t.AcceptVXLAN = false, false
			t.Owner.(*tunnelBook).left.CompareAndSwap(nil, &now)
			s.Tunnels.Insert(p, &t)
		}
	}
}

// dropTunnel forgets a tunnel that nobody has spoken of for long.
func (r *Router) dropTunnel(peer netip.Addr) {
	r.publish(func(next *state) {
		if t := next.Tunnel(peer); t != nil && t.Owner.(*tunnelBook).left.Load() != nil {
			next.Tunnels = next.Tunnels.DeletePersist(netip.PrefixFrom(peer, peer.BitLen()))
		}
	})
}

// setTunnel changes what the path sees of a tunnel.
func (s *state) setTunnel(peer netip.Addr, change func(*forwarder.Tunnel)) {
	if was := s.Tunnel(peer); was != nil {
		t := *was
		change(&t)
		s.Tunnels = s.Tunnels.InsertPersist(netip.PrefixFrom(peer, peer.BitLen()), &t)
	}
}

// changeTunnel has the path see another state of a tunnel.
func (r *Router) changeTunnel(peer netip.Addr, change func(*forwarder.Tunnel)) {
	r.publish(func(next *state) { next.setTunnel(peer, change) })
}

// lowerPathMTU takes over what a router on the way to a tunnel's end has told.
func (r *Router) lowerPathMTU(peer netip.Addr, told PathMTU) {
	r.changeTunnel(peer, func(t *forwarder.Tunnel) {
		if t.PathMTU != 0 && told.Bytes > t.PathMTU && t.Probe != forwarder.ProbeSent {
			return // another worker has heard of less
		}
		t.PathMTU, t.Less, t.Probe = told.Bytes, told.Less, forwarder.NoProbe
		t.Owner.(*tunnelBook).path.Store(&told)
	})
}

// tickTunnel does what is due: a path MTU that is too old is not believed any more, nor
// one that a probe was longer than and nobody has said so.
func (r *Router) tickTunnel(t *forwarder.Tunnel, now time.Time) {
	book := t.Owner.(*tunnelBook)
	if left := book.left.Load(); left != nil && now.Sub(*left) >= PathMTUTime {
		r.dropTunnel(t.Peer)
		return
	}
	p := book.path.Load()
	if p == nil {
		return
	}
	switch t.Probe {
	case forwarder.NoProbe:
		book.answerBy = time.Time{}
		if now.Sub(p.Since) >= ProbeAfter {
			r.changeTunnel(t.Peer, func(t *forwarder.Tunnel) {
				if t.Probe == forwarder.NoProbe && t.PathMTU != 0 {
					t.Probe = forwarder.ProbeDue
				}
			})
		}
	case forwarder.ProbeSent:
		if book.answerBy.IsZero() {
			book.answerBy = now.Add(ProbeTime)
		}
		if !now.Before(book.answerBy) {
			r.forgetPathMTU(t.Peer, p)
			return
		}
	}
	if now.Sub(p.Since) >= PathMTUTime {
		r.forgetPathMTU(t.Peer, p)
	}
}

// forgetPathMTU drops a path MTU, unless it has just been told anew.
func (r *Router) forgetPathMTU(peer netip.Addr, p *PathMTU) {
	r.changeTunnel(peer, func(t *forwarder.Tunnel) {
		if book := t.Owner.(*tunnelBook); book.path.CompareAndSwap(p, nil) || book.path.Load() == nil {
			t.PathMTU, t.Less, t.Probe, book.answerBy = 0, false, forwarder.NoProbe, time.Time{}
		}
	})
}
