package engine_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

const nobody = "0.0.0.0"

// asks is a request by ns1, to everybody.
func asks(from, target string) *packet.Frame {
	return arp(packet.ARPRequest, ns1MAC, from, packet.MAC{}, target, packet.Broadcast)
}

// says checks a reply of the router to ns1: unicast, from the gateway's MAC.
func says(target string) func(testing.TB, *packet.Frame, *packet.Frame) {
	return func(t testing.TB, in, out *packet.Frame) {
		t.Helper()
		req, _ := packet.ParseARP(in.Payload())
		want := packet.ARPMessage{
			Op: packet.ARPReply, SenderMAC: gatewayMAC, SenderIP: addr(target),
			TargetMAC: ns1MAC, TargetIP: req.SenderIP,
		}
		got, ok := packet.ParseARP(out.Payload())
		if !ok || got != want || out.DstMAC() != ns1MAC || out.SrcMAC() != gatewayMAC || out.Len != 42 {
			t.Errorf("%s > %s, %d bytes: %+v, want %+v", out.SrcMAC(), out.DstMAC(), out.Len, got, want)
		}
	}
}

func TestARP(t *testing.T) {
	run(t, answerRows())
	run(t, malformedRows())
	run(t, proxyRows())
}

func answerRows() []row {
	noRoutes := func(b *bed) {
		for _, r := range b.rib.Routes() {
			_ = b.rib.Delete(r.Prefix, r.Source, r.Metric)
		}
	}
	back := func(b *bed) {
		b.route(rib.Route{Prefix: prefix(gateway + "/32"), Dev: "ns1", Port: 0, Source: rib.Static})
	}
	return []row{
		{name: "A1_gateway", from: "ns1", send: asks(ns1IP, gateway), out: "ns1", check: says(gateway)},
		{name: "A1_without_any_route", from: "ns1", setup: noRoutes, send: asks(ns1IP, gateway), out: "ns1", check: says(gateway)},
		{name: "A1_with_a_route_back", from: "ns1", setup: back, send: asks(ns1IP, gateway), out: "ns1", check: says(gateway)},
		{name: "A1_asked_by_unicast", from: "ns1", out: "ns1", check: says(gateway),
			send: arp(packet.ARPRequest, ns1MAC, ns1IP, gatewayMAC, gateway, gatewayMAC)},
		{name: "A1_padded", from: "ns1", send: packet.FrameOf(append(asks(ns1IP, gateway).Bytes(), make([]byte, 18)...)), out: "ns1", check: says(gateway)},
		{name: "A1_not_on_the_uplink", from: "ens160", send: asks(peerIP, gateway), reason: "arp_ignored"},
		{name: "A1_not_for_the_host_on_the_uplink", from: "ens160", send: asks(peerIP, hostIP)}, // its own stack answers
		{name: "A1_not_for_a_workload_on_the_uplink", from: "ens160", send: asks(peerIP, ns1IP), reason: "arp_ignored"},
		{name: "A3_probe_for_the_gateway", from: "ns1", send: asks(nobody, gateway), out: "ns1", check: says(gateway)},
		{name: "A3_probe_for_the_host", from: "ns1", send: asks(nobody, hostIP), out: "ns1", check: says(hostIP)},
		{name: "A3_probe_never_by_proxy", from: "ns1", setup: defaultRoute, send: asks(nobody, farIP), reason: "arp_ignored"},
		{name: "A3_probe_for_its_own_address", from: "ns1", setup: defaultRoute, send: asks(nobody, ns1IP), reason: "arp_ignored"},
		{name: "A3_announcement", from: "ns1", setup: defaultRoute, send: asks(ns1IP, ns1IP), reason: "arp_ignored"},
		{name: "A3_reply_is_not_answered", from: "ns1", reason: "arp_ignored",
			send: arp(packet.ARPReply, ns1MAC, ns1IP, gatewayMAC, gateway, gatewayMAC)},
	}
}

