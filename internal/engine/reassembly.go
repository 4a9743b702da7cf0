package engine

import (
	"bytes"
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

// datagramKey tells datagrams apart (RFC 791 3.2). IPv6 has no protocol in it, as the
// identification is long (RFC 8200 4.5).
type datagramKey struct {
	src, dst netip.Addr
	id       uint32
	protocol byte
	link     int // of an address that is somebody else on each link: which it came by (RFC 4007 6)
}

// ECN (RFC 3168 5): what met congestion, and what cannot say so.
const (
	ecnCE  = 3
	notECT = 0
)

// fragment is what a packet says of its place in a datagram.
type fragment struct {
	key    datagramKey
	header int    // bytes in front of the data, as the datagram has them
	named  int    // IPv6: where in them the fragment header is named, in place of next
	next   byte   // IPv6: the header that follows them
	from   int    // where the data belongs
	data   []byte // of the datagram
	more   bool   // others follow
	ecn    byte
}

// fragmentFrom is what one that came says.
func fragmentFrom(t *transit) fragment {
	f := fragmentOf(t.IP)
	if f.key.src.IsLinkLocalUnicast() || f.key.dst.IsLinkLocalUnicast() {
		f.key.link = 1 + t.In.ID
	}
	return f
}

func fragmentOf(p packet.IP) fragment {
	if p.Version() == 6 {
		return fragmentOf6(packet.IPv6(p))
	}
	ip := packet.IPv4(p)
	return fragment{
		key:    datagramKey{src: ip.Src(), dst: ip.Dst(), id: uint32(ip.ID()), protocol: ip.Protocol()},
		header: ip.HeaderLen(), from: ip.FragOffset(), data: ip.Payload(), more: ip.MF(), ecn: ip.TOS() & ecnCE,
	}
}

func fragmentOf6(ip packet.IPv6) fragment {
	at := ip.Upper().Fragment
	h := packet.FragmentHeader(ip[at:])
	return fragment{
		key:    datagramKey{src: ip.Src(), dst: ip.Dst(), id: h.ID()},
		header: at, named: namedAt(ip, at), next: h.NextHeader(),
		from: h.Offset(), data: ip[at+packet.FragmentHeaderLen:], more: h.More(), ecn: ip.TrafficClass() & ecnCE,
	}
}

// namedAt is where the header at a place is named.
func namedAt(ip packet.IPv6, at int) int {
	named := 6
	for before := packet.IPv6MinLen; before < at; before += 8 + 8*int(ip[before+1]) {
		named = before
	}
	return named
}

// end is the first byte of the datagram behind a fragment.
func (f *fragment) end() int { return f.from + len(f.data) }

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
	w.goOn(t)
}

