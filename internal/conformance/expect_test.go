package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// patience is how long an answer may take that is due at once.
const patience = 3 * time.Second

// chunk is how many frames may be sent in one go: a TAP's queue takes 500, and a
// router that is waiting for its CPU loses the rest through no fault of its own.
const chunk = 200

// failure is how a case ends that did not see what it should have.
type failure string

func (b *Bench) fatalf(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }

func (b *Bench) must(err error) {
	if err != nil {
		b.fatalf("%v", err)
	}
}

// want is a frame that is to arrive at a port.
type want struct {
	at   *port
	what string
	ok   func(frame []byte) error
}

// exactly is this frame, byte for byte.
func exactly(at *port, frame []byte) want {
	return want{at, describe(frame), func(f []byte) error {
		if bytes.Equal(f, frame) {
			return nil
		}
		at := 0
		for at < len(f) && at < len(frame) && f[at] == frame[at] {
			at++
		}
		return fmt.Errorf("it differs from byte %d on", at)
	}}
}

// delivered is a packet handed over at a port as it is.
func delivered(at *port, ip []byte) want { return exactly(at, at.from(ip)) }

// routed is a packet handed over at a port, one hop on.
func routed(at *port, ip []byte) want { return delivered(at, forwarded(ip)) }

// routedVia is routed by way of another host than the usual one.
func routedVia(at *port, station mac, ip []byte) want {
	return exactly(at, eth(station, at.router, typeIPv4, forwarded(ip)))
}

// exchange sends frames by one port and requires that what is wanted comes out,
// and nothing else anywhere.
func (b *Bench) exchange(in *port, frames [][]byte, wants ...want) {
	for _, f := range frames {
		b.must(in.send(f))
	}
	b.settle(in, wants...)
}

// one is exchange for a single packet in the usual frame.
func (b *Bench) one(in *port, ip []byte, wants ...want) {
	b.exchange(in, [][]byte{in.to(ip)}, wants...)
}

// settle requires that what is wanted has come out, and nothing else anywhere.
// Silence is not proved by waiting: marker packets follow by the same port, to each
// port, and what is not there when they are, was not sent.
func (b *Bench) settle(in *port, wants ...want) {
	seen := b.flush(in)
	for _, p := range b.ports() {
		expected := slices.DeleteFunc(slices.Clone(wants), func(w want) bool { return w.at != p })
		b.compare(p, seen[p], expected)
	}
}

func (b *Bench) compare(p *port, frames [][]byte, wants []want) {
	for i, w := range wants {
		if i >= len(frames) {
			b.fatalf("at %s nothing came where this was due: %s", p.name, w.what)
		}
		if err := w.ok(frames[i]); err != nil {
			b.fatalf("at %s: %v\n  due:  %s\n  came: %s", p.name, err, w.what, describe(frames[i]))
		}
	}
	if len(frames) > len(wants) {
		b.fatalf("at %s this came, and nothing was due: %s", p.name, describe(frames[len(wants)]))
	}
}

func describeAll(frames [][]byte) string {
	var s strings.Builder
	for _, f := range frames[:min(len(frames), 5)] {
		s.WriteString("\n  " + describe(f))
	}
	return s.String()
}

// next waits for the next frame at a port.
func (b *Bench) next(p *port, within time.Duration) []byte {
	f, err := p.receive(time.Now().Add(within))
	b.must(err)
	if f == nil {
		b.fatalf("at %s nothing came within %v", p.name, within)
	}
	return f
}

// announce lets a host of the uplink ask for this one: from then on it is known.
func (b *Bench) announce(ip string, m mac) {
	ask := arpMessage{op: 1, senderMAC: m, senderIP: ip, targetIP: hostIP}
	b.must(b.up.send(eth(broadcastMAC, m, typeARP, ask.bytes())))
}

// hostARPReply is the answer that the host's own stack gives to announce.
func (b *Bench) hostARPReply(ip string, m mac) want {
	return exactly(b.up, eth(m, b.up.router, typeARP, arpMessage{op: 2, senderMAC: b.up.router, senderIP: hostIP, targetMAC: m, targetIP: ip}.bytes()))
}

// begin makes a case start from silence, with the peer known and counters read.
func (b *Bench) begin() {
	b.announce(peerIP, peerMAC)
	b.announce6()
	for range 2 { // what the first round stirs up, the second takes away
		for _, p := range b.ports() {
			b.flush(p)
		}
	}
	b.expected = map[string]float64{}
	if !b.linux {
		m, err := b.router.metrics()
		b.must(err)
		b.before = m
	}
}

// dropped expects n packets of a port to be counted as dropped for a reason.
func (b *Bench) dropped(p *port, reason string, n int) {
	b.count(dropSeries(p, reason), n)
}

func dropSeries(p *port, reason string) string {
	return fmt.Sprintf("vrouter_drop_packets_total{port=%q,reason=%q}", p.name, reason)
}

