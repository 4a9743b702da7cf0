package engine_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// carries has superframes in tunnels leave by the uplink whole, or not.
func (b *bed) carries(carries bool) {
	b.offloads(b.uplink)
	for _, p := range b.router.Stats().Ports {
		if p.ID == b.uplinkID {
			c := p.PortConfig
			c.CarriesTunnels, c.CutBecause = carries, "it was taken away"
			b.router.UpdatePort(p.ID, c)
		}
	}
}

// tunnelBed has a tunnel by an uplink that carries so many bytes, and its outer headers.
func tunnelBed(t *testing.T, e rib.Encap, mtu int, carries bool) *bed {
	b := newBed(t)
	b.resolve()
	tunnelIn(b, e)
	b.setMTU("ens160", mtu+forwarder.OuterLen(e, addr(peerIP)))
	b.carries(carries)
	return b
}

// tunnelIn is tunnel, by any encapsulation.
func tunnelIn(b *bed, e rib.Encap) {
	b.via("10.70.3.0/24", peerIP, e)
	if e == rib.VXLAN {
		b.settings.VXLAN = forwarder.VXLAN{Port: packet.VXLANPort, VNI: 4096, Peers: b.settings.Peers, Ends: b.settings.Peers}
		b.router.Configure(b.settings)
	}
}

// inEachTunnel runs a test for each encapsulation.
func inEachTunnel(t *testing.T, test func(*testing.T, rib.Encap)) {
	for _, e := range []rib.Encap{rib.IPIP, rib.VXLAN} {
		t.Run(e.String(), func(t *testing.T) { test(t, e) })
	}
}

// cutFrames are the packets that frames stand for, without what numbers their outer headers; the numbers apart.
func cutFrames(t *testing.T, frames []*packet.Frame) (all [][]byte, ids []uint16) {
	for _, f := range frames {
		cut := []*packet.Frame{f}
		if f.Offload.IsGSO() {
			if !f.OffloadValid() {
				t.Fatalf("the offload header lies: %+v", f.Offload)
			}
			cut = nil
			packet.Segment(f, func() *packet.Frame { s := &packet.Frame{}; cut = append(cut, s); return s })
		}
		for _, s := range cut {
			b := bytes.Clone(s.Bytes())
			ids = append(ids, packet.IPv4(b[14:]).ID())
			copy(b[18:], []byte{0, 0})
			copy(b[24:], []byte{0, 0})
			if b[23] == packet.ProtocolUDP { // from a port that only this router knows
				copy(b[34:], []byte{0, 0})
			}
			all = append(all, b)
		}
	}
	return all, ids
}

func tunnelStats(b *bed) engine.TunnelStats {
	for _, t := range b.router.Stats().Tunnels {
		if t.Peer == addr(peerIP) {
			return t
		}
	}
	b.t.Fatal("there is no tunnel")
	return engine.TunnelStats{}
}

// What leaves whole is, once it is cut, what would have been cut here, but for the outer number; books, counters and
// the trace say where it is cut.
func TestSuperframeIntoTunnelWhole(t *testing.T) { inEachTunnel(t, superframeIntoTunnelWhole) }

func superframeIntoTunnelWhole(t *testing.T, e rib.Encap) {
	cut, whole := tunnelBed(t, e, 1500, false), tunnelBed(t, e, 1500, true)
	for _, b := range []*bed{cut, whole} {
		b.ns1.Send(fromNS1(tunnelIP))
	}
	sent := whole.uplink.Sent()
	if len(sent) != 1 || !sent[0].Offload.IsGSO() {
		t.Fatalf("%d frames have left", len(sent))
	}
	got, ids := cutFrames(t, sent)
	want, wantIDs := cutFrames(t, cut.uplink.Sent())
	if len(got) != segments || len(want) != segments {
		t.Fatalf("%d packets, and %d cut here", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) || ids[i] != ids[0]+uint16(i) || e == rib.IPIP && wantIDs[i] != wantIDs[0]+uint16(i) {
			t.Fatalf("packet %d, of number %d from %d, is\n%x\nwant\n%x", i, ids[i], ids[0], got[i], want[i])
		}
	}
	for b, by := range map[*bed]forwarder.Cut{cut: forwarder.CutHere, whole: forwarder.CutByKernel} {
		b.counted("ns1", "ens160", segments)
		s := tunnelStats(b)
		if s.Tx != segments || s.Superframes[by] != 1 || s.Superframes[forwarder.CutHere]+s.Superframes[forwarder.CutByKernel] != 1 {
			t.Errorf("cut by the %s: %+v", by, s)
		}
		if (s.CutBecause == "") != (by == forwarder.CutByKernel) {
			t.Errorf("cut by the %s, because %q", by, s.CutBecause)
		}
	}
	for b, words := range map[*bed]string{cut: "that is cut here: it was taken away", whole: ": a superframe, which the kernel cuts"} {
		if text := inWords(t, b, fromNS1(tunnelIP)); !strings.Contains(text, words) {
			t.Errorf("%q is not in\n%s", words, text)
		}
	}
}

