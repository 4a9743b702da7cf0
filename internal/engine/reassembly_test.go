package engine_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/packet"
)

// piece is the fragment of a packet that holds some bytes of its payload.
func piece(f *packet.Frame, from, to int, more bool) *packet.Frame {
	ip := packet.IPv4(f.Payload())
	end := packet.EthernetLen + ip.HeaderLen()
	data := make([]byte, to-from) // what is behind the payload is zeros
	if from < len(ip.Payload()) {
		copy(data, ip.Payload()[from:])
	}
	field := uint16(from / 8)
	if more {
		field |= 0x2000
	}
	return edited(packet.FrameOf(append(bytes.Clone(f.Bytes()[:end]), data...)), func(ip packet.IPv4) {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint16(ip[6:], field)
	})
}

// tunnelOf is IP-in-IP from the other host, of so many bytes, and its inner packet.
func tunnelOf(n int, id uint16) (outer, inner *packet.Frame) {
	inner = sized(peerMAC, farIP, ns1IP, n-20)
	outer = edited(ipip(peerIP, hostIP, inner, nil), func(ip packet.IPv4) { binary.BigEndian.PutUint16(ip[4:], id) })
	return outer, inner
}

func (b *bed) reassembliesAre(ok, timeout, limit uint64) {
	b.t.Helper()
	want := [engine.NumReassemblyResults]uint64{ok, timeout, limit}
	if got := b.router.Stats().Reassemblies; got != want {
		b.t.Errorf("reassemblies %v: got %v, want %v", engine.ReassemblyWords, got, want)
	}
}

// T8: in whatever order the fragments come, the last one makes the datagram.
func TestReassemblyInAnyOrder(t *testing.T) {
	b := newBed(t)
	b.setMTU("ns1", 9000)
	id, done, forwarded := uint16(0), uint64(0), uint64(0)
	rapid.Check(t, func(t *rapid.T) {
		id++
		outer, inner := tunnelOf(rapid.IntRange(48, 8000).Draw(t, "bytes"), id)
		size := len(outer.Payload()) - 20
		cuts := rapid.SliceOfNDistinct(rapid.IntRange(1, (size-1)/8), 1, min(20, (size-1)/8), rapid.ID[int]).Draw(t, "cuts")
		slices.Sort(cuts)
		var parts []*packet.Frame
		from := 0
		for _, c := range cuts {
			parts = append(parts, piece(outer, from, 8*c, true))
			from = 8 * c
		}
		parts = rapid.Permutation(append(parts, piece(outer, from, size, false))).Draw(t, "order")
		for i, p := range parts {
			if k := b.books(); k.waiting != uint64(i) {
				t.Fatalf("%d fragments wait, want %d", k.waiting, i)
			}
			silent(b.t, b.ns1)
			b.uplink.Send(p)
		}
		toNS1(b.t, inner, one(b.t, b.ns1))
		done += uint64(len(parts) - 1)
		forwarded++
		if k := b.books(); k != (books{received: done + forwarded, consumed: done, forwarded: forwarded}) {
			t.Fatalf("books %+v", k)
		}
	})
	b.reassembliesAre(forwarded, 0, 0)
	b.dropsAre("ens160", "", 0)
}

