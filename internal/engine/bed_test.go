package engine_test

import (
	"log/slog"
	"net/netip"
	"runtime"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"go.uber.org/goleak"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The tutorial's first host, on memory ports: ns1 and a second workload ns2, the
// uplink ens160, and the other host at its far end.
var (
	gatewayMAC = packet.MAC{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}
	ns1MAC     = packet.MAC{2, 0, 0, 0, 1, 1}
	ns2MAC     = packet.MAC{2, 0, 0, 0, 1, 2}
	uplinkMAC  = packet.MAC{2, 0, 0, 0, 0, 11}
	peerMAC    = packet.MAC{2, 0, 0, 0, 0, 12}
)

const (
	gateway = "169.254.1.1"
	ns1IP   = "10.70.1.1"
	ns2IP   = "10.70.1.2"
	hostIP  = "192.168.0.11"
	peerIP  = "192.168.0.12"
	farIP   = "10.70.2.1" // the other host's workload
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

type bed struct {
	t                testing.TB
	router           *engine.Router
	rib              *rib.Table
	ns1, ns2, uplink *link.Memory
	uplinkID         int
	settings         forwarder.Settings
}

// newBed builds the host. Each test ends with balanced books.
func newBed(t testing.TB) *bed {
	t.Helper()
	return newBedOn(t, pollers()...)
}

// newBedOn builds it with a worker for each poller.
func newBedOn(t testing.TB, pollers ...link.Poller) *bed {
	t.Helper()
	b := &bed{t: t, rib: rib.NewTable()}
	b.router = engine.New(b.rib, slog.New(slog.DiscardHandler), nil, pollers...)
	b.settings = forwarder.Settings{
		Gateway: addr(gateway),
		Uplink:  []forwarder.Subnet{{Prefix: prefix("192.168.0.0/24"), Address: addr(hostIP)}}, Own: []netip.Addr{addr(hostIP)},
		RPF: true, Peers: []netip.Addr{addr(peerIP)},
	}
	b.router.Configure(b.settings)
	b.ns1 = b.workload("ns1", ns1IP, ns1MAC)
	b.ns2 = b.workload("ns2", ns2IP, ns2MAC)
	b.uplink = link.NewMemory()
	b.uplinkID = b.add(forwarder.PortConfig{Name: "ens160", Kind: forwarder.Uplink, Interface: "ens160", MAC: uplinkMAC, MTU: 1500}, b.uplink)
	b.route(rib.Route{Prefix: prefix("192.168.0.0/24"), Dev: "ens160", Port: b.uplinkID, Protocol: "kernel", Source: rib.Connected})
	b.via(farIP+"/32", peerIP, rib.None)
	t.Cleanup(func() {
		if n := b.router.Stats().Imbalance; n != 0 {
			t.Errorf("the books are out of balance by %d packets", n)
		}
		b.router.Close()
	})
	return b
}

// pollers are as many as a router has workers if nobody says how many.
func pollers() (all []link.Poller) {
	for range max(1, runtime.GOMAXPROCS(0)/2) {
		all = append(all, link.NewMemoryPoller())
	}
	return all
}

func (b *bed) add(c forwarder.PortConfig, m *link.Memory) int {
	b.t.Helper()
	id, err := b.router.AddPort(c, m)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.router.StartPort(id); err != nil {
		b.t.Fatal(err)
	}
	return id
}

// offloads has ports take frames with checksums and segments left to do.
func (b *bed) offloads(ports ...*link.Memory) { b.leaves(true, ports...) }

// leaves has ports take such frames, or not.
func (b *bed) leaves(offload bool, ports ...*link.Memory) {
	for _, m := range ports {
		m.Offload = offload
		for _, p := range b.router.Stats().Ports {
			if b.port(p.Name) == m {
				b.router.UpdatePort(p.ID, p.PortConfig)
			}
		}
	}
}

func (b *bed) workload(name, ip string, mac packet.MAC) *link.Memory {
	b.t.Helper()
	m := link.NewMemory()
	id := b.add(forwarder.PortConfig{Name: name, Interface: "eth0", MAC: gatewayMAC, MTU: 1500, Addresses: []netip.Addr{addr(ip)}}, m)
	b.router.SetNeighbor(id, addr(ip), mac)
	b.route(rib.Route{Prefix: prefix(ip + "/32"), Dev: name, Port: id, Protocol: "workload", Source: rib.Workload})
	return m
}

func (b *bed) route(r rib.Route) {
	b.t.Helper()
	if err := b.rib.Add(r); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) via(to, via string, encap rib.Encap) {
	b.t.Helper()
	b.route(rib.Route{
		Prefix: prefix(to), Via: addr(via), Dev: "ens160", Port: b.uplinkID,
		Protocol: "static", Source: rib.Static, Encap: encap,
	})
}

// resolve lets the other host ask for this one, so that its address is known.
func (b *bed) resolve() {
	b.uplink.Send(arp(packet.ARPRequest, peerMAC, peerIP, packet.MAC{}, hostIP, packet.Broadcast))
	b.uplink.Sent()
}

// dropped is the count of drops with a reason at a port.
func (b *bed) dropped(port, reason string) (n uint64) {
	for _, p := range b.router.Stats().Ports {
		if p.Name == port {
			n = p.Received.Drop(reason)
		}
	}
	return n
}

// frame serialises layers, with lengths and checksums computed.
func frame(l ...gopacket.SerializableLayer) *packet.Frame {
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		panic(err)
	}
	f := packet.FrameOf(buf.Bytes())
	switch ip := l[1].(type) { // gopacket pads short frames
	case *layers.IPv4:
		f.Trim(int(ip.Length))
	case *layers.IPv6:
		f.Trim(packet.IPv6MinLen + int(ip.Length))
	}
	return f
}

func ether(src, dst packet.MAC) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: layers.EthernetTypeIPv4}
}

func ip4(src, dst string, proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Id: 7, Protocol: proto, SrcIP: addr(src).AsSlice(), DstIP: addr(dst).AsSlice()}
}

func echo(seq uint16) *layers.ICMPv4 {
	return &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 41, Seq: seq}
}

// ping is an echo request from ns1.
func ping(dst string) *packet.Frame {
	return frame(ether(ns1MAC, gatewayMAC), ip4(ns1IP, dst, layers.IPProtocolICMPv4), echo(1), gopacket.Payload("0123456789"))
}

func arp(op uint16, fromMAC packet.MAC, from string, toMAC packet.MAC, to string, dst packet.MAC) *packet.Frame {
	eth := ether(fromMAC, dst)
	eth.EthernetType = layers.EthernetTypeARP
	return frame(eth, &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: op, SourceHwAddress: fromMAC[:], SourceProtAddress: addr(from).AsSlice(),
		DstHwAddress: toMAC[:], DstProtAddress: addr(to).AsSlice(),
	})
}

// one takes the only frame that a port sent, and fails if there is another number.
func one(t testing.TB, m *link.Memory) *packet.Frame {
	t.Helper()
	sent := m.Sent()
	if len(sent) != 1 {
		t.Fatalf("%d frames were sent, want 1: %v", len(sent), sent)
	}
	return sent[0]
}

func silent(t testing.TB, ports ...*link.Memory) {
	t.Helper()
	for i, m := range ports {
		if sent := m.Sent(); len(sent) != 0 {
			t.Errorf("port %d of those that should be silent sent % x", i, sent[0].Bytes())
		}
	}
}

func decode(f *packet.Frame) gopacket.Packet {
	return gopacket.NewPacket(f.Bytes(), layers.LayerTypeEthernet, gopacket.Default)
}