// A2: what is malformed is ignored.
func malformedRows() (rows []row) {
	for name, change := range map[string]func(b []byte){
		"hardware_type":   func(b []byte) { b[1] = 6 },
		"protocol_type":   func(b []byte) { b[3] = 1 },
		"hardware_length": func(b []byte) { b[4] = 8 },
		"protocol_length": func(b []byte) { b[5] = 6 },
		"operation":       func(b []byte) { b[7] = 3 },
		"group_sender":    func(b []byte) { b[8] |= 1 },
		"no_sender":       func(b []byte) { copy(b[8:14], make([]byte, 6)) },
		"multicast":       func(b []byte) { b[14] = 224 },
	} {
		bad := broken(asks(ns1IP, gateway), func(f *packet.Frame) { change(f.Payload()) })
		rows = append(rows, row{name: "A2_" + name, from: "ns1", send: bad, reason: "arp_malformed"})
	}
	short := broken(asks(ns1IP, gateway), func(f *packet.Frame) { f.Len = packet.EthernetLen + packet.ARPLen - 1 })
	return append(rows, row{name: "A2_cut_short", from: "ns1", send: short, reason: "arp_malformed"})
}

// A4: a proxy reply is right if a packet to the target could be forwarded, and
// leaves by another port.
func proxyRows() []row {
	blackhole := func(b *bed) {
		b.route(rib.Route{Prefix: prefix("10.70.2.9/32"), Type: rib.Blackhole, Port: rib.NoPort, Source: rib.Static})
	}
	broadcast := func(b *bed) {
		b.route(rib.Route{Prefix: prefix("192.168.0.255/32"), Type: rib.Broadcast, Port: b.uplinkID, Dev: "ens160", Source: rib.Connected})
	}
	gone := func(b *bed) {
		b.router.RemovePort(b.portID("ns2"))
	}
	rows := []row{
		{name: "A4_behind_the_uplink", from: "ns1", send: asks(ns1IP, farIP), out: "ns1", check: says(farIP)},
		{name: "A4_behind_another_workloads_port", from: "ns1", send: asks(ns1IP, ns2IP), out: "ns1", check: says(ns2IP)},
		{name: "A4_the_host", from: "ns1", send: asks(ns1IP, hostIP), out: "ns1", check: says(hostIP)},
		{name: "A4_no_route", from: "ns1", send: asks(ns1IP, "10.99.0.1"), reason: "arp_ignored"},
		{name: "A4_blackhole", from: "ns1", setup: blackhole, send: asks(ns1IP, "10.70.2.9"), reason: "arp_ignored"},
		{name: "A4_directed_broadcast", from: "ns1", setup: broadcast, send: asks(ns1IP, "192.168.0.255"), reason: "arp_ignored"},
		{name: "A4_the_askers_own", from: "ns1", send: asks("10.70.1.99", ns1IP), reason: "arp_ignored"},
		{name: "A4_port_that_is_gone", from: "ns1", setup: gone, send: asks(ns1IP, ns2IP), reason: "arp_ignored"},
	}
	// What may not be forwarded is not to be claimed either: RFC 3927 7 has a
	// link-local address stay with whoever has it on the link.
	for _, target := range []string{"169.254.7.7", "127.0.0.1", "0.0.0.1", "224.0.0.1", "255.255.255.255"} {
		rows = append(rows, row{name: "A4_not_forwarded_" + target, from: "ns1", setup: defaultRoute, send: asks(ns1IP, target), reason: "arp_ignored"})
	}
	return rows
}

func (b *bed) portID(name string) int {
	b.t.Helper()
	for _, p := range b.router.Stats().Ports {
		if p.Name == name {
			return p.ID
		}
	}
	b.t.Fatalf("there is no port %s", name)
	return 0
}

func TestARPRequestsAreCounted(t *testing.T) {
	b := newBed(t)
	b.ns1.Send(asks(ns1IP, gateway), asks(ns1IP, gateway), asks(ns1IP, hostIP), asks(ns1IP, farIP), asks(ns1IP, "10.99.0.1"))
	b.uplink.Send(asks(peerIP, hostIP), asks(peerIP, farIP))
	want := map[string][arpproxy.NumAnswers]uint64{
		"ns1":    {arpproxy.Gateway: 2, arpproxy.Own: 1, arpproxy.Proxy: 1, arpproxy.Ignored: 1},
		"ns2":    {},
		"ens160": {arpproxy.Own: 1, arpproxy.Ignored: 1},
	}
	for _, p := range b.router.Stats().Ports {
		if p.ARPRequests != want[p.Name] {
			t.Errorf("%s: %v, want %v", p.Name, p.ARPRequests, want[p.Name])
		}
	}
}

