package engine

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// Limits of reassembly, over all senders. Only what is for the router itself is
// ever put together: echo requests, and IP-in-IP from peers.
const (
	// ReassemblyTimeout is how long the rest of a datagram may take. RFC 1122
	// 3.3.2 speaks of 60 to 120 s for a host; a router that keeps what strangers
	// send does well to be shorter, as Linux is.
	ReassemblyTimeout  = 30 * time.Second
	MaxReassemblies    = 256     // datagrams
	MaxReassemblyBytes = 4 << 20 // of memory, all fragments that wait
	maxFragments       = 64      // of one datagram
)

// Results of a reassembly.
const (
	ReassemblyOK = iota
	ReassemblyTimedOut
	ReassemblyRefused
	NumReassemblyResults
)

// ReassemblyWords are the results' words in the metrics.
var ReassemblyWords = [NumReassemblyResults]string{"ok", "timeout", "limit"}

// datagramKey tells datagrams apart (RFC 791 3.2).
type datagramKey struct {
	src, dst netip.Addr
	id       uint16
	protocol byte
}

func keyOf(ip packet.IPv4) datagramKey {
	return datagramKey{ip.Src(), ip.Dst(), ip.ID(), ip.Protocol()}
}

// datagram is the fragments that came so far, by offset.
type datagram struct {
	parts []*transit
	since time.Time
	bytes int
}

// reassembler keeps fragments, within bounds.
type reassembler struct {
	mu        sync.Mutex
	datagrams map[datagramKey]*datagram
	bytes     int
	results   [NumReassemblyResults]atomic.Uint64
}

// reassemble takes a fragment. If it is the last one missing, the packet becomes
// the whole datagram and goes on at the step that asked for it; the fragments
// before it are consumed there.
func (w *worker) reassemble(t *transit, c *forwarder.Consequence) {
	whole, parts, failed := w.router.fragments.add(w.now(), t, c, w.path.Borrow)
	for _, q := range failed {
		w.failAt(q, q.At(), verdict.ReassemblyLimit)
	}
	if whole == nil {
		return
	}
	for _, q := range parts {
		w.conclude(q, w.path.Finish(&q.Packet, q.At()))
	}
	t.Replace(whole)
	w.forward(t, t.At())
}

// add keeps a copy of the fragment p, or returns the datagram that it completes, in a
// frame that is lent, with the other fragments of it. failed are fragments to be dropped: p itself,
// if it does not fit in with the others or there is no room, and those that made
// room for it.
func (r *reassembler) add(now time.Time, p *transit, c *forwarder.Consequence, lend func() *packet.Frame) (whole *packet.Frame, parts, failed []*transit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := keyOf(p.IP)
	d := r.datagrams[key]
	if d == nil {
		d = &datagram{since: now}
		if len(r.datagrams) >= MaxReassemblies {
			failed = r.dropOldest()
		}
		r.datagrams[key] = d
	}
	at, why := d.place(p.IP)
	if why != "" {
		r.results[ReassemblyRefused].Add(1)
		return nil, nil, append(append(failed, because(why, r.take(key))...), because(why, []*transit{p})...)
	}
	if all := d.complete(p, at); all != nil {
		whole = join(all, lend())
		r.results[ReassemblyOK].Add(1)
		return whole, r.take(key), failed
	}
	q := p.keep(ForFragments, p.in.hub)
	q.note(c)
	d.parts = slices.Insert(d.parts, at, q)
	d.bytes += q.size()
	r.bytes += q.size()
	for r.bytes > MaxReassemblyBytes {
		failed = append(failed, r.dropOldest()...)
	}
	return nil, nil, failed
}

// judge says what add would do with the fragment p, and does nothing: why it would be
// dropped, or the datagram that it completes, or what is then missing.
func (r *reassembler) judge(p *transit, lend func() *packet.Frame) (whole *packet.Frame, why string, then progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.datagrams[keyOf(p.IP)]
	if d == nil {
		d = &datagram{}
	}
	at, why := d.place(p.IP)
	if why != "" {
		return nil, why, then
	}
	if all := d.complete(p, at); all != nil {
		whole = join(all, lend())
	}
	return whole, "", progressOf(slices.Insert(d.headers(), at, p.IP))
}

