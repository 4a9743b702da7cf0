package conformance

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	diffSeed    = flag.Uint64("diff.seed", 1, "where the random packets of the comparison with the kernel begin")
	diffPackets = flag.Int("diff.packets", 12000, "how many random packets to compare")
	diffTime    = flag.Duration("diff.duration", 0, "compare for so long, instead of a number of packets")
)

// errorBurst is how many ICMP errors vrouter sends about one port at once, and
// errorRate how many a second after that: the kernel here has no limit, so no more
// packets are sent than may all be answered.
const (
	errorBurst = 200
	errorRate  = 1000
	// diffUplinkMTU is less than a workload's, so that not all packets fit.
	diffUplinkMTU = 1400
)

// duel is both contenders on benches that are alike.
type duel struct {
	vrouter, linux *Bench
	paid           [3]time.Time // by port: when its allowance of errors is whole again
	explained      map[string]int
	packets        int
}

// TestDifferential sends the same random packets through vrouter and through the
// kernel in its place: what comes out is equal byte for byte, or a deviation on
// the list says why it is not.
func TestDifferential(t *testing.T) {
	lane.Lock()
	defer lane.Unlock()
	runtime.LockOSThread() // and never unlocked: the thread ends with this test
	pin()
	d := newDuel(t)
	for i, s := range diffCases {
		d.compare(t, s.port, []shot{s})
		if t.Failed() {
			t.Fatalf("case %d: %+v", i, s)
		}
	}
	rng := rand.New(rand.NewPCG(*diffSeed, 0))
	start, failures := time.Now(), 0
	for more := func() bool {
		if *diffTime > 0 {
			return time.Since(start) < *diffTime
		}
		return d.packets < *diffPackets
	}; more() && failures < 5; {
		in := rng.IntN(3)
		shots := make([]shot, 50+rng.IntN(100))
		for i := range shots {
			shots[i] = d.random(rng, in, uint16(i+1))
		}
		failures += d.compare(t, in, shots)
	}
	fmt.Printf("differential: seed %d, %d packets in %v, %d unexplained differences; explained:\n", *diffSeed, d.packets, time.Since(start).Round(time.Second), failures)
	for _, name := range slices.Sorted(maps.Keys(d.explained)) {
		fmt.Printf("  %7d  %s\n", d.explained[name], name)
	}
}

func newDuel(t *testing.T) *duel {
	return newDuelOf(t, options{uplinkMTU: diffUplinkMTU, ns2MTU: 1281})
}

func newDuelOf(t *testing.T, o options) *duel {
	d := &duel{explained: map[string]int{}}
	for _, side := range []struct {
		b     **Bench
		linux bool
	}{{&d.vrouter, false}, {&d.linux, true}} {
		b, err := newBench(side.linux, o)
		if err != nil {
			t.Fatalf("building the bench: %v", err)
		}
		t.Cleanup(func() {
			if err := b.close(); err != nil {
				t.Error(err)
			}
		})
		*side.b = b
		b.sysctlHost("ipv4/icmp_ratemask", "0") // no limit at all
		if o.six {
			b.sysctlHost("ipv6/icmp/ratemask", "255") // nor one that counts for both
		}
		if side.linux {
			b.defaultRoute(false)
		}
		b.begin()
	}
	return d
}

// explainedAlone sends a packet again, up to three times.
func (d *duel) explainedAlone(in int, s shot) bool {
	for range 3 {
		if o, l := d.alone(in, s); d.explain(s, o, l) {
			return true
		}
	}
	return false
}

// compare sends packets by one port, and returns how many came out otherwise
// without a reason. Each of those is made as simple as it gets, and reported.
func (d *duel) compare(t *testing.T, in int, shots []shot) (failures int) {
	t.Helper()
	d.packets += len(shots)
	d.pace(in, len(shots))
	ours, theirs := d.vrouter.volley(in, shots), d.linux.volley(in, shots)
	for i, s := range shots {
		if d.explain(s, ours[s.ip.id], theirs[s.ip.id]) {
			continue
		}
		if in == 2 && s.ip.dst == hostIP && d.explainedAlone(in, s) { // a host's own kernel is none the worse for losing some of its answers
			d.explained["the host's own answer was lost at first"]++
			continue
		}
		failures++
		simple := d.simplest(in, s)
		o, l := d.alone(in, simple)
		t.Errorf("packet %d of a volley into port %d differs:\n  sent    %+v\n  vrouter %v\n  linux   %v\nat its simplest:\n  sent    %+v\n  frame   %x\n  vrouter %v\n  linux   %v",
			i, in, s, ours[s.ip.id], theirs[s.ip.id], simple, simple.frame(d.linux.ports()[in]), o, l)
	}
	for side, out := range map[string]map[uint16][]string{"vrouter": ours, "linux": theirs} {
		if stray := out[strayID]; len(stray) > 0 {
			failures++
			t.Errorf("%s: frames that belong to no packet: %v", side, stray)
		}
	}
	return failures
}

