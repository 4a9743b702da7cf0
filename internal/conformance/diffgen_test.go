package conformance

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
)

// shot is a packet to be sent by a port, described so that it can be simplified.
// Its IP identification says which of a volley it is; an echo carries it too.
type shot struct {
	port    int
	ip      ipPacket
	station mac // to which it is sent; zero: the router's
	// What is wrong with its header, if anything.
	lengthBy int  // added to the total length
	first    byte // version and header length, if not 0
	sumBy    byte // added to the checksum
	cut      int  // bytes of the end that are missing
	pad      int  // bytes behind the end
}

// simpler are steps towards the simplest packet that makes a difference.
var simpler = []func(shot) shot{
	func(s shot) shot { s.station = mac{}; return s },
	func(s shot) shot { s.lengthBy = 0; return s },
	func(s shot) shot { s.first = 0; return s },
	func(s shot) shot { s.sumBy = 0; return s },
	func(s shot) shot { s.cut = 0; return s },
	func(s shot) shot { s.pad = 0; return s },
	func(s shot) shot { s.ip.options = nil; return s },
	func(s shot) shot { s.ip.tos = 0; return s },
	func(s shot) shot { s.ip.flags, s.ip.offset = 0, 0; return s },
	func(s shot) shot { s.ip.ttl = 64; return s },
	func(s shot) shot { s.ip.proto, s.ip.data = protoUDP, udp(40000, 40001, nil); return s },
}

func (s shot) frame(in *port) []byte {
	ip := s.ip.bytes()
	if s.first != 0 || s.lengthBy != 0 {
		if s.first != 0 {
			ip[0] = s.first
		}
		binary.BigEndian.PutUint16(ip[2:], binary.BigEndian.Uint16(ip[2:])+uint16(s.lengthBy))
		binary.BigEndian.PutUint16(ip[10:], 0)
		binary.BigEndian.PutUint16(ip[10:], inetSum(ip[:min(len(ip), max(20, int(ip[0]&15)*4))]))
	}
	ip[11] += s.sumBy
	ip = append(ip[:max(1, len(ip)-s.cut)], make([]byte, s.pad)...)
	to := in.router
	if s.station != (mac{}) {
		to = s.station
	}
	return eth(to, in.station(), typeIPv4, ip)
}

// Where packets go to, and where they say they come from: every kind of route, and
// addresses that may not be used.
var (
	diffTargets = []string{
		farIP, farIP, farIP, hairpinIP, "10.70.3.200", ns1IP, ns1IP, ns2IP, ns2IP, peerIP, hostIP, hostIP,
		"10.70.9.1", "10.70.10.1", "10.70.11.1", "10.99.0.1", "8.8.8.8",
		"0.0.0.0", "0.1.2.3", "127.0.0.1", "169.254.3.3", gatewayIP, "224.0.0.5", "240.0.0.1", "255.255.255.255", "192.168.0.255",
	}
	diffSources = append([]string{peer13IP, "10.70.1.99", "192.168.0.200"}, diffTargets...)
)

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// random is a packet that is mostly right.
func (d *duel) random(rng *rand.Rand, in int, id uint16) shot {
	at := d.linux.ports()[in]
	mtu := min(at.mtu, diffUplinkMTU) // the other end of ens160 takes no more
	if in == 0 {
		mtu = at.mtu
	}
	one := func(n int) bool { return rng.IntN(n) == 0 }
	s := shot{port: in, ip: ipPacket{id: id, src: at.ip, dst: pick(rng, diffTargets), ttl: 64}}
	if at.isUplink() {
		s.ip.src = pick(rng, []string{farIP, farIP, farIP, "10.70.3.77", peerIP})
	}
	if one(12) {
		s.ip.src = pick(rng, diffSources)
	}
	if one(5) {
		s.ip.ttl = pick(rng, []int{-1, 1, 2, 255})
	}
	if one(4) {
		s.ip.tos = byte(rng.Uint32())
	}
	if one(6) {
		s.ip.options = randomOptions(rng)
	}
	if at.isUplink() && s.ip.dst == hostIP { // a kernel answers on both benches, and writes its clock into timestamps
		s.ip.options = nil
	}
	if one(3) {
		s.ip.flags = byte(pick(rng, []int{2, 2, 2, 4, 6, 3}))
	}
	randomPayload(rng, &s, mtu)
	if s.ip.dst != hostIP && s.ip.dst != gatewayIP && one(8) { // what is put together there has tests of its own
		s.ip.flags, s.ip.offset = s.ip.flags|byte(rng.IntN(2)), rng.IntN(8192)*8
		if one(2) {
			s.ip.offset = rng.IntN(20) * 8
		}
	} else {
		s.ip.flags &^= 1
	}
	if one(10) {
		randomFault(rng, &s, mtu)
	}
	return s
}