// T8: what does not fit together is dropped, with all that came before it (RFC
// 1858 3, RFC 5722 4), and the rest of it is waited for in vain.
func TestReassemblyRefuses(t *testing.T) {
	outer, _ := tunnelOf(2020, 9)
	at := func(from, to int) *packet.Frame { return piece(outer, from, to, true) }
	last := func(from, to int) *packet.Frame { return piece(outer, from, to, false) }
	nop := func(f *packet.Frame) *packet.Frame { return withOptions(f, 1, 1, 1, 1) }
	for _, c := range []struct {
		name           string
		send           []*packet.Frame
		waiting, wrong uint64
		ok, limit      uint64
	}{
		{name: "a_gap", send: []*packet.Frame{at(0, 800), last(808, 2000)}, waiting: 2},
		{name: "no_first", send: []*packet.Frame{at(8, 800), last(800, 2000)}, waiting: 2},
		{name: "no_last", send: []*packet.Frame{at(0, 800), at(800, 1600)}, waiting: 2},
		{name: "overlap_before", send: []*packet.Frame{at(0, 800), at(792, 1600)}, wrong: 2, limit: 1},
		{name: "overlap_behind", send: []*packet.Frame{at(800, 1600), at(0, 808)}, wrong: 2, limit: 1},
		{name: "overlap_within", send: []*packet.Frame{at(0, 1600), at(80, 88)}, wrong: 2, limit: 1},
		{name: "overlap_around", send: []*packet.Frame{at(80, 88), at(0, 1600)}, wrong: 2, limit: 1},
		{name: "overlap_of_two", send: []*packet.Frame{at(0, 80), at(160, 240), at(72, 168)}, wrong: 3, limit: 1},
		{name: "overlap_of_the_last", send: []*packet.Frame{at(0, 800), last(792, 2000)}, wrong: 2, limit: 1},
		{name: "a_copy", send: []*packet.Frame{at(0, 800), at(0, 800)}, waiting: 1, wrong: 1},
		{name: "a_copy_of_the_last", send: []*packet.Frame{last(800, 2000), last(800, 2000)}, waiting: 1, wrong: 1},
		{name: "behind_the_last", send: []*packet.Frame{last(800, 2000), at(2000, 2008)}, wrong: 2, limit: 1},
		{name: "two_lasts", send: []*packet.Frame{last(1600, 2000), last(800, 1600)}, wrong: 2, limit: 1},
		{name: "two_lasts_in_order", send: []*packet.Frame{last(800, 1600), last(1600, 2000)}, wrong: 2, limit: 1},
		{name: "without_data", send: []*packet.Frame{at(0, 0)}, wrong: 1, limit: 1},
		{name: "without_data_behind", send: []*packet.Frame{at(0, 800), last(800, 800)}, wrong: 2, limit: 1},
		{name: "not_a_multiple_of_8", send: []*packet.Frame{at(0, 804)}, wrong: 1, limit: 1},
		{name: "longest", send: []*packet.Frame{last(65504, 65515)}, waiting: 1},
		{name: "ping_of_death", send: []*packet.Frame{last(65504, 65516)}, wrong: 1, limit: 1},
		{name: "ping_of_death_at_the_end", send: []*packet.Frame{last(65528, 65536)}, wrong: 1, limit: 1},
		{name: "ping_of_death_that_goes_on", send: []*packet.Frame{at(0, 800), at(65528, 66928)}, wrong: 2, limit: 1},
		{name: "ping_of_death_by_options", send: []*packet.Frame{nop(at(0, 65504)), last(65504, 65515)}, wrong: 2, limit: 1},
		{name: "ping_of_death_by_options_of_the_first", send: []*packet.Frame{last(65504, 65515), nop(at(0, 65504))}, wrong: 2, limit: 1},
		{name: "copies_and_the_last", send: []*packet.Frame{at(0, 800), at(0, 800), at(0, 800), last(800, 2000)}, wrong: 2, ok: 1},
		{name: "start_afresh", send: []*packet.Frame{at(0, 800), at(0, 808), at(0, 800), last(800, 2000)}, wrong: 2, limit: 1, ok: 1},
	} {
		inTime(t, "T8_"+c.name, func(b *bed) {
			b.setMTU("ns1", 9000)
			b.uplink.Send(c.send...)
			if c.ok == 0 {
				b.silent("ns1")
			}
			b.booksAre(books{received: uint64(len(c.send)), waiting: c.waiting, dropped: c.wrong, forwarded: c.ok, consumed: c.ok})
			b.reassembliesAre(c.ok, 0, c.limit)
			if c.wrong > 0 {
				b.dropsAre("ens160", "reassembly_limit", c.wrong)
			}
			b.silent("ens160") // nobody is told
			pass(31 * time.Second)
			b.booksAre(books{received: uint64(len(c.send)), dropped: c.wrong + c.waiting, forwarded: c.ok, consumed: c.ok})
		})
	}
}

// T8: after half a minute it is over, and told if the first fragment came (RFC
// 792, RFC 1122 3.3.2).
func TestReassemblyTimeout(t *testing.T) {
	outer, _ := tunnelOf(2020, 9)
	parts := []*packet.Frame{piece(outer, 0, 800, true), piece(outer, 800, 1600, true), piece(outer, 1600, 2000, false)}
	for _, c := range []struct {
		name  string
		send  []*packet.Frame
		first bool
	}{
		{"T8_timeout_with_the_first", parts[:2], true},
		{"T8_timeout_with_the_first_come_last", []*packet.Frame{parts[2], parts[0]}, true},
		{"T8_timeout_without_the_first", parts[1:], false},
	} {
		inTime(t, c.name, func(b *bed) {
			b.uplink.Send(c.send[0])
			pass(20 * time.Second)
			b.resolve()
			b.uplink.Send(c.send[1]) // the time runs from the one that came first
			pass(9900 * time.Millisecond)
			b.silent("ens160")
			b.booksAre(books{received: 3, consumed: 1, waiting: 2})
			pass(200 * time.Millisecond)
			if c.first {
				tellsOf(11, 1)(b.t, parts[0], one(b.t, b.uplink))
			} else {
				b.silent("ens160")
			}
			b.dropsAre("ens160", "reassembly_timeout", 2)
			b.booksAre(books{received: 3, consumed: 1, dropped: 2})
			b.reassembliesAre(0, 1, 0)
			b.uplink.Send(parts...) // nothing of it is left
			if n := len(b.ns1.Sent()); n != 2 {
				b.t.Errorf("the datagram came out in %d fragments, want 2", n)
			}
		})
	}
	inTime(t, "T8_timeout_of_an_echo", func(b *bed) {
		first := piece(icmpOf(gateway, 8, 0, make([]byte, 3000)), 0, 1480, true)
		b.ns1.Send(first)
		pass(31 * time.Second)
		tellsOf(11, 1)(b.t, first, one(b.t, b.ns1))
		b.dropsAre("ns1", "reassembly_timeout", 1)
	})
	inTime(t, "T8_timeout_after_the_port_went", func(b *bed) {
		b.ns1.Send(piece(icmpOf(gateway, 8, 0, make([]byte, 3000)), 0, 1480, true))
		b.router.RemovePort(b.portID("ns1"))
		b.booksAre(books{received: 1, waiting: 1})
		pass(31 * time.Second)
		b.booksAre(books{received: 1, dropped: 1})
	})
}

