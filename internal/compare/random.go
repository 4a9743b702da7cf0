package compare

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
)

// Summary of many packets.
type Summary struct {
	Packets int            `json:"packets"`
	Alike   int            `json:"alike"`
	Reasons map[string]int `json:"reasons"` // how many packets differ for it
	Results []*Result      `json:"results"` // of random packets those with a difference that has no reason
}

// Unexplained is how many packets differ without a reason.
func (m *Summary) Unexplained() (n int) {
	for _, r := range m.Results {
		if !r.Explained() {
			n++
		}
	}
	return n
}

// Add counts a result.
func (m *Summary) Add(r *Result) {
	m.Packets++
	if len(r.Differences) == 0 {
		m.Alike++
	}
	if m.Reasons == nil {
		m.Reasons = map[string]int{}
	}
	counted := map[string]bool{"": true}
	for _, d := range r.Differences {
		if !counted[d.Reason] {
			counted[d.Reason] = true
			m.Reasons[d.Reason]++
		}
	}
	if !r.Explained() {
		m.Results = append(m.Results, r)
	}
}

// enough packets that differ without a reason are told; none is sent after them.
const enough = 20

// Random sends n random packets from the workloads, the same ones for the same seed.
func (a *Arena) Random(ctx context.Context, n int, seed uint64) (*Summary, error) {
	m := &Summary{Reasons: map[string]int{}, Results: []*Result{}}
	rng := rand.New(rand.NewPCG(seed, 0))
	g := a.generator(rng)
	for m.Packets < n && len(m.Results) < enough {
		from := pick(rng, a.Workloads())
		var shots []*shot
		for range min(n-m.Packets, volleySize) {
			shots = append(shots, newShot(from, a.frame(g.packet(a.vrouter.byOrigin[from]))))
		}
		list, err := a.volley(ctx, shots)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			m.Add(r)
		}
	}
	return m, nil
}

// generator makes packets that are mostly right. What names one of them to whoever sees it come out is another number for each.
type generator struct {
	rng      *rand.Rand
	number   uint16
	targets  [2][]netip.Addr // IPv4's and IPv6's: every kind of route, and addresses that may not be used
	strange  [2][]netip.Addr // that nobody of the lab sends from
	hostsOwn map[netip.Addr]bool
}

// nobodys are addresses that may not be used, or that nothing leads to.
var nobodys = [2][]string{
	{"8.8.8.8", "0.0.0.0", "0.1.2.3", "127.0.0.1", "169.254.3.3", "224.0.0.5", "240.0.0.1", "255.255.255.255"},
	{"2001:db8::1", "::", "::1", "ff02::1", "ff0e::1", "::ffff:10.70.2.1"},
}

