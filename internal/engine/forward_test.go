package engine_test

import (
	"bytes"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

func TestForwardsToTheNextHop(t *testing.T) {
	b := newBed(t)
	b.resolve()
	in := ping(farIP)
	b.ns1.Send(in)
	got := one(t, b.uplink)
	if got.DstMAC() != peerMAC || got.SrcMAC() != uplinkMAC {
		t.Errorf("sent %s > %s, want %s > %s", got.SrcMAC(), got.DstMAC(), uplinkMAC, peerMAC)
	}
	ip := packet.IPv4(got.Payload())
	if ip.TTL() != 63 || packet.Checksum(ip[:20]) != 0 {
		t.Errorf("ttl %d, checksum sums up to %04x; want 63 and 0", ip.TTL(), packet.Checksum(ip[:20]))
	}
	want := bytes.Clone(in.Payload())
	packet.IPv4(want).SetTTL(63)
	if !bytes.Equal(got.Payload(), want) {
		t.Errorf("more than the TTL changed:\n got % x\nwant % x", got.Payload(), want)
	}
	silent(t, b.ns1, b.ns2)
	s := b.router.Stats()
	if n := s.Steps[forwarder.TX.Number()][verdict.Pass]; n != 1 {
		t.Errorf("%d packets passed tx, want 1", n)
	}
}

func TestForwardsFromWorkloadToWorkload(t *testing.T) {
	b := newBed(t)
	b.ns1.Send(ping(ns2IP))
	got := one(t, b.ns2)
	if got.DstMAC() != ns2MAC || got.SrcMAC() != gatewayMAC {
		t.Errorf("sent %s > %s, want %s > %s", got.SrcMAC(), got.DstMAC(), gatewayMAC, ns2MAC)
	}
	silent(t, b.ns1, b.uplink)
}

// The first packet to a next hop waits for its address, and is then sent: RFC
// 1122 2.3.2.2.
func TestFirstPacketWaitsForTheNeighbour(t *testing.T) {
	b := newBed(t)
	b.ns1.Send(ping(farIP))
	ask, ok := packet.ParseARP(one(t, b.uplink).Payload())
	if !ok || ask.Op != packet.ARPRequest || ask.TargetIP != addr(peerIP) || ask.SenderIP != addr(hostIP) || ask.SenderMAC != uplinkMAC {
		t.Fatalf("asked %+v", ask)
	}
	b.uplink.Send(arp(packet.ARPReply, peerMAC, peerIP, uplinkMAC, hostIP, uplinkMAC))
	if got := one(t, b.uplink); got.DstMAC() != peerMAC {
		t.Errorf("sent to %s, want %s", got.DstMAC(), peerMAC)
	}
	silent(t, b.ns1, b.ns2)
}

func TestTimeExceeded(t *testing.T) {
	b := newBed(t)
	b.resolve()
	ip := ip4(ns1IP, farIP, layers.IPProtocolICMPv4)
	ip.TTL = 1
	in := frame(ether(ns1MAC, gatewayMAC), ip, echo(1))
	b.ns1.Send(in)
	got := decode(one(t, b.ns1))
	from, icmp := got.Layer(layers.LayerTypeIPv4).(*layers.IPv4), got.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if from.SrcIP.String() != hostIP || from.DstIP.String() != ns1IP || icmp.TypeCode != layers.CreateICMPv4TypeCode(11, 0) {
		t.Errorf("got %s > %s %s", from.SrcIP, from.DstIP, icmp.TypeCode)
	}
	if !bytes.Equal(icmp.Payload, in.Payload()) {
		t.Errorf("the quote is not the packet as it came:\n got % x\nwant % x", icmp.Payload, in.Payload())
	}
	if n := b.dropped("ns1", "ttl_exceeded"); n != 1 {
		t.Errorf("ttl_exceeded counts %d, want 1", n)
	}
	silent(t, b.uplink, b.ns2)
}

func TestEchoToTheGateway(t *testing.T) {
	b := newBed(t)
	b.ns1.Send(ping(gateway), ping(hostIP))
	sent := b.ns1.Sent()
	if len(sent) != 2 {
		t.Fatalf("%d replies, want 2", len(sent))
	}
	for i, from := range []string{gateway, hostIP} {
		got := decode(sent[i])
		ip, icmp := got.Layer(layers.LayerTypeIPv4).(*layers.IPv4), got.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		if ip.SrcIP.String() != from || icmp.TypeCode.Type() != 0 || icmp.Id != 41 || icmp.Seq != 1 || string(icmp.Payload) != "0123456789" {
			t.Errorf("reply %s %s id %d seq %d %q", ip.SrcIP, icmp.TypeCode, icmp.Id, icmp.Seq, icmp.Payload)
		}
		if packet.Checksum(ip.Payload) != 0 {
			t.Errorf("the reply's checksum is wrong")
		}
	}
}

func TestNoAllocation(t *testing.T) {
	b := newBed(t)
	b.resolve()
	in := ping(farIP)
	b.ns1.Send(in)
	b.ns1.Discard, b.uplink.Discard = true, true
	batch := []*packet.Frame{in}
	if n := testing.AllocsPerRun(1000, func() { b.ns1.Send(batch...) }); n != 0 {
		t.Errorf("%.1f allocations a forwarded packet, want 0", n)
	}
}
