package packet

import (
	"net/netip"
	"testing"
)

func TestPutIPv4(t *testing.T) {
	b := make([]byte, 24)
	for i := range b {
		b[i] = 0xee
	}
	PutIPv4(b, &Header{
		TOS: 0xb9, TotalLen: 1234, ID: 0x4321, DF: true, TTL: 64, Protocol: ProtocolIPIP,
		Src: netip.MustParseAddr("192.168.0.11"), Dst: netip.MustParseAddr("192.168.0.12"),
	})
	ip := IPv4(b)
	if ip.Version() != 4 || ip.HeaderLen() != 20 || ip.TOS() != 0xb9 || ip.TotalLen() != 1234 || ip.ID() != 0x4321 ||
		!ip.DF() || ip.MF() || ip.FragOffset() != 0 || ip.IsFragment() || ip.TTL() != 64 || ip.Protocol() != 4 ||
		ip.Src().String() != "192.168.0.11" || ip.Dst().String() != "192.168.0.12" {
		t.Errorf("wrote % x", b)
	}
	if slowSum(b[:20], 0) != 0xffff {
		t.Error("the checksum is wrong")
	}
	if b[20] != 0xee {
		t.Error("more than 20 bytes were written")
	}
}

func TestFragmentField(t *testing.T) {
	for _, c := range []struct {
		name             string
		field            [2]byte
		df, mf, fragment bool
		offset           int
	}{
		{"whole", [2]byte{0, 0}, false, false, false, 0},
		{"don't fragment", [2]byte{0x40, 0}, true, false, false, 0},
		{"first", [2]byte{0x20, 0}, false, true, true, 0},
		{"middle", [2]byte{0x20, 185}, false, true, true, 1480},
		{"last", [2]byte{0x1f, 0xff}, false, false, true, 65528},
	} {
		t.Run(c.name, func(t *testing.T) {
			ip := make(IPv4, 20)
			copy(ip[6:], c.field[:])
			if ip.DF() != c.df || ip.MF() != c.mf || ip.IsFragment() != c.fragment || ip.FragOffset() != c.offset {
				t.Errorf("df %v, mf %v, fragment %v, offset %d", ip.DF(), ip.MF(), ip.IsFragment(), ip.FragOffset())
			}
		})
	}
}

// RFC 1812 4.3.2.7: no error about an error. What is cut before its type, and a
// type that nobody knows, are treated as one.
func TestIsICMPError(t *testing.T) {
	for _, c := range []struct {
		name     string
		protocol byte
		offset   byte
		payload  []byte
		want     bool
	}{
		{"echo request", ProtocolICMP, 0, []byte{8, 0}, false},
		{"echo reply", ProtocolICMP, 0, []byte{0, 0}, false},
		{"timestamp", ProtocolICMP, 0, []byte{13, 0}, false},
		{"address mask reply", ProtocolICMP, 0, []byte{18, 0}, false},
		{"unreachable", ProtocolICMP, 0, []byte{3, 1}, true},
		{"source quench", ProtocolICMP, 0, []byte{4}, true},
		{"redirect", ProtocolICMP, 0, []byte{5}, true},
		{"time exceeded", ProtocolICMP, 0, []byte{11}, true},
		{"parameter problem", ProtocolICMP, 0, []byte{12}, true},
		{"unknown type", ProtocolICMP, 0, []byte{200}, true},
		{"no type", ProtocolICMP, 0, nil, true},
		{"a later fragment has no type", ProtocolICMP, 1, []byte{3}, false},
		{"udp", ProtocolUDP, 0, []byte{3}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ip := IPv4(append(make([]byte, 20), c.payload...))
			PutIPv4(ip, &Header{TotalLen: len(ip), TTL: 1, Protocol: c.protocol, Src: netip.IPv4Unspecified(), Dst: netip.IPv4Unspecified()})
			ip[7] = c.offset
			if got := IsICMPError(IP(ip)); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestPutICMPError(t *testing.T) {
	b := make([]byte, ICMPHeaderLen+5)
	PutICMPError(b, ICMPUnreachable, CodeFragNeeded, 1480, []byte("quote"))
	if b[0] != 3 || b[1] != 4 || string(b[4:]) != "\x00\x00\x05\xc8quote" || slowSum(b, 0) != 0xffff {
		t.Errorf("wrote % x", b)
	}
}
