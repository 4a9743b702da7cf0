package engine_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// Of several addresses the one in the smallest subnet of the other end is the source, in ARP and in
// IP-in-IP, unless one is given for IP-in-IP.
func TestSourceAddress(t *testing.T) {
	const pinned = "192.168.0.50"
	b := newBed(t)
	b.settings.Uplink = append(b.settings.Uplink,
		forwarder.Subnet{Prefix: prefix("192.168.0.0/16"), Address: addr("192.168.9.9")},
		forwarder.Subnet{Prefix: prefix("192.168.0.8/29"), Address: addr("192.168.0.10")},
		forwarder.Subnet{Prefix: prefix("10.5.0.1/32"), Address: addr("10.4.0.1")})
	b.settings.Own = append(b.settings.Own, addr(pinned))
	b.settings.Ends = append(b.settings.Ends, addr(peerIP))
	b.router.Configure(b.settings)
	b.via("10.72.0.0/16", "10.5.0.1", rib.IPIP)
	b.via("10.5.0.1/32", "10.5.0.1", rib.None)
	for to, want := range map[string]string{farIP: "192.168.0.10", "10.72.0.1": "10.4.0.1"} {
		b.ns1.Send(ping(to))
		if m, ok := packet.ParseARP(one(t, b.uplink).Payload()); !ok || m.SenderIP != addr(want) {
			t.Errorf("for %s it asks as %s, want %s", to, m.SenderIP, want)
		}
	}
	tunnel(b)
	if outer := b.tunnelled(ping(tunnelIP)); outer.Src() != addr("192.168.0.10") {
		t.Errorf("the tunnel comes from %s", outer.Src())
	}
	b.settings.Source = addr(pinned)
	b.router.Configure(b.settings)
	outer := b.tunnelled(ping(tunnelIP))
	if outer.Src() != addr(pinned) || outer.Dst() != addr(peerIP) {
		t.Errorf("the tunnel comes from %s, want %s", outer.Src(), pinned)
	}
	b.tell(1300, 1400) // about a packet from there
	b.pathIs(1300)
	b.uplink.Send(ipip(peerIP, pinned, fromPeer(), nil))
	toNS1(t, fromPeer(), one(t, b.ns1))
}

// An error about what came by the uplink comes from an address that others pass on: another one of the host's where the uplink has none of
// the family, of IPv4 192.0.0.8 where the host has none (RFC 7600).
func TestSourceOfErrors(t *testing.T) {
	const elsewhere, elsewhere6 = "172.17.0.1", "fd00:5::1"
	for _, c := range []struct {
		own  []string
		want string
		six  bool
	}{{[]string{elsewhere}, elsewhere, false}, {nil, "192.0.0.8", false}, {[]string{"fe80::5", elsewhere6}, elsewhere6, true}} {
		b := newBed(t)
		dual(b)
		b.resolve()
		b.settings.Uplink = slices.DeleteFunc(b.settings.Uplink, func(s forwarder.Subnet) bool { return s.Address.Is6() == c.six && !s.Address.IsLinkLocalUnicast() })
		b.settings.Own = nil
		for _, a := range c.own {
			b.settings.Own = append(b.settings.Own, addr(a))
		}
		b.router.Configure(b.settings)
		f := frame(ether(peerMAC, uplinkMAC), ip4(farIP, "10.70.99.9", layers.IPProtocolUDP), gopacket.Payload(make([]byte, 40)))
		if c.six {
			f = packet6("fd00:70:2::1", "fd00:70:99::9", 17, 64, make([]byte, 40))
			f.SetStations(uplinkMAC, peerMAC)
		}
		b.uplink.Send(f)
		var sources []netip.Addr
		for _, f := range b.uplink.Sent() {
			if ip := packet.IP(f.Payload()); f.EtherType() != packet.EtherTypeARP {
				sources = append(sources, ip.Src())
			}
		}
		if !slices.Contains(sources, addr(c.want)) {
			t.Errorf("of a host with %v errors come from %v, want %s", c.own, sources, c.want)
		}
	}
}
