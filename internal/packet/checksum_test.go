package packet

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// slowSum is RFC 1071 as it is written: word by word, end-around carry at once.
func slowSum(b []byte, start uint16) uint16 {
	sum := uint32(start)
	for i := 0; i < len(b); i += 2 {
		word := uint32(b[i]) << 8
		if i+1 < len(b) {
			word |= uint32(b[i+1])
		}
		if sum += word; sum > 0xffff {
			sum = sum&0xffff + 1
		}
	}
	return uint16(sum)
}

func TestSum(t *testing.T) {
	ones := make([]byte, 61)
	for i := range ones {
		ones[i] = 0xff
	}
	for _, c := range []struct {
		name  string
		b     []byte
		start uint16
		want  uint16
	}{
		{"nothing", nil, 0, 0},
		{"nothing but a start", nil, 0xabcd, 0xabcd},
		{"one byte is the high one", []byte{0x12}, 0, 0x1200},
		{"odd", []byte{1, 2, 3}, 0, 0x0402},
		{"zeros", make([]byte, 40), 0, 0},
		{"ones", ones[:60], 0, 0xffff},
		{"ones, odd", ones, 0, 0xff00},
		{"ones and a start", ones[:8], 0xffff, 0xffff},
		{"carry out of 64 bits", append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0, 0, 0, 0, 0, 0, 0, 1), 0, 1},
		{"the example of RFC 1071 3", []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 0, 0xddf2},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Sum(c.b, c.start); got != c.want {
				t.Errorf("got %04x, want %04x", got, c.want)
			}
			if got := Checksum(c.b); c.start == 0 && got != ^c.want {
				t.Errorf("checksum %04x, want %04x", got, ^c.want)
			}
		})
	}
}

func TestSumIsTheSlowSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x7f, 0x80, 0xfe, 0xff}), 0, 80).Draw(t, "bytes")
		start := rapid.Uint16().Draw(t, "start")
		if got, want := Sum(b, start), slowSum(b, start); got != want {
			t.Fatalf("sum %04x, want %04x", got, want)
		}
	})
}

// A header whose checksum is right keeps it right after any change of a word,
// and the new one is what a full recompute gives: as a one's complement number,
// in which 0x0000 and 0xffff are the same (RFC 1624 3).
func TestUpdateChecksumIsARecompute(t *testing.T) {
	word := rapid.OneOf(rapid.SampledFrom([]uint16{0, 1, 0xfffe, 0xffff, 0x5555, 0xaaaa}), rapid.Uint16())
	rapid.Check(t, func(t *rapid.T) {
		h := make([]byte, IPv4MinLen)
		for i := 0; i < len(h); i += 2 {
			binary.BigEndian.PutUint16(h[i:], word.Draw(t, "word"))
		}
		h[0] = 0x45
		IPv4(h).SetChecksum()
		at := 2 * rapid.SampledFrom([]int{1, 2, 3, 4, 6, 7, 8, 9}).Draw(t, "changed word")
		old, next := binary.BigEndian.Uint16(h[at:]), word.Draw(t, "new")
		binary.BigEndian.PutUint16(h[at:], next)
		sum := UpdateChecksum(IPv4(h).HeaderChecksum(), old, next)
		binary.BigEndian.PutUint16(h[10:], sum)
		if slowSum(h, 0) != 0xffff {
			t.Fatalf("the header does not verify: % x", h)
		}
		IPv4(h).SetChecksum()
		if full := IPv4(h).HeaderChecksum(); full != sum && full^sum != 0xffff {
			t.Fatalf("updated to %04x, recomputed as %04x", sum, full)
		}
	})
}

func TestUpdateChecksum(t *testing.T) {
	for _, c := range []struct {
		name           string
		sum, old, next uint16
		want           uint16
	}{
		{"the example of RFC 1624 4", 0xdd2f, 0x5555, 0x3285, 0x0000},
		{"nothing changed", 0x1234, 7, 7, 0x1234},
		{"ttl 64 > 63", 0x3f7c, 0x4001, 0x3f01, 0x407c},
		{"0xffff as it came stays right", 0xffff, 0x4001, 0x3f01, 0x0100},
		{"0x0000 as it came stays right", 0x0000, 0x4001, 0x3f01, 0x0100},
		{"to 0xffff and back", 0x0100, 0x3f01, 0x4001, 0x0000},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := UpdateChecksum(c.sum, c.old, c.next); got != c.want {
				t.Errorf("got %04x, want %04x", got, c.want)
			}
		})
	}
}

func TestSettersKeepTheHeaderRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := IPv4(append([]byte{0x45}, rapid.SliceOfN(rapid.Byte(), 19, 19).Draw(t, "header")...))
		h.SetChecksum()
		ttl, ecn := rapid.Byte().Draw(t, "ttl"), rapid.ByteRange(0, 3).Draw(t, "ecn")
		want := append(IPv4{}, h...)
		want[8], want[1] = ttl, h.TOS()&^3|ecn
		h.SetTTL(ttl)
		h.SetECN(ecn)
		if slowSum(h, 0) != 0xffff {
			t.Fatalf("the header does not verify: % x", []byte(h))
		}
		want[10], want[11] = h[10], h[11]
		if string(h) != string(want) {
			t.Fatalf("got % x\nwant % x", []byte(h), []byte(want))
		}
	})
}

// An IPv4 header's sum is that of its bytes, with options and without, written at once or
// read: the corners where it carries too.
func TestHeaderSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ip := IPv4(rapid.SliceOfN(rapid.SampledFrom([]byte{0xff, 0xff, 0xff, 0xff, 0xfe, 0, 1}), 60, 60).Draw(t, "header"))
		ip[0] = 0x40 | rapid.SampledFrom([]byte{5, 5, 5, 5, 6, 15}).Draw(t, "words")
		if got, want := ip.HeaderSum(), slowSum(ip[:ip.HeaderLen()], 0); got != want {
			t.Fatalf("% x: %04x, want %04x", []byte(ip[:ip.HeaderLen()]), got, want)
		}
		h := Header{
			TOS: ip[1], TotalLen: ip.TotalLen(), ID: ip.ID(), DF: ip.DF(), TTL: ip.TTL(), Protocol: ip.Protocol(), Src: ip.Src(), Dst: ip.Dst(),
		}
		if PutIPv4(ip, &h); ip.HeaderLen() != 20 || slowSum(ip[:20], 0) != 0xffff {
			t.Fatalf("written % x", []byte(ip[:20]))
		}
	})
}

func TestSetECN(t *testing.T) {
	for tos := range 256 {
		for ecn := range byte(4) {
			ip := make(IPv4, 20)
			PutIPv4(ip, &Header{TOS: byte(tos), TotalLen: 20, TTL: 9, Src: IPv4Addr([]byte{10, 70, 1, 1}), Dst: IPv4Addr([]byte{10, 70, 2, 1})})
			if ip.SetECN(ecn); ip.TOS() != byte(tos)&^3|ecn || slowSum(ip, 0) != 0xffff {
				t.Fatalf("%02x with %d is %02x, sum %04x", tos, ecn, ip.TOS(), slowSum(ip, 0))
			}
		}
	}
}
