package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// shot6 is an IPv6 packet to be sent by a port. Its flow label says which of a volley it is.
type shot6 struct {
	port int
	ip   ip6Packet
	pad  int  // bytes behind the end
	cut  int  // bytes of the end that are missing
	vers byte // version, if not 6
}

func (s shot6) frame(in *port) []byte {
	ip := s.ip.bytes()
	if s.vers != 0 {
		ip[0] = s.vers<<4 | ip[0]&15
	}
	return in.to6(append(ip[:len(ip)-s.cut], make([]byte, s.pad)...))
}

// TestDifferential6 is TestDifferential of IPv6.
func TestDifferential6(t *testing.T) {
	lane.Lock()
	defer lane.Unlock()
	runtime.LockOSThread() // and never unlocked: the thread ends with this test
	pin()
	d := newDuelOf(t, options{six: true, uplinkMTU: diffUplinkMTU, ns2MTU: 1281})
	rng := rand.New(rand.NewPCG(*diffSeed, 6))
	start, failures := time.Now(), 0
	for more := func() bool {
		if *diffTime > 0 {
			return time.Since(start) < *diffTime
		}
		return d.packets < *diffPackets
	}; more() && failures < 5; {
		in := rng.IntN(3)
		shots := make([]shot6, 50+rng.IntN(100))
		for i := range shots {
			shots[i] = d.random6(rng, in, uint32(i+1))
		}
		failures += d.compare6(t, in, shots)
	}
	fmt.Printf("differential of IPv6: seed %d, %d packets in %v, %d unexplained differences; explained:\n", *diffSeed, d.packets, time.Since(start).Round(time.Second), failures)
	for _, name := range slices.Sorted(maps.Keys(d.explained)) {
		fmt.Printf("  %7d  %s\n", d.explained[name], name)
	}
}

func (d *duel) compare6(t *testing.T, in int, shots []shot6) (failures int) {
	t.Helper()
	d.packets += len(shots)
	d.pace(in, len(shots))
	ours, theirs := d.vrouter.volley6(in, shots), d.linux.volley6(in, shots)
	for _, s := range shots {
		o, l := ours[s.ip.flow], theirs[s.ip.flow]
		if slices.Equal(o, l) || d.explained6(s, o, l) {
			continue
		}
		failures++
		t.Errorf("into port %d differs:\n  sent    %+v\n  vrouter %v\n  linux   %v", in, s, o, l)
	}
	for side, out := range map[string]map[uint32][]string{"vrouter": ours, "linux": theirs} {
		if stray := out[strayID]; len(stray) > 0 {
			failures++
			t.Errorf("%s: frames that belong to no packet: %v", side, stray)
		}
	}
	return failures
}

// volley6 sends packets by a port, and returns what came out, by the packet that it came of.
func (b *Bench) volley6(in int, shots []shot6) map[uint32][]string {
	p := b.ports()[in]
	b.announce(peerIP, peerMAC)
	b.announcePeer6()
	b.flush(p)
	for _, s := range shots {
		b.must(p.send(s.frame(p)))
	}
	out := map[uint32][]string{}
	seen := b.flush(p)
	for _, at := range b.ports() {
		for _, f := range seen[at] {
			if typ := binary.BigEndian.Uint16(f[12:]); typ == typeARP || isND(f) || isICMP6(f, 137) {
				continue // a neighbour is asked for when it is time, not when a packet comes; and Linux redirects a workload to itself
			}
			id, text := b.told6(at, f)
			out[id] = append(out[id], text)
		}
	}
	return out
}

