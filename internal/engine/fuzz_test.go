package engine_test

import (
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// fuzzBed is one host for all inputs, as building one costs more than a packet.
// It has routes of every kind, ports with and without offloads, and a listener.
func fuzzBed(f *testing.F) (*bed, *trace.Listener) {
	b := newBed(f)
	b.offloads(b.uplink, b.ns1)
	b.settings.RPF = false // so that more gets through
	b.router.Configure(b.settings)
	tunnel(b)
	dual(b)
	routes6(b)
	b.settings.VXLAN = forwarder.VXLAN{Port: packet.VXLANPort, VNI: 4096, Peers: b.settings.Peers}
	b.router.Configure(b.settings)
	for to, via := range map[string]string{"10.70.5.0/24": peerIP, "fd00:70:5::/48": peerIP, "10.70.6.0/24": peerIP6, "fd00:70:6::/48": peerIP6} {
		b.via(to, via, rib.VXLAN)
	}
	b.via("10.70.4.0/24", "192.168.0.99", rib.None) // nobody is there
	b.setMTU("ns2", 576)
	b.tunnelled(ping(tunnelIP)) // errors about a tunnel that was never used are not believed
	return b, b.listen(trace.Options{}, "")
}

// check reads the trace, as printers meet hostile bytes too, balances the books,
// and sends a ping that must still be forwarded.
func (b *bed) check(l *trace.Listener) {
	b.t.Helper()
	for _, p := range records(l) {
		if err := (trace.Text{}).Write(io.Discard, &p); err != nil {
			b.t.Error(err)
		}
	}
	b.books()
	b.resolve()
	b.ns1.Sent()
	b.ns2.Sent()
	b.ns1.Send(ping(farIP))
	pings := 0
	for _, f := range b.uplink.Sent() { // requests may be among them, at any time
		if ip := packet.IPv4(f.Payload()); f.EtherType() == packet.EtherTypeIPv4 && ip.Dst() == addr(farIP) && ip.TTL() == 63 {
			pings++
		}
	}
	b.resolve6()
	b.ns1.Send(ping6(ns1IP6, farIP6))
	for _, f := range b.uplink.Sent() {
		if ip := packet.IPv6(f.Payload()); f.EtherType() == packet.EtherTypeIPv6 && ip.Dst() == addr(farIP6) && ip.HopLimit() == 63 {
			pings++
		}
	}
	if pings != 2 {
		b.t.Errorf("%d pings came out, want 1 of each family", pings)
	}
	records(l)
}

// FuzzPipeline: whatever comes in by a port, the router does not panic, every
// packet has one verdict, and the next one is forwarded.
func FuzzPipeline(f *testing.F) {
	add := func(fr *packet.Frame) {
		var vnet [packet.VnetLen]byte
		fr.Offload.Put(vnet[:])
		f.Add(vnet[:], fr.Bytes())
	}
	for _, fr := range []*packet.Frame{
		ping(farIP), ping(ns2IP), ping(gateway), ping(tunnelIP), ping("10.70.4.1"), ping("10.99.0.1"), withTTL(ping(farIP), 1),
		asks(ns1IP, gateway), asks(ns1IP, farIP), arp(packet.ARPRequest, peerMAC, peerIP, packet.MAC{}, hostIP, packet.Broadcast),
		withOptions(ping(farIP), 7, 7, 4, 0, 0, 0, 0), sized(ns1MAC, ns1IP, ns2IP, 700), partial(sized(ns1MAC, ns1IP, farIP, 100), 6),
		edited(ping(farIP), func(ip packet.IPv4) { ip[6] = 0x20 }), edited(ping(gateway), func(ip packet.IPv4) { ip[6], ip[7] = 0, 1 }),
		ipip(peerIP, hostIP, fromPeer(), nil), ipip(peerIP, hostIP, fromPeer(), func(ip *layers.IPv4) { ip.TOS = 3 }),
		icmpOf(farIP, 3, 4, ping(farIP).Payload()), smallSuperframe(ns2IP), smallSuperframe(tunnelIP),
	} {
		add(fr)
	}
	for _, fr := range slices.Concat(tunnelSeeds(), seeds6(), vxlanSeeds()) {
		add(fr)
	}
	b, l := fuzzBed(f)
	f.Fuzz(func(t *testing.T, vnet, data []byte) {
		if len(vnet) < packet.VnetLen || len(data) > packet.EthernetLen+packet.IPv4MaxLen {
			return
		}
		b.t = t
		defer func() { b.t = f }()
		fr := packet.FrameOf(data)
		fr.Offload = packet.ParseOffload(vnet)
		for _, in := range []string{"ns1", "ens160"} {
			b.port(in).Send(fr)
			// The same, past the first two gates: for this station, checksum right.
			b.port(in).Send(made(fr, in))
		}
		b.check(l)
	})
}

// vxlanSeeds are packets that go into VXLAN, that come out of it, and errors about it.
func vxlanSeeds() (seeds []*packet.Frame) {
	seeds = append(seeds, ping("10.70.5.1"), ping("10.70.6.1"), ping6(ns1IP6, "fd00:70:5::1"), ping6(ns1IP6, "fd00:70:6::1"),
		smallSuperframe("10.70.5.1"), smallSuperframe("10.70.6.1"), sized(ns1MAC, ns1IP, "10.70.5.1", 1500))
	for _, k := range tunnelKinds {
		if k.encap != rib.VXLAN {
			continue
		}
		in := k.around(k.end, k.self, k.in(), 3)
		seeds = append(seeds, in)
		if addr(k.end).Is4() {
			seeds = append(seeds, partial(in.Clone(), 6))
		}
		quote := k.around(k.self, k.end, k.out(100), 0).Payload()
		seeds = append(seeds, k.error(3, 4, 2, 0, 1400, quote), k.error(3, 3, 1, 4, 0, quote), k.error(3, 1, 1, 3, 0, quote[:k.ipHeader()+8]), k.error(3, 1, 1, 3, 0, quote[:k.header()+9]))
	}
	return seeds
}

// tunnelSeeds are errors about tunnels, and fragments of what is put together here.
func tunnelSeeds() (seeds []*packet.Frame) {
	quote := withTTL(ipip(hostIP, peerIP, ping(tunnelIP), nil), 60).Payload()
	for _, e := range [][3]int{{3, 4, 576}, {3, 4, 0}, {3, 0, 0}, {3, 1, 0}, {3, 3, 0}, {3, 13, 0}, {11, 0, 0}, {12, 0, 1 << 24}, {4, 0, 0}, {5, 1, 0}} {
		seeds = append(seeds, about(byte(e[0]), byte(e[1]), e[2], quote))
	}
	seeds = append(seeds, about(3, 1, 0, quote[:28]), about(3, 1, 0, quote[:40]), ipip(peerIP, hostIP, ipip(peerIP, hostIP, fromPeer(), nil), nil))
	outer, _ := tunnelOf(220, 9)
	in := icmpOf(gateway, 8, 0, make([]byte, 192))
	for _, f := range []*packet.Frame{outer, in} {
		seeds = append(seeds, piece(f, 0, 96, true), piece(f, 96, 200, false), piece(f, 88, 104, true), piece(f, 65504, 65520, false))
	}
	return seeds
}

// made is a frame that is for the port's own station, whose header verifies.
func made(f *packet.Frame, port string) *packet.Frame {
	mac := gatewayMAC
	if port == "ens160" {
		mac = uplinkMAC
	}
	return broken(f, func(f *packet.Frame) {
		if f.Len < packet.EthernetLen {
			return
		}
		f.SetEthernet(mac, f.SrcMAC(), f.EtherType())
		if ip := packet.IPv4(f.Payload()); len(ip) >= packet.IPv4MinLen && len(ip) >= ip.HeaderLen() && ip.HeaderLen() >= packet.IPv4MinLen && f.EtherType() == packet.EtherTypeIPv4 {
			ip.SetChecksum()
		}
		if ip := packet.IPv6(f.Payload()); f.EtherType() == packet.EtherTypeIPv6 && len(ip) >= packet.IPv6MinLen+packet.ICMPHeaderLen && ip.NextHeader() == packet.ProtocolICMPv6 {
			packet.SetICMPv6Checksum(ip, packet.IPv6MinLen)
		}
	})
}

// seeds6 are frames of IPv6 of each kind that a router must look at.
func seeds6() (seeds []*packet.Frame) {
	for seed := range uint64(100) {
		_, f := anyFrame6(rand.New(rand.NewPCG(seed, 0)), nil)
		seeds = append(seeds, f)
	}
	for _, f := range seeds {
		if f.Offload.IsGSO() { // a short one finds as much, sooner
			f.Offload.GSOSize = 60
			f.Trim(300)
			f.Payload()[4], f.Payload()[5] = 1, 4
		}
	}
	return seeds
}

func smallSuperframe(to string) *packet.Frame {
	f := edited(fromNS1(to), func(ip packet.IPv4) { ip[2], ip[3] = 0, 250 })
	f.Trim(250)
	f.Offload.GSOSize = 60
	return f
}

// FuzzICMPQuote: whatever a packet holds that is told of, the error quotes it as
// it came, and is right in itself.
func FuzzICMPQuote(f *testing.F) {
	f.Add(byte(17), uint16(0), []byte{}, []byte("payload"))
	f.Add(byte(1), uint16(0x4000), []byte{7, 7, 4, 0, 0, 0, 0, 0}, []byte{8, 0, 0, 0, 0, 0, 0, 0})
	f.Add(byte(1), uint16(0x2000), []byte{}, []byte{3, 0})
	f.Add(byte(6), uint16(1), []byte{}, make([]byte, 1000))
	b, l := fuzzBed(f)
	f.Fuzz(func(t *testing.T, protocol byte, fragment uint16, options, data []byte) {
		if len(options) > 40 || len(data) > 1400 {
			return
		}
		b.t = t
		defer func() { b.t = f }()
		in := frame(ether(ns1MAC, gatewayMAC), ip4(ns1IP, farIP, layers.IPProtocol(protocol)), payload(data))
		in = edited(withOptions(in, options...), func(ip packet.IPv4) { ip[6], ip[7], ip[8] = byte(fragment>>8), byte(fragment), 1 })
		b.ns1.Send(in)
		if out := b.ns1.Sent(); len(out) > 0 { // it is limited, and not due about an error or a fragment
			tellsOf(11, 0)(t, in, out[0])
			if ip := packet.IPv4(in.Payload()); ip.FragOffset() != 0 || packet.IsICMPError(packet.IP(ip)) {
				t.Error("an error about an error, or about a fragment")
			}
		}
		b.silent("ns2")
		b.check(l)
	})
}