// pace waits until each of n packets may be told of by an ICMP error.
func (d *duel) pace(in, n int) {
	if full := time.Now().Add(time.Duration(errorBurst-n) * time.Second / errorRate); d.paid[in].After(full) {
		time.Sleep(d.paid[in].Sub(full))
	}
	if now := time.Now(); d.paid[in].Before(now) {
		d.paid[in] = now
	}
	d.paid[in] = d.paid[in].Add(time.Duration(n) * time.Second / errorRate)
}

// alone is what becomes of a packet that is sent by itself.
func (d *duel) alone(in int, s shot) (ours, theirs []string) {
	d.pace(in, 1)
	return d.vrouter.volley(in, []shot{s})[s.ip.id], d.linux.volley(in, []shot{s})[s.ip.id]
}

// simplest takes away from a packet whatever does not make the difference.
func (d *duel) simplest(in int, s shot) shot {
	differs := func(s shot) bool {
		ours, theirs := d.alone(in, s)
		return !d.explain(s, ours, theirs)
	}
	if !differs(s) {
		return s // only in company
	}
	for _, less := range simpler {
		if try := less(s); differs(try) {
			s = try
		}
	}
	for len(s.ip.data) > 1 {
		try := s
		if try.ip.data = s.ip.data[:len(s.ip.data)/2]; !differs(try) {
			break
		}
		s = try
	}
	return s
}

// volley sends packets by a port, and returns what came out, by the packet that it
// came of: each frame as "port hex".
func (b *Bench) volley(in int, shots []shot) map[uint16][]string {
	p := b.ports()[in]
	b.announce(peerIP, peerMAC)
	for _, s := range shots {
		b.must(p.send(s.frame(p)))
	}
	out := map[uint16][]string{}
	seen := b.flush(p)
	for _, at := range b.ports() {
		for _, f := range seen[at] {
			if binary.BigEndian.Uint16(f[12:]) == typeARP {
				continue // a neighbour is confirmed when its time has come, not when a packet has
			}
			id, text := b.told(at, f)
			out[id] = append(out[id], text)
		}
	}
	return out
}

// strayID is whose packet nobody knows.
const strayID = 0

// told says which packet a frame came of, and writes it without what each
// contender may choose: its stations, and the identification of what it made itself.
func (b *Bench) told(at *port, f []byte) (id uint16, text string) {
	ip := bytes.Clone(f[14:])
	if len(ip) < 20 {
		return strayID, fmt.Sprintf("%s %x", at.name, f)
	}
	id = binary.BigEndian.Uint16(ip[4:])
	if made := madeFor(ip); made != strayID && inetSum(ip[:int(ip[0]&15)*4]) == 0 {
		id = made
		ip[4], ip[5] = 0, 0
		seal(ip)
	}
	stations := "usual"
	if !bytes.Equal(f[:14], at.from(nil)) {
		stations = strings.ReplaceAll(fmt.Sprintf("%x", f[:14]), at.router.String(), "router")
	}
	return id, fmt.Sprintf("%s %s %x", at.name, stations, ip)
}

// madeFor is the packet that a message of the host is about, if it is one of those.
func madeFor(ip []byte) uint16 {
	if !bytes.Equal(ip[12:16], ip4(hostIP)) && !bytes.Equal(ip[12:16], ip4(gatewayIP)) {
		return strayID
	}
	hl := int(ip[0]&15) * 4 // Linux sends options back
	if len(ip) < hl+8 || ip[9] != protoICMP {
		return strayID
	}
	switch typ := ip[hl]; {
	case typ == 0:
		return binary.BigEndian.Uint16(ip[hl+4:])
	case strings.IndexByte("\x03\x04\x05\x0b\x0c", typ) >= 0 && len(ip) >= hl+8+20:
		return binary.BigEndian.Uint16(ip[hl+8+4:])
	}
	return strayID
}
