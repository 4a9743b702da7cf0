package engine_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// cut is the packets of a superframe, each a frame of its own.
func cut(f *packet.Frame) (all []*packet.Frame) {
	packet.Segment(f, func() *packet.Frame {
		g := packet.NewFrame()
		all = append(all, &g)
		return &g
	})
	return all
}

// stream is TCP from the other host to a workload, as a wire carries it.
func stream(to string) []*packet.Frame { return cut(superframe(ether(peerMAC, uplinkMAC), farIP, to)) }

// other is the same on another port.
func other(stream []*packet.Frame) (all []*packet.Frame) {
	for _, f := range stream {
		all = append(all, broken(f, func(f *packet.Frame) {
			tcp := f.Payload()[20:]
			was := uint16(tcp[0])<<8 | uint16(tcp[1])
			tcp[1]++
			sum := packet.UpdateChecksum(uint16(tcp[16])<<8|uint16(tcp[17]), was, was+1)
			tcp[16], tcp[17] = byte(sum>>8), byte(sum)
		}))
	}
	return all
}

func (b *bed) sentBy(port string) (p engine.PortStats) {
	for _, p = range b.router.Stats().Ports {
		if p.Name == port {
			break
		}
	}
	return p
}

// What follows in one stream reaches the workload as one frame, which stands for
// the packets that came.
func TestCoalesced(t *testing.T) {
	b := newBed(t)
	b.offloads(b.ns1)
	l := b.listen(trace.Options{}, "")
	in := stream(ns1IP)
	b.uplink.Send(in...)
	out := one(t, b.ns1)
	if out.SrcMAC() != gatewayMAC || out.DstMAC() != ns1MAC || out.Offload.GSOSize != segment || !out.OffloadValid() {
		t.Errorf("%s > %s, offload %+v", out.SrcMAC(), out.DstMAC(), out.Offload)
	}
	for i, f := range cut(out) {
		toNS1(t, in[i], f)
	}
	b.counted("ens160", "ns1", segments)
	if got, want := b.sentBy("ns1").TxBytes, uint64(segments*(14+20+32+segment)); got != want {
		t.Errorf("%d bytes are counted as sent, want %d", got, want)
	}
	if n := b.router.Stats().Steps[forwarder.TX.Number()][verdict.Pass]; n != segments {
		t.Errorf("tx passed %d packets, want %d", n, segments)
	}
	traced := records(l)
	for _, p := range traced {
		if last := p.Steps[len(p.Steps)-1]; last.Step != "tx" || last.Verdict != "pass" || p.Out != "ns1" {
			t.Errorf("packet %d ended at %s with %s, and left by %q", p.ID, last.Step, last.Verdict, p.Out)
		}
	}
	if len(traced) != segments {
		t.Errorf("%d packets were traced, want %d", len(traced), segments)
	}
	b.booksAre(books{received: segments, forwarded: segments})
}

// Only what follows at once is joined, so that nothing overtakes anything.
func TestCoalescedInOrder(t *testing.T) {
	b := newBed(t)
	b.offloads(b.ns1, b.ns2)
	a, c, to2 := stream(ns1IP), other(stream(ns1IP)), stream(ns2IP)
	b.uplink.Send(a[0], a[1], to2[0], c[0], a[2], fromPeer(), a[3], a[4], c[1], c[2], to2[1], c[4], c[3])
	want := [][]*packet.Frame{{a[0], a[1]}, {c[0]}, {a[2]}, {fromPeer()}, {a[3], a[4]}, {c[1], c[2]}, {c[4]}, {c[3]}}
	sent := b.ns1.Sent()
	if len(sent) != len(want) {
		t.Fatalf("%d frames, want %d", len(sent), len(want))
	}
	for i, f := range sent {
		got := []*packet.Frame{f}
		if f.Offload.IsGSO() {
			got = cut(f)
		}
		if len(got) != len(want[i]) {
			t.Fatalf("frame %d is %d packets, want %d", i, len(got), len(want[i]))
		}
		for j := range got {
			toNS1(t, want[i][j], got[j])
		}
	}
	for i, f := range cut(one(t, b.ns2)) { // what goes elsewhere is not in between
		toNS2(t, to2[i], f)
	}
	b.booksAre(books{received: 13, forwarded: 13})
}