func randomPayload(rng *rand.Rand, s *shot, mtu int) {
	room := mtu - 20 - len(s.ip.options)
	n := pick(rng, []int{0, 1, 8, rng.IntN(64), 500 + rng.IntN(100), 1200 + rng.IntN(200), room - rng.IntN(10), 1240 + rng.IntN(42), 1360 + rng.IntN(42)})
	n = min(n, room)
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	id := uint32(s.ip.id) << 16
	switch rng.IntN(8) {
	case 0, 1, 2: // UDP
		s.ip.proto = protoUDP
		if n >= 8 {
			copy(b, udp(uint16(rng.Uint32()), uint16(40000+rng.IntN(100)), b[8:])[:8])
		}
		if n >= 58 && rng.IntN(4) == 0 { // somebody's VXLAN, which is nothing but datagrams to who speaks none
			inner := ipPacket{src: farIP, dst: ns1IP, data: b[58:]}.bytes()
			copy(b, udp(50000, 4789, append([]byte{8, 0, 0, 0, 0, 16, 0, 0}, eth(peerVTEP, hostVTEP, typeIPv4, inner)...)))
		}
	case 3, 4: // echo
		s.ip.proto = protoICMP
		b = icmp(pick(rng, []byte{8, 8, 8, 8, 0}), 0, id|rng.Uint32()&0xffff, b[min(n, 8):])
	case 5: // an ICMP error, about something or nothing
		s.ip.proto = protoICMP
		about := ipPacket{src: s.ip.dst, dst: s.ip.src, id: s.ip.id}.bytes()
		b = icmp(pick(rng, []byte{3, 3, 3, 4, 5, 11, 12, byte(19 + rng.IntN(237)), byte(rng.IntN(8))}), byte(rng.IntN(16)), pick(rng, []uint32{0, 68, 1300, rng.Uint32()}), append(about[:min(len(about), 28)], b[:n/2]...))
	case 6:
		s.ip.proto = protoTCP
	default:
		s.ip.proto = pick(rng, []byte{2, 47, 50, 89, 132, 255})
		if s.ip.dst != hostIP {
			s.ip.proto = byte(2 + rng.IntN(254))
		}
	}
	s.ip.data = b[:min(len(b), room)]
}

func randomFault(rng *rand.Rand, s *shot, mtu int) {
	switch rng.IntN(6) {
	case 0:
		s.station = pick(rng, []mac{broadcastMAC, {1, 0, 0x5e, 0, 0, 5}, {2, 9, 9, 9, 9, 9}})
	case 1:
		s.lengthBy = pick(rng, []int{-1, 1, -8, 8, -1000, 1000, rng.IntN(65536)})
	case 2:
		if s.first = byte(rng.Uint32()); s.first>>4 == 4 {
			s.first = 0x40 | s.first&15%6 // with more, the data would be options
		}
	case 3:
		s.sumBy = 1 + byte(rng.IntN(255))
	case 4:
		s.cut = 1 + rng.IntN(60)
	case 5:
		s.pad = min(rng.IntN(60), mtu-20-len(s.ip.options)-len(s.ip.data))
	}
}

// randomOptions are mostly well formed, and end on a word.
func randomOptions(rng *rand.Rand) (o []byte) {
	for len(o) == 0 || len(o) < 36 && rng.IntN(2) == 0 {
		one := bytes.Clone(pick(rng, [][]byte{
			{1}, {1, 1}, {0x9e, 4, 0xab, 0xcd}, {0x5e, 6, 1, 2, 3, 4}, {0x94, 4, 0, 0}, // experiment, copied or not; router alert
			{7, 7, 4, 0, 0, 0, 0}, {0x44, 8, 5, 0, 0, 0, 0, 0}, {0x83, 7, 4, 10, 70, 2, 1}, {0x89, 7, 8, 10, 70, 2, 1},
			{0x86, 6, 0, 0, 0, 1}, {7, 3, 4}, {0x9e, 1}, {0x9e, 60}, {7, 39, 8}, {0},
		}))
		if len(o)+len(one) > 40 {
			break
		}
		o = append(o, one...)
	}
	return append(o, make([]byte, (4-len(o)%4)%4)...)
}
