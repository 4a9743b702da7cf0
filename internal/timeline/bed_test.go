package timeline_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/timeline"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// The tutorial's two hosts, a and b, on memory ports. The tests are the wire: they take
// what left one and give the other what is to come of it.
type bed struct {
	t    testing.TB
	a, b *side
}

// side is one host with the traced router on it.
type side struct {
	name, ip, workload string
	mac                packet.MAC // of the uplink
	ns1MAC             packet.MAC
	router             *engine.Router
	table              *rib.Table
	up                 int // the uplink's port
	ns1, uplink        *link.Memory
	listener           *trace.Listener
	shift              time.Duration // of its clock
}

var gatewayMAC = packet.MAC{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// newBed builds both; what goes between them is encapsulated or not, and cut to an MTU.
func newBed(t testing.TB, encap rib.Encap, mtu int) *bed {
	t.Helper()
	b := &bed{
		t: t,
		a: &side{name: "a", ip: "192.168.0.11", workload: "10.70.1.1", mac: packet.MAC{2, 0, 0, 0, 0, 11}, ns1MAC: packet.MAC{2, 0, 0, 0, 1, 1}},
		b: &side{name: "b", ip: "192.168.0.12", workload: "10.70.2.1", mac: packet.MAC{2, 0, 0, 0, 0, 12}, ns1MAC: packet.MAC{2, 0, 0, 0, 2, 1}},
	}
	b.a.build(t, b.b, encap, mtu)
	b.b.build(t, b.a, encap, mtu)
	return b
}

func (s *side) build(t testing.TB, peer *side, encap rib.Encap, mtu int) {
	t.Helper()
	table := rib.NewTable()
	s.table = table
	s.router = engine.New(table, slog.New(slog.DiscardHandler), nil, link.NewMemoryPoller())
	t.Cleanup(func() { s.router.Close() })
	s.router.Configure(forwarder.Settings{
		Gateway: addr("169.254.1.1"), Uplink: []forwarder.Subnet{{Prefix: netip.MustParsePrefix(s.ip + "/24").Masked(), Address: addr(s.ip)}},
		Own: []netip.Addr{addr(s.ip)}, RPF: true, Peers: []netip.Addr{addr(peer.ip)},
		VXLAN: forwarder.VXLAN{Port: packet.VXLANPort, VNI: 4096, Peers: []netip.Addr{addr(peer.ip)}},
	})
	s.ns1, s.uplink = link.NewMemory(), link.NewMemory()
	s.ns1.Offload, s.uplink.Offload = true, true
	port := func(c forwarder.PortConfig, m *link.Memory) int {
		id, err := s.router.AddPort(c, m)
		if err == nil {
			err = s.router.StartPort(id)
		}
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	ns1 := port(forwarder.PortConfig{Name: "ns1", Interface: "eth0", MAC: gatewayMAC, MTU: 1500, Addresses: []netip.Addr{addr(s.workload)}}, s.ns1)
	up := port(forwarder.PortConfig{Name: "ens160", Kind: forwarder.Uplink, Interface: "ens160", MAC: s.mac, MTU: mtu}, s.uplink)
	s.up = up
	s.router.SetNeighbor(ns1, addr(s.workload), s.ns1MAC)
	for _, r := range []rib.Route{
		{Prefix: netip.PrefixFrom(addr(s.workload), 32), Dev: "ns1", Port: ns1, Protocol: "workload", Source: rib.Workload},
		{Prefix: netip.MustParsePrefix("192.168.0.0/24"), Dev: "ens160", Port: up, Protocol: "kernel", Source: rib.Connected},
		{Prefix: netip.PrefixFrom(addr(peer.workload), 32), Via: addr(peer.ip), Dev: "ens160", Port: up, Protocol: "static", Source: rib.Static, Encap: encap},
	} {
		if err := table.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	f, err := filter.Parse("")
	if err != nil {
		t.Fatal(err)
	}
	if s.listener, err = s.router.Trace().Listen(trace.Options{Filter: f}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.listener.Close)
}

// resolve lets each host know the other's address, unseen.
func (b *bed) resolve() *bed {
	for _, x := range []struct{ at, of *side }{{b.a, b.b}, {b.b, b.a}} {
		x.at.uplink.Send(arp(packet.ARPRequest, x.of, x.at, packet.Broadcast))
		x.at.uplink.Sent()
		x.at.records()
	}
	return b
}

// records are those of a host since the last call.
func (s *side) records() (all []*trace.Packet) {
	done, cancel := context.WithCancel(context.Background())
	cancel() // so that Next does not wait
	for {
		var r trace.Record
		gap, err := s.listener.Next(done, &r)
		if err != nil {
			return all
		}
		p := r.View(s.name)
		p.Lost, p.Time = gap.Lost, p.Time.Add(s.shift)
		r.AddFrames(&p)
		all = append(all, &p)
	}
}

// carry takes what a host sent by its uplink to the other one, or what a function makes
// of it.
func (b *bed) carry(from, to *side, change func([]*packet.Frame) []*packet.Frame) {
	frames := from.uplink.Sent()
	if change != nil {
		frames = change(frames)
	}
	if len(frames) > 0 {
		to.uplink.Send(frames...)
	}
}

// across sends frames from a's workload to b, and returns what b's workload gets.
func (b *bed) across(change func([]*packet.Frame) []*packet.Frame, frames ...*packet.Frame) []*packet.Frame {
	b.a.ns1.Send(frames...)
	b.carry(b.a, b.b, change)
	return b.b.ns1.Sent()
}

// back sends frames from b's workload to a.
func (b *bed) back(frames ...*packet.Frame) {
	b.b.ns1.Send(frames...)
	b.carry(b.b, b.a, nil)
	b.a.ns1.Sent()
}

const within = time.Second

func (b *bed) options(clock string) timeline.Options {
	o := timeline.Options{Within: within}
	for _, s := range []*side{b.a, b.b} {
		o.Hosts = append(o.Hosts, timeline.Host{
			Name: s.name, Uplinks: []string{"ens160"}, MACs: []packet.MAC{s.mac}, Workloads: []netip.Addr{addr(s.workload)}, Clock: clock,
		})
	}
	return o
}

// began is the reader's clock when the first record comes. It has nothing to do with the
// hosts' clocks.
var began = time.Unix(1000, 0)

// join gives records to a joiner, and returns its ways when all time is over.
func join(o timeline.Options, records []*trace.Packet) []*timeline.Way {
	j := timeline.New(o)
	for _, p := range records {
		j.Add(p, began)
	}
	return j.Expire(began.Add(within))
}

// outline is a way in one line: each record by its part, host and ports, and where it
// came from; then what became of the packet and of the reply.
func outline(w *timeline.Way) string {
	var b strings.Builder
	for _, p := range w.Packets {
		fmt.Fprintf(&b, "%s %s %s>%s", p.Part, p.Host, p.In, p.Out)
		if p.From != "" {
			b.WriteString(" from " + p.From)
		}
		if p.Unseen != "" {
			b.WriteString(" unseen " + p.Unseen)
		}
		b.WriteString("; ")
	}
	return b.String() + strings.Join(strings.Fields(w.Outcome+" "+w.Reason+" "+w.Reply), " ")
}

// orders are the records of two hosts as they may come: one host's before the other's, in
// turns, and those that caused others last, as they may have waited for ARP.
func orders(a, b []*trace.Packet) map[string][]*trace.Packet {
	var turns []*trace.Packet
	for i := range max(len(a), len(b)) {
		if i < len(b) {
			turns = append(turns, b[i])
		}
		if i < len(a) {
			turns = append(turns, a[i])
		}
	}
	isCause := func(p *trace.Packet) int {
		if slices.ContainsFunc(turns, func(o *trace.Packet) bool { return o.Host == p.Host && o.Cause == p.ID }) {
			return 1
		}
		return 0
	}
	late := slices.Clone(turns)
	slices.SortStableFunc(late, func(a, b *trace.Packet) int { return isCause(a) - isCause(b) })
	return map[string][]*trace.Packet{"a first": slices.Concat(a, b), "b first": slices.Concat(b, a), "in turns": turns, "causes last": late}
}

func serialise(l ...gopacket.SerializableLayer) *packet.Frame {
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		panic(err)
	}
	f := packet.FrameOf(buf.Bytes())
	if ip, ok := l[1].(*layers.IPv4); ok {
		f.Trim(int(ip.Length)) // gopacket pads short frames
	}
	return f
}

func arp(op uint16, from, to *side, dst packet.MAC) *packet.Frame {
	eth := &layers.Ethernet{SrcMAC: from.mac[:], DstMAC: dst[:], EthernetType: layers.EthernetTypeARP}
	return serialise(eth, &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: op,
		SourceHwAddress: from.mac[:], SourceProtAddress: addr(from.ip).AsSlice(), DstHwAddress: to.mac[:], DstProtAddress: addr(to.ip).AsSlice(),
	})
}

// ip is a packet from one host's workload to the other's.
func ip(from, to *side, proto layers.IPProtocol, id uint16, df bool) (*layers.Ethernet, *layers.IPv4) {
	h := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Id: id, Protocol: proto, SrcIP: addr(from.workload).AsSlice(), DstIP: addr(to.workload).AsSlice()}
	if df {
		h.Flags = layers.IPv4DontFragment
	}
	return &layers.Ethernet{SrcMAC: from.ns1MAC[:], DstMAC: gatewayMAC[:], EthernetType: layers.EthernetTypeIPv4}, h
}