func (a *Arena) generator(rng *rand.Rand) *generator {
	g := &generator{rng: rng, number: uint16(rng.Uint32()), hostsOwn: map[netip.Addr]bool{}}
	add := func(addr netip.Addr, times int) {
		f := family(addr)
		for range times {
			g.targets[f] = append(g.targets[f], addr)
		}
	}
	for _, p := range a.kernel.places {
		for _, addr := range p.addresses {
			add(addr, 4)
		}
	}
	for _, p := range append(append([]netip.Prefix{}, a.routes...), a.refused...) {
		if !p.IsSingleIP() && p.Bits() > 0 {
			add(p.Masked().Addr().Next().Next().Next(), 1)
		} else if p.IsSingleIP() {
			add(p.Addr(), 1)
		}
	}
	for _, h := range a.lab.Hosts { // not of a map: the order is to be the same
		for _, text := range h.Addresses {
			if p, err := netip.ParsePrefix(text); err == nil {
				g.hostsOwn[p.Addr()] = true
				if p.Addr().Is4() { // an IPv6 host speaks many things: docs/conformance.md has them
					add(p.Addr(), 1)
				}
			}
		}
	}
	for f, list := range nobodys {
		for _, text := range list {
			g.targets[f] = append(g.targets[f], netip.MustParseAddr(text))
		}
	}
	for _, gw := range a.gateways {
		if gw.Is4() {
			add(gw, 1)
		}
	}
	g.strange = [2][]netip.Addr{append(g.targets[0], netip.MustParseAddr("10.70.1.99")), append(g.targets[1], netip.MustParseAddr("fd00:70:1::99"))}
	return g
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

func (g *generator) one(n int) bool { return g.rng.IntN(n) == 0 }

// packet is one that a workload sends, and of which version it is to be.
func (g *generator) packet(from *place) (version int, b []byte) {
	if g.number++; g.number == 0 {
		g.number++
	}
	src := pick(g.rng, from.addresses)
	f := family(src)
	dst := pick(g.rng, g.targets[f])
	if g.one(12) {
		src = pick(g.rng, g.strange[f])
	}
	if f == 0 {
		return 4, g.packet4(src, dst, from.mtu)
	}
	return 6, g.packet6(src, dst, from.mtu)
}

func (g *generator) ttl() byte {
	if g.one(5) {
		return pick(g.rng, []byte{0, 1, 2, 255})
	}
	return 64
}

func (g *generator) packet4(src, dst netip.Addr, mtu int) []byte {
	var options []byte
	if g.one(6) && !g.hostsOwn[dst] {
		options = g.options()
	}
	hl := packet.IPv4MinLen + len(options)
	data, protocol := g.data4(src, dst, mtu-hl)
	b := make([]byte, hl+len(data))
	copy(b[packet.IPv4MinLen:], options)
	copy(b[hl:], data)
	b[0] = 0x40 | byte(hl/4)
	if g.one(4) {
		b[1] = byte(g.rng.Uint32())
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[4:], g.number)
	flags, offset := 0, 0
	if g.one(3) {
		flags = pick(g.rng, []int{2, 2, 2, 4, 6})
	}
	if !g.hostsOwn[dst] && g.one(8) { // what is put together there has tests of its own
		flags, offset = flags|g.rng.IntN(2), g.rng.IntN(pick(g.rng, []int{20, 8192}))
	}
	binary.BigEndian.PutUint16(b[6:], uint16(flags<<13|offset))
	b[8], b[9] = g.ttl(), protocol
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	packet.IPv4(b).SetChecksum()
	if g.one(10) {
		return g.fault4(b, mtu)
	}
	return b
}

// fault4 is a packet with something wrong.
func (g *generator) fault4(b []byte, mtu int) []byte {
	switch g.rng.IntN(5) {
	case 0:
		n := binary.BigEndian.Uint16(b[2:]) + uint16(pick(g.rng, []int{-1, 1, -8, 8, -1000, 1000, g.rng.IntN(65536)}))
		binary.BigEndian.PutUint16(b[2:], n)
		packet.IPv4(b).SetChecksum()
	case 1:
		if first := byte(g.rng.Uint32()); first>>4 != 4 {
			b[0] = first // with more words, the data would be options
		}
	case 2:
		b[11] += 1 + byte(g.rng.IntN(255))
	case 3:
		b = b[:max(1, len(b)-1-g.rng.IntN(60))]
	case 4:
		b = append(b, make([]byte, min(g.rng.IntN(60), mtu-len(b)))...)
	}
	return b
}

func (g *generator) bytes(n int) []byte {
	b := make([]byte, max(n, 0))
	for i := range b {
		b[i] = byte(g.rng.Uint32())
	}
	return b
}

// ports are a header of TCP or UDP that names the packet.
func (g *generator) ports(b []byte) {
	binary.BigEndian.PutUint16(b, g.number)
	binary.BigEndian.PutUint16(b[2:], uint16(40000+g.rng.IntN(100)))
}

func (g *generator) data4(src, dst netip.Addr, room int) ([]byte, byte) {
	n := pick(g.rng, []int{0, 1, 8, g.rng.IntN(64), 500 + g.rng.IntN(100), 1200 + g.rng.IntN(200), room - g.rng.IntN(10)})
	b := g.bytes(min(n, room))
	switch g.rng.IntN(8) {
	case 0, 1, 2:
		if len(b) >= 8 {
			g.ports(b)
			binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
			b[6], b[7] = 0, 0
		}
		return b, packet.ProtocolUDP
	case 3, 4:
		return g.icmp(pick(g.rng, []byte{8, 8, 8, 8, 0}), 0, uint32(g.number)<<16|g.rng.Uint32()&0xffff, b[min(len(b), 8):]), packet.ProtocolICMP
	case 5: // an ICMP error, about something or nothing
		about := make([]byte, packet.IPv4MinLen+8)
		packet.PutIPv4(about, &packet.Header{TotalLen: len(about), ID: g.number, TTL: 64, Protocol: packet.ProtocolUDP, Src: dst, Dst: src})
		return g.icmp(pick(g.rng, []byte{3, 3, 3, 4, 11, 12, byte(19 + g.rng.IntN(237)), byte(g.rng.IntN(5))}), byte(g.rng.IntN(16)),
			pick(g.rng, []uint32{0, 68, 1300, g.rng.Uint32()}), append(about, b[:len(b)/2]...)[:min(len(about)+len(b)/2, room-8)]), packet.ProtocolICMP
	case 6:
		if len(b) >= packet.TCPMinLen {
			g.ports(b)
			b[12] = b[12]&15 | 5<<4
			b[16], b[17] = 0, 0
			if g.one(2) {
				binary.BigEndian.PutUint16(b[16:], ^packet.Sum(b, pseudo(src, dst, packet.ProtocolTCP, len(b))))
			}
		}
		return b, packet.ProtocolTCP
	}
	if g.hostsOwn[dst] {
		return b, pick(g.rng, []byte{2, 47, 50, 89, 132, 255})
	}
	return b, byte(7 + g.rng.IntN(9))
}

// pseudo is the sum over the pseudo-header.
func pseudo(src, dst netip.Addr, protocol byte, n int) uint16 {
	b := append(src.AsSlice(), dst.AsSlice()...)
	return packet.Sum(binary.BigEndian.AppendUint32(b, uint32(protocol)<<16|uint32(n)), 0)
}

func (g *generator) icmp(typ, code byte, rest uint32, data []byte) []byte {
	b := append(binary.BigEndian.AppendUint32([]byte{typ, code, 0, 0}, rest), data...)
	binary.BigEndian.PutUint16(b[2:], packet.Checksum(b))
	return b
}

// options are mostly well formed, and end on a word.
func (g *generator) options() (o []byte) {
	for len(o) == 0 || len(o) < 36 && g.one(2) {
		one := pick(g.rng, [][]byte{
			{1}, {1, 1}, {0x9e, 4, 0xab, 0xcd}, {0x5e, 6, 1, 2, 3, 4}, {0x94, 4, 0, 0}, // experiment, copied or not; router alert
			{7, 7, 4, 0, 0, 0, 0}, {0x83, 7, 4, 10, 70, 2, 1}, {0x89, 7, 8, 10, 70, 2, 1},
			{0x86, 6, 0, 0, 0, 1}, {7, 3, 4}, {0x9e, 1}, {0x9e, 60}, {7, 39, 8}, {0},
		})
		if len(o)+len(one) > 40 {
			break
		}
		o = append(o, bytes.Clone(one)...)
	}
	return append(o, make([]byte, (4-len(o)%4)%4)...)
}

// echo is a ping.
func echo(src, dst netip.Addr) []byte {
	g := &generator{}
	if src.Is4() {
		data := g.icmp(packet.ICMPEchoRequest, 0, 0x77650001, make([]byte, 8))
		b := append(make([]byte, packet.IPv4MinLen), data...)
		packet.PutIPv4(b, &packet.Header{TotalLen: len(b), ID: 0x7765, TTL: 64, Protocol: packet.ProtocolICMP, Src: src, Dst: dst})
		return b
	}
	b := append(make([]byte, packet.IPv6MinLen), packet.ICMPv6EchoRequest, 0, 0, 0, 0x77, 0x65, 0, 1)
	packet.PutIPv6(b, &packet.Header6{PayloadLen: 8, NextHeader: packet.ProtocolICMPv6, HopLimit: 64, Src: src, Dst: dst})
	packet.SetICMPv6Checksum(b, packet.IPv6MinLen)
	return b
}
