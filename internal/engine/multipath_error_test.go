package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// flows are so many that two hosts get some of them each, whatever the hash.
const flows = 64

// toMany is a packet from ns1 to what several hosts share, and fromMany the one
// that answers it. The ports are the first four bytes behind the header.
func toMany(protocol layers.IPProtocol, port uint16) *packet.Frame {
	return frame(ether(ns1MAC, gatewayMAC), ip4(ns1IP, manyIP, protocol), transport(port, 53))
}

func fromMany(protocol layers.IPProtocol, port uint16) *packet.Frame {
	return frame(ether(peerMAC, uplinkMAC), ip4(manyIP, ns1IP, protocol), transport(53, port))
}

func transport(from, to uint16) gopacket.Payload {
	return append([]byte{byte(from >> 8), byte(from), byte(to >> 8), byte(to)}, make([]byte, 60)...)
}

// wentTo is the host that a packet from ns1 goes to.
func (b *bed) wentTo(f *packet.Frame) packet.MAC {
	b.t.Helper()
	b.ns1.Send(f)
	return one(b.t, b.uplink).DstMAC()
}

// meet wants an error about each flow at the host to which the flow's packets go,
// and flows at each of both hosts.
func meet(t *testing.T, flow, about func(b *bed, port uint16) packet.MAC) {
	t.Helper()
	b := newBed(t)
	multipath(b, rib.None)
	count, wrong := map[packet.MAC]int{}, 0
	for port := uint16(1000); port < 1000+flows; port++ {
		to := flow(b, port)
		count[to]++
		if about(b, port) != to {
			wrong++
		}
	}
	if wrong > 0 || len(count) != 2 {
		t.Errorf("of %d flows %v the errors of %d went to the wrong host", flows, count, wrong)
	}
}

func sent(protocol layers.IPProtocol) func(b *bed, port uint16) packet.MAC {
	return func(b *bed, port uint16) packet.MAC { b.t.Helper(); return b.wentTo(toMany(protocol, port)) }
}

// An ICMP error about what one of several hosts has sent goes to that host
// (RFC 7690 3): those of ns1, by what they quote.
func TestMultipathForwardedErrors(t *testing.T) {
	protocols := []layers.IPProtocol{layers.IPProtocolUDP, layers.IPProtocolTCP, layers.IPProtocolSCTP, packet.ProtocolDCCP, packet.ProtocolUDPLite}
	for _, protocol := range protocols {
		for _, typ := range []uint8{3, 4, 5, 11, 12} {
			for _, quote := range []int{28, 36, 84} { // bytes
				t.Run(fmt.Sprintf("%s_type_%d_quoting_%d", protocol, typ, quote), func(t *testing.T) {
					meet(t, sent(protocol), func(b *bed, port uint16) packet.MAC {
						return b.wentTo(icmpOf(manyIP, typ, 1, fromMany(protocol, port).Payload()[:quote]))
					})
				})
			}
		}
	}
	first := func(f *packet.Frame) []byte { setFragment(f, 0, true); return f.Payload() }
	padded := func(f *packet.Frame) []byte { return append(f.Payload()[:28:28], make([]byte, 108)...) } // RFC 4884 5.1
	options := func(f *packet.Frame) []byte { return withOptions(f, 148, 4, 0, 0).Payload()[:32] }
	for name, quote := range map[string]func(*packet.Frame) []byte{"first_fragment": first, "padded": padded, "options": options} {
		t.Run(name, func(t *testing.T) {
			meet(t, sent(layers.IPProtocolUDP), func(b *bed, port uint16) packet.MAC {
				return b.wentTo(icmpOf(manyIP, 3, 4, quote(fromMany(layers.IPProtocolUDP, port))))
			})
		})
	}
}

// Of what has no ports, the flow is the two addresses and the protocol.
func TestMultipathErrorsWithoutPorts(t *testing.T) {
	from := func(i uint16) string { return fmt.Sprintf("10.70.3.%d", i-1000+1) }
	for name, c := range map[string]struct {
		flow  func(many string) *packet.Frame
		quote func(many string) []byte
	}{
		"echo": {ping, func(many string) []byte {
			return frame(ether(peerMAC, uplinkMAC), ip4(many, ns1IP, layers.IPProtocolICMPv4), echo(7)).Payload()
		}},
		"later_fragment": {func(many string) *packet.Frame {
			f := withDst(toMany(layers.IPProtocolUDP, 7), many)
			setFragment(f, 16, false)
			return f
		}, func(many string) []byte {
			f := withSrc(fromMany(layers.IPProtocolUDP, 9), many)
			setFragment(f, 16, false)
			return f.Payload()
		}},
		"tunnel": {func(many string) *packet.Frame { return withDst(toMany(packet.ProtocolIPIP, 7), many) },
			func(many string) []byte { return withSrc(fromMany(packet.ProtocolIPIP, 9), many).Payload() }},
		"header_alone": {func(many string) *packet.Frame {
			f := withDst(toMany(layers.IPProtocolUDP, 7), many)
			setFragment(f, 16, false)
			return f
		}, func(many string) []byte { return withSrc(fromMany(layers.IPProtocolUDP, 9), many).Payload()[:20] }},
	} {
		t.Run(name, func(t *testing.T) {
			meet(t, func(b *bed, i uint16) packet.MAC { return b.wentTo(c.flow(from(i))) },
				func(b *bed, i uint16) packet.MAC { return b.wentTo(icmpOf(from(i), 3, 1, c.quote(from(i)))) })
		})
	}
}