// withheld expects n ICMP errors to be counted as not sent.
func (b *Bench) withheld(reason string, n int) {
	b.count(fmt.Sprintf("vrouter_icmp_errors_suppressed_total{reason=%q}", reason), n)
}

// count expects a series of the metrics to grow by n in this case.
func (b *Bench) count(series string, n int) { b.expected[series] += float64(n) }

// tolerate takes a series as it is now: the rule leaves open how this is counted.
func (b *Bench) tolerate(series string) {
	if b.linux {
		return
	}
	now, err := b.router.metrics()
	b.must(err)
	b.expected[series] = now[series] - b.before[series]
}

// strict are the families in which nothing may grow that no case spoke of.
var strict = []string{
	"vrouter_drop_packets_total", "vrouter_icmp_errors_suppressed_total",
	"vrouter_originated_drop_packets_total", "vrouter_accounting_imbalance_packets",
}

// checkCounters compares the router's counters with what the case expects.
func (b *Bench) checkCounters() {
	if b.linux {
		return
	}
	now, err := b.router.metrics()
	b.must(err)
	if now["vrouter_accounting_imbalance_packets"] != 0 {
		b.fatalf("the books do not balance: %v", now["vrouter_accounting_imbalance_packets"])
	}
	for series := range b.expected {
		if _, ok := now[series]; !ok {
			b.fatalf("there is no series %s", series)
		}
	}
	for _, series := range slices.Sorted(maps.Keys(now)) {
		family, _, _ := strings.Cut(series, "{")
		due, named := b.expected[series]
		if got := now[series] - b.before[series]; got != due && (named || slices.Contains(strict, family)) {
			b.fatalf("%s grew by %v, not by %v", series, got, due)
		}
	}
}

// grown is what the router has counted in a case that failed: it says where the packet is.
func (b *Bench) grown() (said string) {
	if b.linux || b.before == nil {
		return ""
	}
	now, err := b.router.metrics()
	if err != nil {
		return fmt.Sprintf("\n  and the router does not tell what it has counted: %v", err)
	}
	for _, series := range slices.Sorted(maps.Keys(now)) {
		family, _, _ := strings.Cut(series, "{")
		if n := now[series] - b.before[series]; n != 0 && (slices.Contains(strict, family) || family == "vrouter_originated_packets_total" || family == "vrouter_step_packets_total") {
			said += fmt.Sprintf("\n  %s +%v", series, n)
		}
	}
	return said
}

// icmpAbout is an ICMP error from the router about a packet, with all that RFC
// 1812 4.3.2 asks of it.
func icmpAbout(at *port, typ, code byte, rest uint32, about []byte) want {
	what := fmt.Sprintf("ICMP %d/%d rest %d about %s", typ, code, rest, describe(at.to(about)))
	return want{at, what, func(f []byte) error {
		if !bytes.Equal(f[:14], at.from(nil)) {
			return fmt.Errorf("the Ethernet header is not the router's to this station")
		}
		return checkError(f[14:], typ, code, rest, about)
	}}
}

func checkError(ip []byte, typ, code byte, rest uint32, about []byte) error {
	n := min(len(about), 576-20-8) // 4.3.2.3: as much as fits in 576 bytes
	src, dst := netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
	switch {
	case ip[0] != 0x45 || inetSum(ip[:20]) != 0 || int(binary.BigEndian.Uint16(ip[2:])) != len(ip):
		return fmt.Errorf("its IPv4 header is not right")
	case ip[9] != protoICMP || ip[20] != typ || ip[21] != code:
		return fmt.Errorf("it is not ICMP %d/%d", typ, code)
	case inetSum(ip[20:]) != 0:
		return fmt.Errorf("its ICMP checksum is wrong")
	case binary.BigEndian.Uint32(ip[24:]) != rest:
		return fmt.Errorf("its second word is %#x, not %#x", ip[24:28], rest)
	case src.String() != hostIP: // 4.3.2.4
		return fmt.Errorf("it comes from %v, not from %s", src, hostIP)
	case !bytes.Equal(ip[16:20], about[12:16]):
		return fmt.Errorf("it goes to %v, not to the source", dst)
	case ip[1]>>5 != 6 && ip[1]>>5 != 7: // 4.3.2.5
		return fmt.Errorf("its precedence is %d, not 6 or 7", ip[1]>>5)
	case ip[8] < 32:
		return fmt.Errorf("its TTL is %d", ip[8])
	case len(ip) != 28+n:
		return fmt.Errorf("it quotes %d bytes, not %d", len(ip)-28, n)
	}
	return checkQuote(ip[28:], about[:n])
}

// checkQuote: the quote is the packet as it came, but what forwarding has done to
// its header need not be undone (4.3.2.3).
func checkQuote(quote, about []byte) error {
	onward := append([]byte{}, about...)
	onward[8]--
	seal(onward)
	if !bytes.Equal(quote, about) && !bytes.Equal(quote, onward) {
		return fmt.Errorf("it does not quote the packet as it came: %x", quote)
	}
	return nil
}