// because notes why fragments are dropped.
func because(why string, list []*transit) []*transit {
	for _, t := range list {
		t.Because(why)
	}
	return list
}

// place finds where a fragment belongs, or says why it does not fit: it overlaps
// another one, even as a copy of it (RFC 1858 3, RFC 5722 4), would make the datagram
// longer than IPv4 can say, or is one too many.
func (d *datagram) place(ip packet.IPv4) (at int, why string) {
	from, to := ip.FragOffset(), fragmentEnd(ip)
	header, end := ip.HeaderLen(), to
	for _, q := range d.parts { // the first fragment's header may be longer than the others'
		header, end = max(header, q.IP.HeaderLen()), max(end, fragmentEnd(q.IP))
	}
	switch {
	case to == from:
		return 0, "a fragment without data"
	case header+end > packet.IPv4MaxLen:
		return 0, "the datagram would be longer than 65,535 bytes"
	case ip.MF() && (to-from)%8 != 0:
		return 0, "more fragments follow one whose length is no multiple of 8"
	case len(d.parts) >= maxFragments:
		return 0, "too many fragments of one datagram"
	}
	at, _ = slices.BinarySearchFunc(d.parts, from, func(q *transit, off int) int { return cmp.Compare(q.IP.FragOffset(), off) })
	before, after := at > 0, at < len(d.parts)
	switch {
	case before && fragmentEnd(d.parts[at-1].IP) > from, after && d.parts[at].IP.FragOffset() < to:
		return 0, "it overlaps another fragment of its datagram"
	case before && !d.parts[at-1].IP.MF(), after && !ip.MF():
		return 0, "a fragment behind the last one"
	}
	return at, ""
}

func fragmentEnd(ip packet.IPv4) int { return ip.FragOffset() + len(ip.Payload()) }

// complete returns all fragments of the datagram, in order, if p, which belongs at a
// place, is the last one missing.
func (d *datagram) complete(p *transit, at int) []*transit {
	all := slices.Insert(slices.Clone(d.parts), at, p)
	end := 0
	for _, q := range all {
		if q.IP.FragOffset() != end {
			return nil
		}
		end = fragmentEnd(q.IP)
	}
	if all[len(all)-1].IP.MF() {
		return nil
	}
	return all
}

// join puts a datagram together in a frame. The header is the first fragment's.
func join(all []*transit, f *packet.Frame) *packet.Frame {
	hl, end := all[0].IP.HeaderLen(), fragmentEnd(all[len(all)-1].IP)
	f.Reset(packet.EthernetLen + hl + end)
	copy(f.Bytes(), all[0].Frame.Bytes()[:packet.EthernetLen+hl])
	for _, q := range all {
		copy(f.Payload()[hl+q.IP.FragOffset():], q.IP.Payload())
	}
	ip := packet.IPv4(f.Payload())
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	ip[6], ip[7] = 0, 0
	ip.SetChecksum()
	return f
}

// expire returns the fragments whose rest did not come in time.
func (r *reassembler) expire(now time.Time) (failed []*transit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, d := range r.datagrams {
		if now.Sub(d.since) >= ReassemblyTimeout {
			r.results[ReassemblyTimedOut].Add(1)
			failed = append(failed, r.take(key)...)
		}
	}
	return failed
}

// dropOldest makes room: what is new has better chances than what has waited longest.
func (r *reassembler) dropOldest() []*transit {
	var oldest datagramKey
	var since time.Time
	for key, d := range r.datagrams {
		if since.IsZero() || d.since.Before(since) {
			oldest, since = key, d.since
		}
	}
	r.results[ReassemblyRefused].Add(1)
	return because("too many fragments wait, and its datagram has waited longest", r.take(oldest))
}

func (r *reassembler) take(key datagramKey) []*transit {
	d := r.datagrams[key]
	delete(r.datagrams, key)
	if d == nil {
		return nil
	}
	r.bytes -= d.bytes
	return d.parts
}