func echo(from, to *side, kind uint8, id, seq uint16, length int) *packet.Frame {
	eth, h := ip(from, to, layers.IPProtocolICMPv4, id, false)
	icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, 0), Id: 41, Seq: seq}
	return serialise(eth, h, icmp, gopacket.Payload(make([]byte, length)))
}

func (b *bed) ping(id, seq uint16, length int) *packet.Frame {
	return echo(b.a, b.b, packet.ICMPEchoRequest, id, seq, length)
}

func (b *bed) pong(seq uint16, length int) *packet.Frame {
	return echo(b.b, b.a, packet.ICMPEchoReply, 900+seq, seq, length)
}

func udp(from, to *side, id uint16, df bool, port uint16, text string) *packet.Frame {
	eth, h := ip(from, to, layers.IPProtocolUDP, id, df)
	u := &layers.UDP{SrcPort: layers.UDPPort(port), DstPort: 53}
	_ = u.SetNetworkLayerForChecksum(h)
	return serialise(eth, h, u, gopacket.Payload(text))
}

// superframe is 10,000 bytes in TCP that the kernel has left uncut.
func superframe(from, to *side, seq uint32) *packet.Frame {
	eth, h := ip(from, to, layers.IPProtocolTCP, 500, true)
	tcp := &layers.TCP{SrcPort: 80, DstPort: 9999, Seq: seq, Ack: 7, ACK: true, Window: 100}
	_ = tcp.SetNetworkLayerForChecksum(h)
	f := serialise(eth, h, tcp, gopacket.Payload(make([]byte, 10000)))
	f.Offload = packet.Offload{Flags: 1, GSOType: packet.GSOTCPv4, GSOSize: 1448, CsumStart: 34, CsumOffset: 16, HeaderLen: 54}
	return f
}