// The router's own errors go there as well.
func TestMultipathOwnErrors(t *testing.T) {
	udp := layers.IPProtocolUDP
	tells := func(b *bed, f *packet.Frame) packet.MAC {
		b.uplink.Send(f)
		out := one(b.t, b.uplink)
		if !packet.IsICMPError(packet.IP(out.Payload())) {
			b.t.Fatalf("%s is no error", decode(out))
		}
		return out.DstMAC()
	}
	for name, about := range map[string]func(b *bed, port uint16) *packet.Frame{
		"ttl_exceeded": func(_ *bed, port uint16) *packet.Frame { return withTTL(fromMany(udp, port), 1) },
		"mtu_exceeded": func(b *bed, port uint16) *packet.Frame { b.setMTU("ns1", 68); return withDF(fromMany(udp, port)) },
		"no_route":     func(_ *bed, port uint16) *packet.Frame { return withDst(fromMany(udp, port), "10.99.0.1") },
		"fragment": func(_ *bed, port uint16) *packet.Frame {
			f := withTTL(fromMany(udp, port), 1)
			setFragment(f, 0, true)
			return f
		},
		"from_a_tunnel": func(_ *bed, port uint16) *packet.Frame {
			return ipip(peerIP, hostIP, withTTL(fromMany(udp, port), 1), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			flow := func(b *bed, port uint16) packet.MAC { return b.wentTo(toMany(udp, port)) }
			if name == "no_route" {
				flow = func(b *bed, port uint16) packet.MAC {
					b.settings.RPF = false
					b.router.Configure(b.settings)
					return b.wentTo(withSrc(toMany(udp, port), "10.99.0.1"))
				}
			}
			meet(t, flow, func(b *bed, port uint16) packet.MAC { return tells(b, about(b, port)) })
		})
	}
}

// Into a tunnel of a multipath, and by explain, an error takes the same next hop.
func TestMultipathErrorsInTunnels(t *testing.T) {
	b := newBed(t)
	b.settings.Ends = append(b.settings.Ends, addr(peerIP), addr(otherIP))
	b.router.Configure(b.settings)
	multipath(b, rib.IPIP)
	end := func(f *packet.Frame) string {
		b.ns1.Send(f)
		return packet.IPv4(one(t, b.uplink).Payload()).Dst().String()
	}
	for port := uint16(1000); port < 1000+flows; port++ {
		want := end(toMany(layers.IPProtocolUDP, port))
		about := icmpOf(manyIP, 3, 4, fromMany(layers.IPProtocolUDP, port).Payload()[:28])
		if got := end(about); got != want {
			t.Errorf("the flow of port %d went into the tunnel to %s, the error to %s", port, want, got)
		}
		records, err := b.router.DryRun().Explain("ns1", about.Clone())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range records[0].View("h").Steps {
			if s.Step == "route" && !strings.Contains(s.Route, "via "+want+" ") {
				t.Errorf("explain: %q, want it by %s", s.Route, want)
			}
		}
	}
}

// The fragments of one error go one way, and what quotes nothing goes by its own header.
func TestMultipathBrokenErrors(t *testing.T) {
	b := newBed(t)
	multipath(b, rib.None)
	plain := b.wentTo(icmpOf(manyIP, 8, 0, nil))
	for n := range 20 {
		if got := b.wentTo(icmpOf(manyIP, 3, 1, fromMany(layers.IPProtocolUDP, 7).Payload()[:n])); got != plain {
			t.Errorf("quoting %d bytes it went to %s, want %s", n, got, plain)
		}
	}
	for _, first := range []byte{0x00, 0x35, 0x44, 0x4f, 0x65} { // version and header length
		quote := append([]byte{first}, fromMany(layers.IPProtocolUDP, 7).Payload()[1:28]...)
		if got := b.wentTo(icmpOf(manyIP, 3, 1, quote)); got != plain {
			t.Errorf("quoting a header that begins with %02x it went to %s, want %s", first, got, plain)
		}
	}
	for port := uint16(1000); port < 1000+flows; port++ {
		one, two := icmpOf(manyIP, 3, 1, fromMany(layers.IPProtocolUDP, port).Payload()), icmpOf(manyIP, 3, 1, fromMany(layers.IPProtocolUDP, port).Payload())
		setFragment(one, 0, true)
		setFragment(two, 40, false)
		if a, b := b.wentTo(one), b.wentTo(two); a != plain || b != plain {
			t.Fatalf("the first fragment went to %s, the second to %s, and all else without ports to %s", a, b, plain)
		}
	}
}
