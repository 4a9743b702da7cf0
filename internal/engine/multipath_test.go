package engine_test

import (
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

const (
	manyIP  = "10.70.3.1" // behind both of two hosts
	otherIP = "192.168.0.13"
)

var otherMAC = packet.MAC{2, 0, 0, 0, 0, 13}

// multipath gives the bed a route by two hosts, the second with three times the share.
func multipath(b *bed, encap rib.Encap) {
	b.resolve()
	b.uplink.Send(arp(packet.ARPRequest, otherMAC, otherIP, packet.MAC{}, hostIP, packet.Broadcast))
	hop := func(via string, weight uint16) rib.Hop {
		return rib.Hop{Route: rib.Route{Via: addr(via), Dev: "ens160", Port: b.uplinkID, Encap: encap}, Weight: weight}
	}
	b.route(rib.Route{Prefix: prefix("10.70.3.0/24"), Protocol: "bird", Source: rib.Kernel}.
		Over([]rib.Hop{hop(peerIP, 1), hop(otherIP, 3)}))
}

func udp(from, to uint16) *packet.Frame {
	ip := ip4(ns1IP, manyIP, layers.IPProtocolUDP)
	u := &layers.UDP{SrcPort: layers.UDPPort(from), DstPort: layers.UDPPort(to)}
	if err := u.SetNetworkLayerForChecksum(ip); err != nil {
		panic(err)
	}
	return frame(ether(ns1MAC, gatewayMAC), ip, u, gopacket.Payload("0123456789012345"))
}

// Flows are spread by weight, and each stays where it is.
func TestMultipathByFlow(t *testing.T) {
	b := newBed(t)
	multipath(b, rib.None)
	went, counts := map[uint16]packet.MAC{}, map[packet.MAC]int{}
	for round := range 2 {
		for port := uint16(1000); port < 1400; port++ {
			b.ns1.Send(udp(port, 53))
			to := one(t, b.uplink).DstMAC()
			if round > 0 && went[port] != to {
				t.Errorf("the flow of port %d went to %s, then to %s", port, went[port], to)
			}
			went[port] = to
			counts[to]++
		}
	}
	if n := counts[otherMAC]; n < 540 || n > 660 || counts[peerMAC] != 800-n {
		t.Errorf("%v, want one part of four to %s and three to %s", counts, peerMAC, otherMAC)
	}
}

// The fragments of a datagram go one way: only the first one has the ports.
func TestMultipathFragments(t *testing.T) {
	b := newBed(t)
	multipath(b, rib.None)
	for port := uint16(1000); port < 1032; port++ {
		first, second := udp(port, 53), udp(port, 53)
		setFragment(first, 0, true)
		setFragment(second, 16, false)
		second.Payload()[packet.IPv4MinLen] ^= 0x55
		b.ns1.Send(first)
		to := one(t, b.uplink).DstMAC()
		b.ns1.Send(second)
		if got := one(t, b.uplink).DstMAC(); got != to {
			t.Fatalf("the first fragment went to %s, the second to %s", to, got)
		}
	}
}

func setFragment(f *packet.Frame, offset int, more bool) {
	ip := f.Payload()
	ip[6], ip[7] = byte(offset/8>>8), byte(offset/8)
	if more {
		ip[6] |= 0x20
	}
	packet.IPv4(ip).SetChecksum()
}

// Into the tunnel of the flow's next hop; and what is said about either tunnel is believed.
func TestMultipathIntoTunnels(t *testing.T) {
	b := newBed(t)
	b.settings.Ends = append(b.settings.Ends, addr(peerIP), addr(otherIP))
	b.router.Configure(b.settings)
	multipath(b, rib.IPIP)
	ends := map[string]int{}
	for port := uint16(1000); port < 1064; port++ {
		b.ns1.Send(udp(port, 53))
		ip := packet.IPv4(one(t, b.uplink).Payload())
		if ip.Protocol() != packet.ProtocolIPIP {
			t.Fatalf("protocol %d", ip.Protocol())
		}
		ends[ip.Dst().String()]++
	}
	if ends[peerIP] == 0 || ends[otherIP] == 0 {
		t.Errorf("tunnels %v", ends)
	}
}

// What explain says is what the wire shows, and it names the next hop.
func TestMultipathExplained(t *testing.T) {
	b := newBed(t)
	multipath(b, rib.None)
	for port := uint16(1000); port < 1032; port++ {
		records, err := b.router.DryRun().Explain("ns1", udp(port, 53))
		if err != nil {
			t.Fatal(err)
		}
		b.ns1.Send(udp(port, 53))
		want := map[packet.MAC]string{peerMAC: "next hop 1 of 2", otherMAC: "next hop 2 of 2"}[one(t, b.uplink).DstMAC()]
		found := false
		for _, s := range records[0].View("h").Steps {
			found = found || s.Step == "route" && strings.HasSuffix(s.Detail, want)
		}
		if !found {
			t.Errorf("port %d: no %q in %+v", port, want, records[0].View("h").Steps)
		}
	}
}