// Batches are not joined: what was written is gone.
func TestCoalescedWithinABatch(t *testing.T) {
	b := newBed(t)
	b.offloads(b.ns1)
	in := stream(ns1IP)
	b.uplink.Send(in[0])
	b.uplink.Send(in[1])
	for i, f := range b.ns1.Sent() {
		toNS1(t, in[i], f)
	}
	b.counted("ens160", "ns1", 2)
}

// A port that takes no superframes gets none, nor does the uplink: what goes on a
// wire goes as it came.
func TestNotCoalesced(t *testing.T) {
	for _, c := range []struct {
		name, from, to string
		dst            string
		setup          func(b *bed)
	}{
		{"workload_without_offload", "ens160", "ns1", ns1IP, nil},
		{"uplink", "ns1", "ens160", farIP, func(b *bed) { b.offloads(b.uplink) }},
		{"tunnel", "ns1", "ens160", tunnelIP, func(b *bed) { b.offloads(b.uplink); tunnel(b); b.setMTU("ens160", 1520) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			b.resolve()
			in := stream(c.dst)
			if c.from == "ns1" {
				in = cut(fromNS1(c.dst))
			}
			if c.setup != nil {
				c.setup(b)
			}
			b.port(c.from).Send(in...)
			if n := len(b.port(c.to).Sent()); n != segments {
				t.Errorf("%d frames, want %d", n, segments)
			}
			b.counted(c.from, c.to, segments)
		})
	}
}

// Superframes of another workload and single segments make one stream.
func TestCoalescedSuperframe(t *testing.T) {
	b := newBed(t)
	b.offloads(b.ns2)
	all := cut(fromNS1(ns2IP))
	head := packet.NewFrame()
	head.Reset(all[0].Len)
	copy(head.Bytes(), all[0].Bytes())
	for _, f := range all[1:10] {
		if !packet.Coalesce(&head, f) {
			t.Fatal("no superframe")
		}
	}
	b.ns1.Send(&head, all[10], all[11], ping(ns2IP), all[12])
	sent := b.ns2.Sent()
	if len(sent) != 3 || len(cut(sent[0])) != 12 {
		t.Fatalf("%d frames, want 3", len(sent))
	}
	for i, f := range cut(sent[0]) {
		toNS2(t, all[i], f)
	}
	b.counted("ns1", "ns2", 14)
}

// picky refuses superframes.
type picky struct{ *link.Memory }

func (p picky) Write(frames []*packet.Frame) (int, error) {
	for i, f := range frames {
		if f.Offload.IsGSO() {
			return i, link.ErrQueueFull
		}
		if n, err := p.Memory.Write(frames[i : i+1]); err != nil {
			return i + n, err
		}
	}
	return len(frames), nil
}

// A frame that cannot be written costs all packets that went into it, and no other.
func TestCoalescedIsLost(t *testing.T) {
	b := newBed(t)
	const ip, mac = "10.70.1.3", "\x02\x00\x00\x00\x01\x03"
	m := link.NewMemory()
	m.Offload = true
	id, err := b.router.AddPort(forwarder.PortConfig{Name: "ns3", MAC: gatewayMAC, MTU: 1500, Addresses: []netip.Addr{addr(ip)}}, picky{m})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.router.StartPort(id); err != nil {
		t.Fatal(err)
	}
	b.router.SetNeighbor(id, addr(ip), packet.MAC([]byte(mac)))
	b.route(rib.Route{Prefix: prefix(ip + "/32"), Dev: "ns3", Port: id, Source: rib.Workload})
	l := b.listen(trace.Options{}, "")
	a, c := stream(ip), other(stream(ip))
	b.uplink.Send(a[0], a[1], a[2], c[0], a[3], a[4], c[1])
	if n := len(m.Sent()); n != 2 {
		t.Errorf("%d frames were sent, want 2", n)
	}
	b.dropsAre("ens160", "tx_queue_full", 5)
	b.booksAre(books{received: 7, forwarded: 2, dropped: 5})
	if n := b.sentBy("ns3").TxPackets; n != 2 {
		t.Errorf("%d packets are counted as sent, want 2", n)
	}
	got := ""
	for _, p := range records(l) {
		got += fmt.Sprint(p.Steps[len(p.Steps)-1].Verdict, " ")
	}
	if d := cmp.Diff("drop drop drop pass drop drop pass ", got); d != "" {
		t.Errorf("verdicts of tx (-want +got):\n%s", d)
	}
}