// told6 says which packet a frame came of, and writes it without what each contender may choose
// of a message of its own: its flow label and hop limit.
func (b *Bench) told6(at *port, f []byte) (id uint32, text string) {
	ip := bytes.Clone(f[14:])
	if len(ip) < 40 || ip[0]>>4 != 6 {
		return strayID, fmt.Sprintf("%s %x", at.name, f)
	}
	id = binary.BigEndian.Uint32(ip) & 0xfffff
	if ip[6] == protoICMP6 && len(ip) >= 88 && ip[40] < 128 && bytes.Equal(ip[8:24], ip6(hostIP6)) && sum6(ip[8:24], ip[24:40], protoICMP6, ip[40:]) == 0 {
		id = binary.BigEndian.Uint32(ip[48:]) & 0xfffff
		binary.BigEndian.PutUint32(ip, 6<<28)
		ip[7], ip[42], ip[43] = 0, 0, 0
		ip[55] = 0 // whether the quote has the hop limit as it came is open
	}
	stations := "usual"
	if !bytes.Equal(f[:14], at.from6(nil)) {
		stations = strings.ReplaceAll(fmt.Sprintf("%x", f[:14]), at.router.String(), "router")
	}
	return id, fmt.Sprintf("%s %s %x", at.name, stations, ip)
}

// Where packets go to, and where they say they come from: every kind of route, and addresses
// that may not be used.
var (
	diffTargets6 = []string{
		farIP6, farIP6, farIP6, hairpinIP6, "fd00:70:3::200", ns1IP6, ns1IP6, ns2IP6, ns2IP6, peerIP6,
		"fd00:70:9::1", "fd00:70:a::1", "fd00:70:b::1", "fd00:99::1", "2001:db8::1",
		"::", "::1", "ff02::1", "ff0e::1", "::ffff:10.70.2.1",
	}
	diffSources6 = append([]string{"fd00:70:1::99", "fd00:192::200"}, diffTargets6...)
)

// random6 is a packet that is mostly right.
func (d *duel) random6(rng *rand.Rand, in int, id uint32) shot6 {
	at := d.linux.ports()[in]
	mtu := at.mtu
	if in != 0 {
		mtu = min(mtu, diffUplinkMTU)
	}
	one := func(n int) bool { return rng.IntN(n) == 0 }
	s := shot6{port: in, ip: ip6Packet{flow: id, src: at.ip6Of(), dst: pick(rng, diffTargets6), hops: 64, next: protoUDP}}
	if at.isUplink() {
		s.ip.src = pick(rng, []string{farIP6, farIP6, farIP6, "fd00:70:3::77", peerIP6})
	}
	if one(12) {
		s.ip.src = pick(rng, diffSources6)
	}
	if one(5) {
		s.ip.hops = pick(rng, []int{-1, 1, 2, 255})
	}
	if one(4) {
		s.ip.class = byte(rng.Uint32())
	}
	n := min(pick(rng, []int{0, 1, 8, rng.IntN(64), 1160 + rng.IntN(80), mtu - 40 - rng.IntN(10), 1210 + rng.IntN(42), 1330 + rng.IntN(42)}), mtu-40)
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	switch rng.IntN(7) {
	case 0, 1:
		s.ip.next = pick(rng, []int{protoTCP, 47, 50, nextNone, 132, 253})
	case 2:
		s.ip.next, b = protoICMP6, icmp6(s.ip.src, s.ip.dst, pick(rng, []byte{1, 2, 3, 4, 100, 128, 129, 200}), byte(rng.IntN(8)), rng.Uint32(), b[:max(0, n-8)])
	case 3:
		s.ip.next, b = nextFragm, fragment6(protoUDP, rng.Uint32(), rng.IntN(8192)*8, one(2), b[:max(0, n-8)])
	}
	for range rng.IntN(3) {
		if len(b) >= 24 && s.ip.next != nextHop {
			kind := pick(rng, []int{nextDest, nextDest, nextRouting, nextHop})
			body := []byte{pick(rng, []byte{1, 0x1e, 0x3e}), 4, 0, 0, 0, 0}
			if kind == nextRouting {
				body = []byte{pick(rng, []byte{0, 2, 253}), byte(rng.IntN(2)), 0, 0, 0, 0}
			}
			s.ip.next, b = kind, extension(byte(max(s.ip.next, 0)), 0, body, b[:len(b)-8])
			if one(20) && kind != nextHop { // whose options Linux reads on the way
				b[1] = byte(rng.Uint32()) // its length
			}
		}
	}
	s.ip.data = b[:min(len(b), mtu-40)]
	switch {
	case one(20):
		s.vers = byte(rng.IntN(16))
	case one(20):
		s.cut = 1 + rng.IntN(min(40, 40+len(s.ip.data)-1))
	case one(20):
		s.pad = min(rng.IntN(60), mtu-40-len(s.ip.data))
	}
	return s
}

