package engine_test

import (
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
)

// FuzzReassembly sends fragments of any offset, length and flag, four bytes of
// input for each, of an echo request to the gateway and of IP-in-IP from a peer.
// Whatever they make, the books balance and the next packet is forwarded.
func FuzzReassembly(f *testing.F) {
	f.Add([]byte{0, 0, 16, 1, 0, 2, 16, 0})                         // two that fit
	f.Add([]byte{0, 2, 16, 0, 0, 0, 16, 1})                         // the last one first
	f.Add([]byte{0, 0, 24, 1, 0, 1, 16, 0})                         // overlapping
	f.Add([]byte{0x1f, 0xff, 255, 0, 0, 0, 8, 1})                   // beyond 65,535 bytes
	f.Add([]byte{0, 0, 7, 1, 0, 1, 0, 0, 0, 0, 8, 1, 0, 0, 8, 1})   // odd, empty, twice
	f.Add([]byte{0, 0, 8, 1, 0, 1, 8, 1, 0, 2, 8, 1, 0, 3, 200, 0}) // many
	b, l := fuzzBed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		b.t = t
		defer func() { b.t = f }()
		for ; len(data) >= 4; data = data[4:] {
			offset, size, more := binary.BigEndian.Uint16(data)&0x1fff, int(data[2]), data[3]&1 != 0
			b.ns1.Send(fragmentOf(ether(ns1MAC, gatewayMAC), ns1IP, gateway, layers.IPProtocolICMPv4, offset, size, more, data[3]))
			b.uplink.Send(fragmentOf(ether(peerMAC, uplinkMAC), peerIP, hostIP, layers.IPProtocolIPv4, offset, size, more, data[3]))
		}
		b.check(l)
	})
}

// FuzzReassembly6 is FuzzReassembly of IPv6.
func FuzzReassembly6(f *testing.F) {
	f.Add([]byte{0, 0, 16, 1, 0, 2, 16, 0})
	f.Add([]byte{0, 0, 24, 1, 0, 1, 16, 0})
	f.Add([]byte{0x1f, 0xff, 255, 0, 0, 0, 8, 1})
	f.Add([]byte{0, 0, 7, 1, 0, 1, 0, 0, 0, 0, 8, 1, 0, 0, 8, 1})
	b, l := fuzzBed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		b.t = t
		defer func() { b.t = f }()
		for ; len(data) >= 4; data = data[4:] {
			offset, payload := binary.BigEndian.Uint16(data)<<3|uint16(data[3]&1), make([]byte, data[2])
			for i := range payload {
				payload[i] = data[3]
			}
			header := binary.BigEndian.AppendUint16([]byte{packet.ProtocolICMPv6, 0}, offset)
			header = append(header, 0, 0, 0, data[3]>>1)
			b.ns1.Send(packet6(ns1IP6, gateway6, 44, 64, append(header, payload...)))
			for _, next := range []byte{packet.ProtocolIPv6, packet.ProtocolIPIP, packet.HeaderDestination} {
				header[0] = next
				b.uplink.Send(packet6(peerIP6, hostIP6, 44, 64, append(header, payload...)))
			}
		}
		b.check(l)
	})
}

// fragmentOf is one fragment; the upper bits of tell are its datagram's
// identification, so that some belong together and some do not.
func fragmentOf(eth *layers.Ethernet, src, dst string, protocol layers.IPProtocol, offset uint16, size int, more bool, tell byte) *packet.Frame {
	ip := ip4(src, dst, protocol)
	ip.FragOffset, ip.Id = offset, uint16(tell>>1)
	if more {
		ip.Flags = layers.IPv4MoreFragments
	}
	payload := make([]byte, size)
	if offset == 0 && size > 0 {
		payload[0] = packet.ICMPEchoRequest
	}
	return frame(eth, ip, gopacket.Payload(payload))
}
