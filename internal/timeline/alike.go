package timeline

import (
	"bytes"

	"github.com/vrouter/vrouter/internal/packet"
)

// alike are packets that one host has sent, and that nothing tells apart at the next one, such as
// a datagram of IPv6 that is sent twice. They are joined in their order, which is said; where one
// is missing, or not all ended alike, nothing is said of any of them alone.
type alike struct {
	count  int
	doubt  bool
	ended  bool   // one of them has
	ending string // how
}

// joinAlike looks for what else the host has sent that is just like it.
func (j *Joiner) joinAlike(n *node) {
	if !n.wire || n.left.inner.resolves() {
		return
	}
	for _, k := range n.left.keys() {
		for _, o := range j.left[k] {
			if o.host != n.host || !o.left.alike(&n.left) {
				continue
			}
			if o.alike == nil {
				o.alike = &alike{count: 1}
			}
			n.alike = o.alike
			n.alike.count++
			return
		}
	}
}

func (l *look) alike(o *look) bool {
	return l.inner.alike(&o.inner) && (l.outer.alike(&o.outer) || !l.outer.valid() && !o.outer.valid())
}

func (p *piece) alike(o *piece) bool {
	switch {
	case !p.valid() || p.src != o.src || p.dst != o.dst || p.proto != o.proto || p.fragment != o.fragment || p.ttl != o.ttl:
		return false
	case p.proto == packet.ProtocolUDP && !p.numbered() && p.packets > 1 && o.packets > 1:
		return len(p.l4) >= 4 && len(o.l4) >= 4 && bytes.Equal(p.l4[:4], o.l4[:4]) // what is cut from them shows no more
	}
	return p.id == o.id && p.lo == o.lo && p.hi == o.hi && p.packets == o.packets && p.sameStart(o)
}

// weigh looks at what has become of a record that is one of several alike, when its time is over.
func (j *Joiner) weigh(n *node) {
	a := n.alike
	if a == nil {
		return
	}
	if h := j.nextHost(n); n.seen < enough && h != nil && !h.gone {
		a.doubt = true
	}
	for _, to := range n.to {
		ending := to.Outcome + to.Reason
		if a.ended && a.ending != ending {
			a.doubt = true
		}
		a.ended, a.ending = true, ending
	}
}

// tellAlike says that a record's packet is one of several.
func (t *teller) tellAlike(n *node) {
	if a := n.alike; a != nil {
		t.out.note("#%d of %s is one of %d packets alike: nothing tells at the next host which of them is which, they are taken in their order", n.ID, n.host.Name, a.count)
	}
}