// deviations6 are differences that are meant, with the row of docs/conformance.md.
var deviations6 = []struct {
	name string
	is   func(d *duel, s shot6, ours, theirs []string) bool
}{
	{"V3: ::, ::1, groups and addresses that stand for IPv4's are dropped", func(_ *duel, s shot6, ours, _ []string) bool {
		return len(ours) == 0 && (unusable6(s.ip.src) || unusable6(s.ip.dst))
	}},
	{"V4: a workload's packet from an address that is not its own is dropped in silence; Linux has no filter", func(d *duel, s shot6, ours, _ []string) bool {
		return s.port != 2 && s.ip.src != d.linux.ports()[s.port].ip6Of() && len(ours) == 0
	}},
	{"V5: what has extension headers that do not end inside it is dropped; Linux does not look", func(d *duel, s shot6, ours, _ []string) bool {
		_, _, ok := behind(s.frame(d.linux.ports()[s.port])[14:])
		return len(ours) == 0 && !ok
	}},
	{"N2: Neighbor Discovery is for one link, and passed on to none; Linux passes on what is not for itself", func(d *duel, s shot6, ours, _ []string) bool {
		ip := s.frame(d.linux.ports()[s.port])[14:]
		next, at, ok := behind(ip)
		return len(ours) == 0 && ok && next == protoICMP6 && at < len(ip) && ip[at] >= 133 && ip[at] <= 137
	}},
	{"V8: an unreachable route is told as 1/3; Linux says 1/0", func(_ *duel, s shot6, ours, theirs []string) bool {
		return strings.HasPrefix(s.ip.dst, "fd00:70:a:") && len(ours) == 1 && len(theirs) == 1 && asCode(ours[0], 3) == ours[0] && asCode(ours[0], 0) == theirs[0]
	}},
}

// behind is what is behind all extension headers, unless one leads out of the packet.
func behind(ip []byte) (next byte, at int, ok bool) {
	next, at = ip[6], 40
	ip = ip[:min(len(ip), 40+int(binary.BigEndian.Uint16(ip[4:])))]
	for next == 0 || next == nextRouting || next == nextDest || next == nextFragm || next == nextAuth {
		if at+8 > len(ip) {
			return 0, 0, false
		}
		n := 8 + 8*int(ip[at+1])
		if next == nextAuth { // RFC 4302 2.2
			n = 8 + 4*int(ip[at+1])
		}
		if next == nextFragm {
			if n = 8; binary.BigEndian.Uint16(ip[at+2:])&^7 != 0 {
				return ip[at], at + n, true
			}
		}
		next, at = ip[at], at+n
	}
	return next, at, at <= len(ip)
}

// asCode is an ICMPv6 error as told6 writes it, with another code.
func asCode(told string, code byte) string {
	head, ip := parted(told)
	if len(ip) < 48 {
		return ""
	}
	ip[41] = code
	return fmt.Sprintf("%s %x", head, ip)
}

func unusable6(a string) bool {
	b := ip6(a)
	return b[0] == 0xff || bytes.Equal(b[:10], make([]byte, 10))
}

func (d *duel) explained6(s shot6, ours, theirs []string) bool {
	for _, dev := range deviations6 {
		if dev.is(d, s, ours, theirs) {
			d.explained[dev.name]++
			return true
		}
	}
	return false
}