// add keeps a copy of the fragment p, or returns the datagram that it completes, in a
// frame that is lent, with the other fragments of it. failed are fragments to be dropped: p itself,
// if it does not fit in with the others or there is no room, and those that made
// room for it.
func (r *reassembler) add(now time.Time, p *transit, c *forwarder.Consequence, lend func() *packet.Frame) (whole *packet.Frame, parts, failed []*transit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := fragmentFrom(p)
	d := r.datagrams[f.key]
	if d == nil {
		d = &datagram{since: now}
		if len(r.datagrams) >= MaxReassemblies {
			failed = r.dropOldest()
		}
		r.datagrams[f.key] = d
	}
	at, why := d.place(&f)
	switch {
	case why == aCopy:
		return nil, nil, append(failed, because(why, []*transit{p})...)
	case why != "":
		r.results[ReassemblyRefused].Add(1)
		return nil, nil, append(append(failed, because(why, r.take(f.key))...), because(why, []*transit{p})...)
	}
	if all := d.complete(f, at); all != nil {
		whole = join(d.first(p, at), all, lend())
		r.results[ReassemblyOK].Add(1)
		return whole, r.take(f.key), failed
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
	f := fragmentFrom(p)
	d := r.datagrams[f.key]
	if d == nil {
		d = &datagram{}
	}
	at, why := d.place(&f)
	if why != "" {
		return nil, why, then
	}
	if all := d.complete(f, at); all != nil {
		whole = join(d.first(p, at), all, lend())
	}
	return whole, "", progressOf(slices.Insert(d.fragments(), at, f))
}

// because notes why fragments are dropped.
func because(why string, list []*transit) []*transit {
	for _, t := range list {
		t.Because(why)
	}
	return list
}

// aCopy says why a fragment is dropped that came before. Networks make copies; the others of the datagram wait on
// (RFC 791 3.2, RFC 8200 4.5).
const aCopy = "a copy of a fragment that waits"

// same says whether two fragments are one and its copy.
func (f *fragment) same(q fragment) bool {
	return q.from == f.from && q.more == f.more && len(q.data) > 0 && bytes.Equal(q.data, f.data)
}

// place finds where a fragment belongs, or says why it does not fit: it overlaps
// another one (RFC 1858 3, RFC 5722 4), would make the datagram
// longer than IPv4 can say, or is one too many.
func (d *datagram) place(f *fragment) (at int, why string) {
	parts := d.fragments()
	header, end := f.header, f.end()
	for i := range parts { // the first fragment's header may be longer than the others'
		header, end = max(header, parts[i].header), max(end, parts[i].end())
	}
	switch {
	case slices.ContainsFunc(parts, f.same):
		return 0, aCopy
	case len(f.data) == 0:
		return 0, "a fragment without data"
	case !fits(f.key.src, header+end):
		return 0, "the datagram would be longer than 65,535 bytes"
	case f.more && len(f.data)%8 != 0:
		return 0, "more fragments follow one whose length is no multiple of 8"
	case len(parts) >= maxFragments:
		return 0, "too many fragments of one datagram"
	case f.ecn == ecnCE && marked(parts, notECT), f.ecn == notECT && marked(parts, ecnCE):
		return 0, "of the fragments of its datagram some say that they met congestion, others that they cannot (RFC 3168 5.3)"
	}
	at, _ = slices.BinarySearchFunc(parts, f.from, func(q fragment, off int) int { return cmp.Compare(q.from, off) })
	before, after := at > 0, at < len(parts)
	switch {
	case before && parts[at-1].end() > f.from, after && parts[at].from < f.end():
		return 0, "it overlaps another fragment of its datagram"
	case before && !parts[at-1].more, after && !f.more:
		return 0, "a fragment behind the last one"
	}
	return at, ""
}

// fits says whether a datagram may be so long: of IPv6, without its first header (RFC 8200 4.5).
func fits(src netip.Addr, length int) bool {
	if src.Is6() {
		length -= packet.IPv6MinLen
	}
	return length <= packet.IPv4MaxLen
}

// fragments are what those say that came so far, by offset.
func (d *datagram) fragments() []fragment {
	list := make([]fragment, len(d.parts), len(d.parts)+1)
	for i, q := range d.parts {
		list[i] = fragmentFrom(q)
	}
	return list
}

// first is the first packet of the datagram, with p at its place.
func (d *datagram) first(p *transit, at int) *transit {
	if at == 0 {
		return p
	}
	return d.parts[0]
}

// complete returns all fragments of the datagram, in order, if f, which belongs at a
// place, is the last one missing.
func (d *datagram) complete(f fragment, at int) []fragment {
	all := slices.Insert(d.fragments(), at, f)
	end := 0
	for i := range all {
		if all[i].from != end {
			return nil
		}
		end = all[i].end()
	}
	if all[len(all)-1].more {
		return nil
	}
	return all
}

// join puts a datagram together in a frame. The header is the first fragment's.
func join(first *transit, all []fragment, f *packet.Frame) *packet.Frame {
	hl, end := all[0].header, all[len(all)-1].end()
	f.Reset(packet.EthernetLen + hl + end)
	copy(f.Bytes(), first.Frame.Bytes()[:packet.EthernetLen+hl])
	for i := range all {
		copy(f.Payload()[hl+all[i].from:], all[i].data)
	}
	if marked(all, ecnCE) {
		packet.IP(f.Payload()).SetECN(ecnCE)
	}
	if all[0].key.src.Is6() {
		ip := f.Payload()
		binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-packet.IPv6MinLen))
		ip[all[0].named] = all[0].next
		return f
	}
	ip := packet.IPv4(f.Payload())
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	ip[6], ip[7] = 0, 0
	ip.SetChecksum()
	return f
}

// marked says whether any fragment has these ECN bits.
func marked(all []fragment, ecn byte) bool {
	return slices.ContainsFunc(all, func(f fragment) bool { return f.ecn == ecn })
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