func ack(from, to *side, number uint32) *packet.Frame {
	eth, h := ip(from, to, layers.IPProtocolTCP, 77, true)
	tcp := &layers.TCP{SrcPort: 9999, DstPort: 80, Seq: 7, Ack: number, ACK: true, Window: 100}
	_ = tcp.SetNetworkLayerForChecksum(h)
	return serialise(eth, h, tcp)
}

// segment is a short one, with this identification.
func segment(from, to *side, id uint16) *packet.Frame {
	eth, h := ip(from, to, layers.IPProtocolTCP, id, true)
	tcp := &layers.TCP{SrcPort: 80, DstPort: 9999, Seq: 1000, Ack: 7, ACK: true, PSH: true, Window: 100}
	_ = tcp.SetNetworkLayerForChecksum(h)
	return serialise(eth, h, tcp, gopacket.Payload("0123456789"))
}

// route adds one by the other host.
func (s *side) route(t testing.TB, to string, via *side) {
	t.Helper()
	if err := s.table.Add(rib.Route{Prefix: netip.MustParsePrefix(to), Via: addr(via.ip), Dev: "ens160", Port: s.up, Protocol: "static", Source: rib.Static}); err != nil {
		t.Fatal(err)
	}
}

// segments is what a device makes of superframes.
func segments(frames []*packet.Frame) (all []*packet.Frame) {
	for _, f := range frames {
		if !f.Offload.IsGSO() {
			all = append(all, f)
			continue
		}
		packet.Segment(f, func() *packet.Frame {
			g := packet.NewFrame()
			all = append(all, &g)
			return &g
		})
	}
	return all
}

// fragments is what a router with a small MTU on the way makes of frames.
func fragments(frames []*packet.Frame) (all []*packet.Frame) {
	for _, f := range frames {
		all = append(all, f)
		f.FinishChecksum()
		packet.Fragment(f, 600, func() *packet.Frame {
			g := packet.NewFrame()
			all = append(all, &g)
			return &g
		})
	}
	return all
}

// hop is what any router on the way does.
func hop(frames []*packet.Frame) []*packet.Frame {
	for _, f := range frames {
		h := packet.IPv4(f.Payload())
		h.SetTTL(h.TTL() - 1)
		copy(f.Bytes()[6:12], []byte{2, 9, 9, 9, 9, 9})
	}
	return frames
}

func lose([]*packet.Frame) []*packet.Frame { return nil }
