package packet

import (
	"bytes"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// asICMPv6 is a packet that carries an ICMPv6 message, its checksum made.
func asICMPv6(ip IPv6) IPv6 {
	SetICMPv6Checksum(ip, ip.Upper().At)
	return ip
}

func icmpv6(typ, code byte, rest ...byte) []byte { return append([]byte{typ, code, 0, 0}, rest...) }

func TestPutICMPv6Error(t *testing.T) {
	quote := extended(ProtocolUDP, []byte("odd"))
	ip := extended(ProtocolICMPv6, make([]byte, ICMPHeaderLen+len(quote)))
	PutICMPv6Error(ip, ICMPv6PacketTooBig, 0, 1280, quote)
	l, ok := gopacket.NewPacket(ip, layers.LayerTypeIPv6, gopacket.Default).Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	if !ok || l.TypeCode != layers.CreateICMPv6TypeCode(2, 0) || !bytes.Equal(ip[40+4:], append([]byte{0, 0, 5, 0}, quote...)) || ICMPv6Sum(ip, 40) != 0xffff {
		t.Errorf("% x", []byte(ip))
	}
	pseudo := append(append([]byte{}, ip[8:40]...), 0, 0, 0, byte(len(ip)-40), 0, 0, 0, 58)
	if got := slowSum(append(pseudo, ip[40:]...), 0); got != 0xffff {
		t.Errorf("the checksum sums up to %04x", got)
	}
	ip[len(ip)-1] ^= 1
	if ICMPv6Sum(ip, 40) == 0xffff {
		t.Error("a damaged message is taken for a good one")
	}
}

// RFC 4443 2.4 (e): no error about an error or a redirect, of whatever type; RFC 4884 on
// what a quote is followed by.
func TestQuotedIPv6(t *testing.T) {
	inner := extended(ProtocolTCP, make([]byte, 140))
	about := func(typ, word byte) []byte { return append(icmpv6(typ, 0, word, 0, 0, 0), inner...) }
	for _, c := range []struct {
		name        string
		ip          IPv6
		error       bool
		quotes, len int // is it asked further; bytes of the quote
	}{
		{"unreachable", extended(ProtocolICMPv6, about(ICMPv6Unreachable, 0)), true, 1, 180},
		{"too big", extended(ProtocolICMPv6, about(ICMPv6PacketTooBig, 0)), true, 1, 180},
		{"time exceeded", extended(ProtocolICMPv6, about(ICMPv6TimeExceeded, 0)), true, 1, 180},
		{"parameter problem", extended(ProtocolICMPv6, about(ICMPv6ParameterProblem, 0)), true, 1, 180},
		{"unreachable, extended", extended(ProtocolICMPv6, about(ICMPv6Unreachable, 17)), true, 1, 136},
		{"extended, shorter than it may be", extended(ProtocolICMPv6, about(ICMPv6Unreachable, 15)), true, 1, 180},
		{"extended by more than there is", extended(ProtocolICMPv6, about(ICMPv6TimeExceeded, 23)), true, 1, 180},
		{"the MTU is no length", extended(ProtocolICMPv6, about(ICMPv6PacketTooBig, 17)), true, 1, 180},
		{"behind options", extended(HeaderHopByHop, extension(ProtocolICMPv6, 8), about(ICMPv6Unreachable, 0)), true, 1, 180},
		{"the first fragment", extended(HeaderFragment, fragmentHeader(ProtocolICMPv6, 0, true), about(ICMPv6Unreachable, 0)), true, 1, 180},
		{"another fragment", extended(HeaderFragment, fragmentHeader(ProtocolICMPv6, 8, true), about(ICMPv6Unreachable, 0)), false, 1, 0},
		{"an error that nobody knows", extended(ProtocolICMPv6, about(100, 0)), true, 1, 0},
		{"a redirect", extended(ProtocolICMPv6, about(ICMPv6Redirect, 0)), true, 0, 0},
		{"echo", extended(ProtocolICMPv6, about(ICMPv6EchoRequest, 0)), false, 0, 0},
		{"a query that nobody knows", extended(ProtocolICMPv6, about(200, 0)), false, 0, 0},
		{"TCP", extended(ProtocolTCP, about(ICMPv6Unreachable, 0)), false, 0, 0},
		{"cut before its type", extended(ProtocolICMPv6), true, 0, 0},
		{"no end of headers", extended(HeaderRouting, []byte{ProtocolICMPv6, 9, 0, 0, 0, 0, 0, 0}), true, 0, 0},
		{"a quote of less than a header", extended(ProtocolICMPv6, icmpv6(ICMPv6Unreachable, 0, 0, 0, 0, 0), inner[:39]), true, 1, 0},
		{"a quote of a header", extended(ProtocolICMPv6, icmpv6(ICMPv6Unreachable, 0, 0, 0, 0, 0), inner[:40]), true, 1, 40},
		{"a quote of IPv4", extended(ProtocolICMPv6, icmpv6(ICMPv6Unreachable, 0, 0, 0, 0, 0), datagram(nil, 100, 0, false)), true, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if IsICMPError(IP(c.ip)) != c.error || Quotes(IP(c.ip)) != (c.quotes == 1) || len(Quoted(IP(c.ip))) != c.len {
				t.Errorf("error %t, quotes %t, quote of %d bytes", IsICMPError(IP(c.ip)), Quotes(IP(c.ip)), len(Quoted(IP(c.ip))))
			}
		})
	}
}
