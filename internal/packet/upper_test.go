package packet

import (
	"net/netip"
	"slices"
	"testing"
)

// extended is an IPv6 packet of a chain of next headers, and what they are of: the bytes
// of each header but the last are as they come, the last is the payload.
func extended(first byte, parts ...[]byte) IPv6 {
	body := slices.Concat(parts...)
	ip := make(IPv6, IPv6MinLen, IPv6MinLen+len(body))
	PutIPv6(ip, &Header6{
		PayloadLen: len(body), NextHeader: first, HopLimit: 64,
		Src: netip.MustParseAddr("fd00:70:1::1"), Dst: netip.MustParseAddr("fd00:70:2::1"),
	})
	return append(ip, body...)
}

// extension is an extension header of a number of bytes that says what follows.
func extension(next byte, size int) []byte {
	b := make([]byte, size)
	b[0], b[1] = next, byte(size/8-1)
	return b
}

func fragmentHeader(next byte, offset int, more bool) []byte {
	b := make([]byte, FragmentHeaderLen)
	PutFragmentHeader(b, next, offset, more, 0xdeadbeef)
	return b
}

// RFC 8200 4: extension headers are followed by what they say, as far as they can be.
func TestUpper(t *testing.T) {
	data := make([]byte, 24)
	ah := make([]byte, 24) // RFC 4302 2.2: in words of four bytes, less two
	ah[0], ah[1] = ProtocolTCP, 4
	many := func(n int) (parts [][]byte) {
		for range n - 1 {
			parts = append(parts, extension(HeaderDestination, 8))
		}
		return append(parts, extension(ProtocolUDP, 8), data)
	}
	for _, c := range []struct {
		name  string
		ip    IPv6
		want  Upper
		isOne bool // a fragment
	}{
		{"TCP", extended(ProtocolTCP, data), Upper{Protocol: ProtocolTCP, At: 40, Named: 6, OK: true}, false},
		{"nothing", extended(ProtocolUDP), Upper{Protocol: ProtocolUDP, At: 40, Named: 6, OK: true}, false},
		{"no next header", extended(NoNextHeader, data), Upper{Protocol: NoNextHeader, At: 40, Named: 6, OK: true}, false},
		{"a packet in a packet", extended(ProtocolIPv6, data), Upper{Protocol: ProtocolIPv6, At: 40, Named: 6, OK: true}, false},
		{"hop-by-hop options", extended(HeaderHopByHop, extension(ProtocolICMPv6, 16), data), Upper{Protocol: ProtocolICMPv6, At: 56, Named: 40, OK: true}, false},
		{"all in their order", extended(HeaderHopByHop, extension(HeaderDestination, 8), extension(HeaderRouting, 8), extension(HeaderFragment, 24), fragmentHeader(HeaderDestination, 0, true), extension(ProtocolUDP, 8), data),
			Upper{Protocol: ProtocolUDP, At: 96, Named: 88, Fragment: 80, Routing: 56, OK: true}, true},
		{"authentication", extended(HeaderAH, ah, data), Upper{Protocol: ProtocolTCP, At: 64, Named: 40, OK: true}, false},
		{"encryption", extended(HeaderDestination, extension(HeaderESP, 8), data), Upper{Protocol: HeaderESP, At: 48, Named: 40, OK: true}, false},
		{"a header that nobody knows", extended(HeaderHopByHop, extension(253, 8), data), Upper{Protocol: 253, At: 48, Named: 40, OK: true}, false},
		{"a fragment but the first", extended(HeaderFragment, fragmentHeader(HeaderDestination, 1232, false), data), Upper{Protocol: HeaderDestination, At: 48, Named: 40, Fragment: 40, OK: true}, true},
		{"a fragment that is the whole", extended(HeaderFragment, fragmentHeader(ProtocolICMPv6, 0, false), data), Upper{Protocol: ProtocolICMPv6, At: 48, Named: 40, Fragment: 40, OK: true}, false},
		{"two fragment headers", extended(HeaderFragment, fragmentHeader(HeaderFragment, 0, true), fragmentHeader(ProtocolTCP, 0, true), data), Upper{Protocol: HeaderFragment, At: 48, Named: 40, Fragment: 40}, true},
		{"hop-by-hop options behind others", extended(HeaderDestination, extension(HeaderHopByHop, 8), extension(ProtocolTCP, 8), data), Upper{Protocol: HeaderHopByHop, At: 48, Named: 40, OK: true}, false},
		{"as many as there may be", extended(HeaderDestination, many(MaxExtensions)...), Upper{Protocol: ProtocolUDP, At: 40 + 8*MaxExtensions, Named: 32 + 8*MaxExtensions, OK: true}, false},
		{"one more", extended(HeaderDestination, many(MaxExtensions+1)...), Upper{Protocol: ProtocolUDP, At: 48 + 8*MaxExtensions, Named: 40 + 8*MaxExtensions}, false},
		{"a header that is cut", extended(HeaderRouting, extension(ProtocolTCP, 8)[:7]), Upper{Protocol: HeaderRouting, At: 40, Named: 6}, false},
		{"a header that is not there", extended(HeaderHopByHop), Upper{Protocol: HeaderHopByHop, At: 40, Named: 6}, false},
		{"a header beyond the end", extended(HeaderRouting, extension(ProtocolTCP, 48)[:40]), Upper{Protocol: ProtocolTCP, At: 88, Named: 40, Routing: 40}, false},
		{"a header behind the payload", append(extended(HeaderDestination), extension(ProtocolTCP, 8)...), Upper{Protocol: HeaderDestination, At: 40, Named: 6}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.ip.Upper(); got != c.want {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
			protocol, at, fragment := Transport(IP(c.ip))
			if protocol != c.want.Protocol || at != c.want.At || fragment != c.isOne {
				t.Errorf("transport: %d at %d, fragment %t", protocol, at, fragment)
			}
		})
	}
}

func TestTransportIPv4(t *testing.T) {
	ip := datagram([]byte{148, 4, 0, 0}, 100, 800, false)
	if protocol, at, fragment := Transport(IP(ip)); protocol != ProtocolUDP || at != 24 || !fragment {
		t.Errorf("%d at %d, fragment %t", protocol, at, fragment)
	}
}

func TestFragmentHeader(t *testing.T) {
	for _, offset := range []int{0, 8, 1232, 65528} {
		for _, more := range []bool{false, true} {
			h := FragmentHeader(fragmentHeader(ProtocolUDP, offset, more))
			h[3] |= 6 // reserved: ignored
			if h.NextHeader() != ProtocolUDP || h.Offset() != offset || h.More() != more || h.ID() != 0xdeadbeef || h.IsFragment() != (more || offset > 0) {
				t.Errorf("offset %d, more %t: % x", offset, more, []byte(h))
			}
		}
	}
}
