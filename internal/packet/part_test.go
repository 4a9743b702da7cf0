package packet

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// Whoever cuts the parts of a superframe gets what he gets who cuts the whole.
func TestPart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := gso{
			kind: rapid.SampledFrom([]uint8{GSOTCPv4, GSOTCPv4 | GSOECN, GSOTCPv6, GSOTCPv6 | GSOECN, GSOUDPL4}).Draw(t, "kind"), size: rapid.IntRange(1, 600).Draw(t, "size"),
			payload: rapid.IntRange(601, 4000).Draw(t, "payload"), outer: rapid.IntRange(0, 2).Draw(t, "outer headers"),
			flags: rapid.Byte().Draw(t, "flags"), id: rapid.Uint16().Draw(t, "id"), seq: rapid.Uint32().Draw(t, "seq"),
		}
		if g.v6 = g.kind&^GSOECN == GSOTCPv6 || g.kind == GSOUDPL4 && rapid.Bool().Draw(t, "IPv6"); g.kind != GSOUDPL4 {
			g.tcpOpts = 4 * rapid.IntRange(0, 10).Draw(t, "tcp options")
		}
		n := rapid.IntRange(1, 700).Draw(t, "segments of a part")
		f := g.frame()
		whole := segments(t, g.frame())
		if f.Segments() != len(whole) {
			t.Fatalf("%d segments are foretold, there are %d", f.Segments(), len(whole))
		}
		var parts []*Frame
		for from, more := 0, true; more; from += n {
			s := NewFrame()
			more = f.Part(from, n, &s)
			if !s.Admit() {
				t.Fatalf("the part from segment %d on is no frame: %+v", from, s.Offload)
			}
			if !s.Offload.IsGSO() {
				s.FinishChecksum()
				parts = append(parts, &s)
				continue
			}
			if s.Segments() > n {
				t.Fatalf("a part of %d segments, want %d", s.Segments(), n)
			}
			parts = append(parts, segments(t, &s)...)
		}
		if len(parts) != len(whole) {
			t.Fatalf("%d segments, want %d", len(parts), len(whole))
		}
		for i := range whole {
			if !bytes.Equal(parts[i].Bytes(), whole[i].Bytes()) {
				t.Fatalf("segment %d of %d:\n% x, want\n% x", i, len(whole), parts[i].Bytes(), whole[i].Bytes())
			}
		}
	})
}