// A9: the router stays who it is, and says so once in ten seconds to who claims to be
// it (RFC 5227 2.4), whoever is asked for.
func TestARPDefence(t *testing.T) {
	defence := func(of string) *packet.Frame {
		return arp(packet.ARPRequest, gatewayMAC, of, packet.MAC{}, of, packet.Broadcast)
	}
	for name, c := range map[string]struct {
		claim *packet.Frame
		of    string
	}{
		"announcement":  {asks(gateway, gateway), gateway},
		"for_another":   {asks(gateway, farIP), gateway},
		"for_nobody":    {asks(gateway, "10.99.0.1"), gateway},
		"reply":         {arp(packet.ARPReply, ns1MAC, gateway, gatewayMAC, ns1IP, gatewayMAC), gateway},
		"of_the_host":   {asks(hostIP, hostIP), hostIP},
		"by_who_is_one": {asks(hostIP, gateway), hostIP},
	} {
		inTime(t, "A9_"+name, func(b *bed) {
			for range 3 {
				for range 20 {
					b.ns1.Send(c.claim)
				}
				if got := one(b.t, b.ns1); !bytes.Equal(got.Bytes(), defence(c.of).Bytes()[:got.Len]) || got.Len != 42 {
					b.t.Errorf("it was defended by %s", decode(got))
				}
				b.ns1.Send(asks(ns1IP, gateway), asks(nobody, gateway)) // an ordinary request is answered at once, a probe too
				for _, f := range b.ns1.Sent() {
					if m, _ := packet.ParseARP(f.Payload()); m.Op != packet.ARPReply || m.SenderIP != addr(gateway) {
						b.t.Errorf("the answer is %+v", m)
					}
				}
				pass(9900 * time.Millisecond)
				b.ns1.Send(c.claim)
				b.silent("ns1")
				pass(200 * time.Millisecond)
			}
			b.silent("ns2")
			b.silent("ens160")
			b.dropsAre("ns1", "", 0)
			s := b.router.Stats()
			if made := s.Made; made[forwarder.ARPRequest] != 3 || made[forwarder.ARPReply] != 6 {
				b.t.Errorf("%v were made", made)
			}
		})
	}
	inTime(t, "A9_each_port_on_its_own", func(b *bed) {
		b.ns1.Send(asks(gateway, gateway))
		b.ns2.Send(arp(packet.ARPRequest, ns2MAC, gateway, packet.MAC{}, gateway, packet.Broadcast))
		one(b.t, b.ns1)
		one(b.t, b.ns2)
	})
	inTime(t, "A9_its_own_words_back", func(b *bed) {
		b.ns1.Send(defence(gateway))
		one(b.t, b.ns1) // a reply, as to anybody who asks: no defence
		b.dropsAre("ns1", "", 0)
		if n := b.router.Stats().Ports[0].ARPRequests[arpproxy.Conflict]; n != 0 {
			b.t.Errorf("%d conflicts", n)
		}
	})
	inTime(t, "A9_on_the_uplink_the_hosts_own_stack", func(b *bed) {
		for _, of := range []string{hostIP, gateway} {
			for _, target := range []string{hostIP, farIP, of} {
				b.uplink.Send(arp(packet.ARPRequest, peerMAC, of, packet.MAC{}, target, packet.Broadcast))
			}
		}
		for _, port := range []string{"ns1", "ns2", "ens160"} {
			b.silent(port)
		}
		for _, n := range b.router.Neighbors() {
			if n.Addr == addr(hostIP) || n.Addr == addr(gateway) {
				b.t.Errorf("learnt: %+v", n)
			}
		}
	})
}

// The host's own stack asks by vrouter0 from the host's addresses, and claims nothing.
func TestARPFromTheHost(t *testing.T) {
	b := newBed(t)
	host := link.NewMemory()
	b.add(forwarder.PortConfig{Name: "vrouter0", Kind: forwarder.Host, Interface: "vrouter0", MAC: gatewayMAC, MTU: 1500}, host)
	for range 3 {
		host.Send(arp(packet.ARPRequest, ns2MAC, hostIP, packet.MAC{}, gateway, packet.Broadcast))
		if m, _ := packet.ParseARP(one(t, host).Payload()); m.Op != packet.ARPReply || m.SenderIP != addr(gateway) {
			t.Errorf("the answer is %+v", m)
		}
	}
	for range 3 {
		host.Send(arp(packet.ARPRequest, ns2MAC, gateway, packet.MAC{}, gateway, packet.Broadcast))
	}
	if m, _ := packet.ParseARP(one(t, host).Payload()); m.Op != packet.ARPRequest || m.SenderIP != addr(gateway) || m.SenderMAC != gatewayMAC {
		t.Errorf("the defence is %+v", m)
	}
}
