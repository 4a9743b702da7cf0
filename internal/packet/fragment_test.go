package packet

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// fragmented cuts a packet and returns all fragments.
func fragmented(ip IPv4, mtu int) []IPv4 {
	f := FrameOf(append([]byte(dstMAC+srcMAC+"\x08\x00"), ip...))
	all := []*Frame{f}
	Fragment(f, mtu, func() *Frame {
		g := &Frame{Buf: make([]byte, Headroom+EthernetLen+mtu)}
		all = append(all, g)
		return g
	})
	var ips []IPv4
	for _, g := range all {
		ips = append(ips, IPv4(g.Payload()))
	}
	return ips
}

// datagram is a packet with options, a part of a larger one if offset or more say so.
func datagram(options []byte, payload, offset int, more bool) IPv4 {
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	ip := make(IPv4, IPv4MinLen, IPv4MinLen+len(options)+payload)
	PutIPv4(ip, &Header{
		TOS: 0x28, ID: 4711, TTL: 17, Protocol: ProtocolUDP,
		Src: IPv4Addr([]byte{10, 70, 1, 1}), Dst: IPv4Addr([]byte{10, 70, 2, 1}),
	})
	ip = append(ip, options...)
	ip[0] = 0x40 | byte(len(ip)/4)
	for i := range payload {
		ip = append(ip, byte(i*13+i>>8))
	}
	ip.setFragment(len(ip), offset, more)
	ip[10], ip[11] = 0, 0
	ip.SetChecksum()
	return ip
}

// drawOptions is valid options, with and without the copy bit, as a sender of
// RFC 791 3.1 may write them.
func drawOptions(t *rapid.T) (all, copied []byte) {
	for range rapid.IntRange(0, 4).Draw(t, "options") {
		kind := rapid.SampledFrom([]byte{1, 7, 68, 130, 131, 137, 148}).Draw(t, "kind")
		opt := []byte{kind}
		if kind != 1 {
			data := rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "data")
			opt = append(append(opt, byte(2+len(data))), data...)
		}
		if len(all)+len(opt) > 40 {
			break
		}
		all = append(all, opt...)
		if kind&0x80 != 0 {
			copied = append(copied, opt...)
		}
	}
	return all, copied
}

func TestFragmentsMakeTheDatagram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		options, copied := drawOptions(t)
		offset, more := 8*rapid.IntRange(0, 1000).Draw(t, "offset"), rapid.Bool().Draw(t, "more")
		mtu := rapid.IntRange(68, 1500).Draw(t, "mtu")
		size := rapid.IntRange(mtu, 9000).Draw(t, "payload")
		if more {
			size &^= 7
		}
		ip := datagram(options, size, offset, more)
		whole := bytes.Clone(ip)
		if ip.TotalLen() <= mtu {
			return
		}
		if !Fragmentable(ip, mtu) {
			t.Fatalf("mtu %d cannot carry a header of %d bytes", mtu, ip.HeaderLen())
		}
		checkFragments(t, IPv4(whole), fragmented(ip, mtu), mtu, copied)
	})
}

func checkFragments(t *rapid.T, whole IPv4, parts []IPv4, mtu int, copied []byte) {
	at := whole.FragOffset()
	var payload []byte
	for i, p := range parts {
		last := i == len(parts)-1
		if p.TotalLen() != len(p) || len(p) > mtu || slowSum(p[:p.HeaderLen()], 0) != 0xffff {
			t.Fatalf("fragment %d: length %d of %d, mtu %d, sum %04x", i, p.TotalLen(), len(p), mtu, slowSum(p[:p.HeaderLen()], 0))
		}
		if p.FragOffset() != at || p.MF() != (!last || whole.MF()) || p.DF() {
			t.Fatalf("fragment %d of %d: offset %d (want %d), more %v", i, len(parts), p.FragOffset(), at, p.MF())
		}
		if !last && len(p.Payload())%8 != 0 {
			t.Fatalf("fragment %d carries %d bytes, no multiple of 8", i, len(p.Payload()))
		}
		if p.ID() != whole.ID() || p.TOS() != whole.TOS() || p.TTL() != whole.TTL() || p.Protocol() != whole.Protocol() ||
			p.Src() != whole.Src() || p.Dst() != whole.Dst() {
			t.Fatalf("fragment %d changed more than it may: % x", i, []byte(p[:20]))
		}
		want := whole[IPv4MinLen:whole.HeaderLen()]
		if i > 0 { // RFC 791 3.1: the copy bit
			want = bytes.Clone(copied)
			for len(want)%4 != 0 {
				want = append(want, 0)
			}
		}
		if !bytes.Equal(p[IPv4MinLen:p.HeaderLen()], want) {
			t.Fatalf("fragment %d has options % x, want % x", i, []byte(p[IPv4MinLen:p.HeaderLen()]), []byte(want))
		}
		payload = append(payload, p.Payload()...)
		at += len(p.Payload())
	}
	if !bytes.Equal(payload, whole.Payload()) {
		t.Fatal("the fragments do not make the datagram")
	}
}

// Fragmenting a fragment again, for a smaller link, still gives the datagram.
func TestFragmentsOfFragments(t *testing.T) {
	whole := datagram([]byte{148, 4, 0, 0}, 4000, 0, false)
	var payload []byte
	for _, p := range fragmented(bytes.Clone(whole), 1500) {
		for _, q := range fragmented(p, 576) {
			if q.FragOffset() != len(payload) {
				t.Fatalf("offset %d, want %d", q.FragOffset(), len(payload))
			}
			if q.MF() != (q.FragOffset()+len(q.Payload()) < 4000) {
				t.Fatalf("offset %d: more %v", q.FragOffset(), q.MF())
			}
			payload = append(payload, q.Payload()...)
		}
	}
	if !bytes.Equal(payload, whole.Payload()) {
		t.Error("the fragments do not make the datagram")
	}
}

// A length that lies ends the options: nothing behind it can be trusted.
func TestBrokenOptionsAreNotCopied(t *testing.T) {
	for _, options := range [][]byte{{148, 1, 0, 0}, {148, 0, 0, 0}, {148, 9, 0, 0}, {1, 1, 1, 148}, {0, 148, 4, 0}} {
		parts := fragmented(datagram(options, 2000, 0, false), 1500)
		if got := parts[1].HeaderLen(); got != IPv4MinLen {
			t.Errorf("options % x: the second fragment's header has %d bytes, want 20", options, got)
		}
	}
}

func TestFragmentable(t *testing.T) {
	for _, c := range []struct {
		name string
		ip   IPv4
		mtu  int
		want bool
	}{
		{"least", datagram(nil, 2000, 0, false), 28, true},
		{"too small", datagram(nil, 2000, 0, false), 27, false},
		{"options", datagram(make([]byte, 40), 2000, 0, false), 68, true},
		{"too small for options", datagram(make([]byte, 40), 2000, 0, false), 67, false},
		{"ends where a datagram must", datagram(nil, 2000, 65535-2007, false), 1500, true},
		{"ends where none can: the offset would wrap", datagram(nil, 2000, 65528, false), 1500, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Fragmentable(c.ip, c.mtu); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