// T8: bounded memory. What has waited longest makes room.
func TestReassemblyLimits(t *testing.T) {
	fill := func(b *bed, n, size int) {
		for id := range n {
			outer, _ := tunnelOf(size+28, uint16(id))
			b.uplink.Send(piece(outer, 0, size, true))
			pass(time.Millisecond)
		}
	}
	inTime(t, "T8_datagrams", func(b *bed) {
		fill(b, engine.MaxReassemblies, 80)
		b.booksAre(books{received: engine.MaxReassemblies, waiting: engine.MaxReassemblies})
		outer, _ := tunnelOf(108, 1000)
		b.uplink.Send(piece(outer, 0, 80, true))
		b.booksAre(books{received: 257, waiting: 256, dropped: 1})
		b.reassembliesAre(0, 0, 1)
		b.finish(80, 0, false) // it is the first that went, and now the second goes
		b.finish(80, 2, true)
		b.dropsAre("ens160", "reassembly_limit", 2)
	})
	inTime(t, "T8_bytes", func(b *bed) {
		const size = 60000
		fit := engine.MaxReassemblyBytes / (packet.EthernetLen + 20 + size)
		fill(b, fit, size)
		b.booksAre(books{received: uint64(fit), waiting: uint64(fit)})
		outer, _ := tunnelOf(size+28, 1000)
		b.uplink.Send(piece(outer, 0, size, true))
		b.booksAre(books{received: uint64(fit) + 1, waiting: uint64(fit), dropped: 1})
		b.setMTU("ns1", 65535)
		b.finish(size, 1, true)
		b.finish(size, 1000, true)
		fill(b, 2, size) // the room is free again
		b.dropsAre("ens160", "reassembly_limit", 1)
	})
	for _, n := range []int{64, 65} {
		inTime(t, fmt.Sprintf("T8_%d_fragments", n), func(b *bed) {
			outer, inner := tunnelOf(20+8*n, 9)
			for i := range n {
				b.uplink.Send(piece(outer, 8*i, 8*i+8, i < n-1))
			}
			if n == 64 {
				toNS1(b.t, inner, one(b.t, b.ns1))
				b.dropsAre("ens160", "", 0)
				return
			}
			b.silent("ns1")
			b.dropsAre("ens160", "reassembly_limit", 65)
			b.booksAre(books{received: 65, dropped: 65})
		})
	}
}

// finish sends the last 8 bytes of a datagram that fill has begun.
func (b *bed) finish(size int, id uint16, whole bool) {
	b.t.Helper()
	outer, inner := tunnelOf(size+28, id)
	b.uplink.Send(piece(outer, size, size+8, false))
	if !whole {
		b.silent("ns1")
		return
	}
	toNS1(b.t, inner, one(b.t, b.ns1))
}

// I4: a fragmented echo is answered, in fragments that fit the port.
func TestEchoInFragments(t *testing.T) {
	b := newBed(t)
	answer := func(t rapid.TB, n, mtu int) {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i * 31)
		}
		b.setMTU("ns1", mtu)
		in := icmpOf(gateway, 8, 0, data)
		parts := split(in, 1500)
		if len(in.Payload()) <= 1500 {
			parts = []*packet.Frame{in}
		}
		b.ns1.Send(parts...)
		var got []byte
		sent := b.ns1.Sent()
		for i, f := range sent {
			ip := packet.IPv4(f.Payload())
			if len(ip) > mtu || ip.TotalLen() != len(ip) || ip.FragOffset() != len(got) || ip.MF() != (i < len(sent)-1) || ip.Src() != addr(gateway) ||
				ip.ID() != packet.IPv4(sent[0].Payload()).ID() || packet.Checksum(ip[:20]) != 0 {
				t.Fatalf("fragment %d of %d at %d: % x", i, len(sent), len(got), []byte(ip[:20]))
			}
			got = append(got, ip.Payload()...)
		}
		if len(got) != n+8 || got[0] != 0 || packet.Checksum(got) != 0 {
			t.Fatalf("%d bytes were answered to %d", len(got)-8, n)
		}
		if d := cmp.Diff(in.Payload()[24:], got[4:]); d != "" {
			t.Fatalf("the answer differs (-request +reply):\n%s", d)
		}
	}
	for _, n := range []int{0, 1, 1472, 1473, 1474, 1480, 2952, 2953, 60000} {
		t.Run(fmt.Sprintf("I4_%d_bytes", n), func(t *testing.T) { answer(t, n, 1500) })
	}
	t.Run("I4_any_length", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			answer(t, rapid.IntRange(1, 60000).Draw(t, "bytes"), rapid.IntRange(576, 9000).Draw(t, "mtu"))
		})
	})
	b.dropsAre("ns1", "", 0)
}