func inWords(t *testing.T, b *bed, f *packet.Frame) string {
	t.Helper()
	all, err := b.router.DryRun().Explain("ns1", f)
	if err != nil {
		t.Fatal(err)
	}
	v := all[0].View("")
	var text strings.Builder
	for _, s := range v.Steps {
		text.WriteString(s.Detail + "\n")
	}
	return text.String()
}

// What no device could cut right, or no outer header could speak of, is cut here though the uplink carries superframes.
func TestSuperframeIntoTunnelCut(t *testing.T) { inEachTunnel(t, superframeIntoTunnelCut) }

func superframeIntoTunnelCut(t *testing.T, e rib.Encap) {
	long := fromNS1(tunnelIP)
	long.Trim(20 + 32 + segment*segments)
	long = grown(long, packet.IPv4MaxLen+1-forwarder.OuterLen(e, addr(peerIP)))
	reduced := fromNS1(tunnelIP)
	reduced.Buf[reduced.Off+14+20+13] |= 0x80 // CWR, which counts (RFC 9768)
	for _, x := range []struct {
		name, why string
		f         *packet.Frame
	}{
		{"longer than an IP packet", "with the outer header it is too long", long},
		{"CWR in each segment", "no device could cut it", reduced},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := tunnelBed(t, e, 1500, true)
			if text := inWords(t, b, x.f.Clone()); !strings.Contains(text, "is cut here: ") || !strings.Contains(text, x.why) {
				t.Errorf("%q is not in\n%s", x.why, text)
			}
			b.ns1.Send(x.f)
			sent := b.uplink.Sent()
			if len(sent) < segments || sent[0].Offload.Pending() {
				t.Errorf("%d frames have left", len(sent))
			}
			if s := tunnelStats(b); s.Superframes[forwarder.CutHere] != 1 || s.Tx != uint64(len(sent)) {
				t.Errorf("%+v", s)
			}
		})
	}
}

// grown is a superframe with more data, so that it is so long an IP packet.
func grown(f *packet.Frame, n int) *packet.Frame {
	b := append(bytes.Clone(f.Bytes()), make([]byte, n-(f.Len-14))...)
	g := packet.FrameOf(b)
	g.Offload = f.Offload
	ip := packet.IPv4(b[14:])
	g.Buf[g.Off+16], g.Buf[g.Off+17] = byte(len(ip)>>8), byte(len(ip))
	packet.IPv4(g.Payload()).SetChecksum()
	return g
}

// A segment that does not fit is refused as ever: the outer header counts.
func TestSuperframeTooBigForTunnel(t *testing.T) { inEachTunnel(t, superframeTooBigForTunnel) }

func superframeTooBigForTunnel(t *testing.T, e rib.Encap) {
	b := tunnelBed(t, e, 1480, true)
	in := fromNS1(tunnelIP)
	b.ns1.Send(in)
	silent(t, b.uplink)
	tooBig(1480)(t, in, one(t, b.ns1))
}

// A superframe that waits for its next hop is cut if, meanwhile, the uplink carries it no longer.
func TestSuperframeWaitsForNeighbor(t *testing.T) { inEachTunnel(t, superframeWaitsForNeighbor) }

func superframeWaitsForNeighbor(t *testing.T, e rib.Encap) {
	for _, carries := range []bool{true, false} {
		b := newBed(t)
		tunnelIn(b, e)
		b.setMTU("ens160", 1500+forwarder.OuterLen(e, addr(peerIP)))
		b.carries(true)
		b.ns1.Send(fromNS1(tunnelIP))
		b.uplink.Sent() // it is asked for
		b.carries(carries)
		b.uplink.Send(arp(packet.ARPReply, peerMAC, peerIP, uplinkMAC, hostIP, uplinkMAC))
		sent := b.uplink.Sent()
		if carries != (len(sent) == 1 && sent[0].Offload.IsGSO()) {
			t.Errorf("carries: %t, and %d frames have left", carries, len(sent))
		}
		if all, _ := cutFrames(t, sent); len(all) != segments {
			t.Errorf("%d packets", len(all))
		}
	}
}

// Without Don't Fragment each packet has a number of the tunnel's: a superframe takes as many as it has segments.
func TestSuperframeTakesNumbers(t *testing.T) { inEachTunnel(t, superframeTakesNumbers) }

func superframeTakesNumbers(t *testing.T, e rib.Encap) {
	b := tunnelBed(t, e, 1500, true)
	var last uint16
	for i := range 3 {
		b.ns1.Send(edited(fromNS1(tunnelIP), func(ip packet.IPv4) { ip[6] &^= 0x40 }))
		sent := b.uplink.Sent()
		_, ids := cutFrames(t, sent)
		if len(sent) != 1 || len(ids) != segments || ids[segments-1] != ids[0]+segments-1 || i > 0 && ids[0] != last+1 {
			t.Fatalf("%d frames with the numbers %v, behind %d", len(sent), ids, last)
		}
		last = ids[segments-1]
	}
}
