package engine_test

import (
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
)

// Whoever sent a frame pays for all that becomes of it, by whichever port it leaves.
func TestWhoPays(t *testing.T) {
	toHost := func(ttl uint8) *packet.Frame {
		ip := ip4(ns1IP, farIP, layers.IPProtocolICMPv4)
		ip.TTL = ttl
		return frame(ether(ns1MAC, gatewayMAC), ip, echo(1), gopacket.Payload("0123456789"))
	}
	small := fromNS1(tunnelIP)
	small.Offload.GSOSize = 16
	for _, c := range []struct {
		name string
		from string
		send []*packet.Frame
		cost int // 1 for each frame that is written
	}{
		{"forwarded", "ns1", []*packet.Frame{ping(farIP), ping(farIP), ping(ns2IP)}, 3},
		{"from the uplink", "ens160", []*packet.Frame{fromPeer()}, 1},
		{"dropped", "ns1", []*packet.Frame{withSrc(ping(farIP), ns2IP)}, 0},
		{"answered", "ns1", []*packet.Frame{ping(gateway)}, 1},
		{"told that it cannot go on", "ns1", []*packet.Frame{toHost(1), toHost(1)}, 2},
		{"cut into segments", "ns1", []*packet.Frame{small}, (segment*segments + 15) / 16},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Duration(0)
			p := link.NewMemoryPoller()
			p.Now = func() time.Duration { return now }
			b := newBedOn(t, p)
			for _, m := range []*link.Memory{b.ns1, b.ns2, b.uplink} {
				m.OnWrite = func() { now++ }
			}
			b.resolve()
			tunnel(b)
			before := b.sentBy(c.from)
			b.port(c.from).Send(c.send...)
			for _, p := range b.router.Stats().Ports {
				want := time.Duration(0)
				if p.Name == c.from {
					want = before.Cost() + time.Duration(c.cost)
				}
				if p.Name == "ens160" && p.Name != c.from {
					continue // it has paid for what resolve sent
				}
				if p.Cost() != want {
					t.Errorf("%s has paid %d, want %d", p.Name, p.Cost(), want)
				}
			}
		})
	}
}

// For a packet that has waited the one pays who has let it go on.
func TestWhoPaysForWaiting(t *testing.T) {
	now := time.Duration(0)
	p := link.NewMemoryPoller()
	p.Now = func() time.Duration { return now }
	b := newBedOn(t, p)
	for _, m := range []*link.Memory{b.ns1, b.ns2, b.uplink} {
		m.OnWrite = func() { now++ }
	}
	b.ns1.Send(ping(farIP), ping(farIP)) // and an ARP request is written
	before := b.sentBy("ens160")
	b.resolve()
	ns1, uplink := b.sentBy("ns1"), b.sentBy("ens160")
	if n := ns1.Cost(); n != 1 {
		t.Errorf("the sender has paid %d, want 1", n)
	}
	if n := uplink.Cost() - before.Cost(); n != 2 {
		t.Errorf("the uplink has paid %d, want 2", n)
	}
}
