package engine_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// explained is how many packets are explained and then sent.
const explained = 10_000

// What explain says is what the wire shows: the same packet, explained and then sent,
// has the same words at each step and the same consequences, and leaves by the same
// port with the same bytes; so does what the router sends because of it. What waits goes
// on, or is dropped, as explain says.
func TestExplainIsWhatTheWireShows(t *testing.T) {
	inTime(t, "any frame", func(b *bed) { explainIsWhatTheWireShows(b, anyFrame) })
	inTime(t, "any frame of either family", func(b *bed) {
		dual(b)
		routes6(b)
		explainIsWhatTheWireShows(b, func(r *rand.Rand, outer packet.IP) (string, *packet.Frame) {
			return pick(r, anyFrame, anyFrame6, anyFrame6)(r, outer)
		})
	})
}

func explainIsWhatTheWireShows(b *bed, frames func(*rand.Rand, packet.IP) (string, *packet.Frame)) {
	t := b.t
	b.via("10.80.0.0/16", peerIP, rib.IPIP)
	b.via("10.81.0.0/16", silentIP, rib.None) // where somebody answers now and then
	b.via("10.82.0.0/16", "192.168.0.78", rib.IPIP)
	b.via("10.85.0.0/16", peerIP, rib.VXLAN)
	b.settings.VXLAN = forwarder.VXLAN{Port: packet.VXLANPort, VNI: 4096, Peers: b.settings.Peers}
	for to, kind := range map[string]rib.Type{"10.90.0.0/16": rib.Blackhole, "10.91.0.0/16": rib.Unreachable, "10.92.0.0/16": rib.Prohibit} {
		b.route(rib.Route{Prefix: prefix(to), Type: kind, Port: rib.NoPort, Protocol: "static", Source: rib.Static})
	}
	b.settings.Ends = append(b.settings.Ends, addr(peerIP), addr("192.168.0.78"))
	b.router.Configure(b.settings)
	b.offloads(b.ns2)
	w := &wire{bed: b, listener: b.listen(trace.Options{}, ""), frames: frames, met: map[string]int{}}
	for seed := range explained {
		if seed%100 == 0 {
			w.refresh(seed) // again, before it would be asked for
		}
		if seed%1000 == 0 {
			b.carries(seed%2000 == 1000)
		}
		pass(2 * time.Millisecond) // so that ICMP errors are due again
		w.idle(seed)
		w.compare(rand.New(rand.NewPCG(uint64(seed), 0)), seed)
		if t.Failed() {
			return
		}
	}
	w.settle(explained, 40*time.Second)
	for _, want := range []string{"forwarded", "consumed", "dropped", "host", "waits at neigh", "waits at local", "waits at decap", "then forwarded", "then consumed",
		"then dropped neighbor_unresolved", "then dropped reassembly_timeout", "then dropped reassembly_limit", "superframe", "fragments", "relay", "lower_mtu", "learn", "ask",
		"tell icmp_error", "tell fragment", "tell said", "ask said just before", "answer"} {
		if w.met[want] == 0 {
			t.Errorf("never met: %s", want)
		}
	}
	for _, want := range []string{"forwarded", "consumed", "dropped", "host", "waits at neigh", "waits at local", "waits at decap", "fragments", "relay", "lower_mtu", "learn", "ask", "tell said", "answer"} {
		if b.settings.Gateway6.IsValid() && w.met["IPv6 "+want] == 0 {
			t.Errorf("never met of IPv6: %s", want)
		}
	}
	if t.Failed() {
		t.Log(w.met)
	}
}

const silentIP = "192.168.0.77"

// wire is the bed, with what was seen on it.
type wire struct {
	*bed
	listener *trace.Listener
	met      map[string]int
	waits    []trace.Packet // explained, and not seen to end
	outer    packet.IP      // the last packet seen in a tunnel
	frames   func(*rand.Rand, packet.IP) (string, *packet.Frame)
}

// idle wants nothing to have happened but what is due to those that wait.
func (w *wire) idle(seed int) {
	for _, m := range []*link.Memory{w.ns1, w.ns2, w.uplink} {
		m.Sent()
	}
	w.ended(seed, records(w.listener))
}

// refresh has the other host tell its address.
func (w *wire) refresh(seed int) {
	w.idle(seed)
	w.resolve()
	if w.settings.Gateway6.IsValid() {
		w.resolve6()
	}
	done := records(w.listener)
	w.ended(seed, slices.DeleteFunc(done, func(p trace.Packet) bool {
		return strings.HasPrefix(p.Summary, "arp who has "+hostIP) || strings.Contains(p.Summary, "solicitation who has "+hostIP6) ||
			strings.Contains(p.Summary, "advertisement "+peerIP6+" is at "+peerMAC.String())
	}))
}

// settle lets time pass: long enough, and nothing waits any more.
func (w *wire) settle(seed int, d time.Duration) {
	pass(d)
	w.idle(seed)
	if d > engine.ReassemblyTimeout && len(w.waits) > 0 {
		w.t.Errorf("seed %d: %d packets still wait: %+v", seed, len(w.waits), w.waits[0])
	}
}

func (w *wire) compare(r *rand.Rand, seed int) {
	switch r.IntN(150) {
	case 0: // nobody answers
		w.settle(seed, 5*time.Second)
		w.refresh(seed)
	case 1: // nor does the rest of a datagram come
		w.settle(seed, 40*time.Second)
		w.refresh(seed)
	}
	in, f := w.frames(r, w.outer)
	before := w.router.Stats()
	records, err := w.router.DryRun().Explain(in, f.Clone())
	if err != nil {
		w.t.Fatal(err)
	}
	if after := w.router.Stats(); !reflect.DeepEqual(after, before) {
		w.t.Errorf("seed %d: explaining changed what is counted", seed)
	}
	silent(w.t, w.ns1, w.ns2, w.uplink)
	w.port(in).Send(f.Clone())
	w.compareWords(seed, views(records))
	if !f.Offload.Pending() {
		w.compareFrames(seed, records)
	}
	if f.Offload.IsGSO() {
		w.met["superframe"]++
	}
}

// views are the explained packets that are now, and not only if.
func views(records []*trace.Record) (said []trace.Packet) {
	for _, r := range records {
		p := r.View("k8s-master-1")
		r.AddFrames(&p)
		if p.When == "" {
			said = append(said, p)
		}
	}
	return said
}

// compareWords holds what was said against what is recorded.
func (w *wire) compareWords(seed int, said []trace.Packet) {
	done := records(w.listener)
	w.meet(&said[0])
	for i := range said {
		e := &said[i]
		if e.Outcome == trace.Waits {
			w.waits = append(w.waits, *e)
			continue
		}
		// Of those that were received the last one is this; others have waited.
		at := -1
		for j := range done {
			if (done[j].Cause == 0) == (i == 0) && (i > 0 && at < 0 && same(e, &done[j]) == "" || i == 0 && (at < 0 || done[j].ID > done[at].ID)) {
				at = j
			}
		}
		if at < 0 {
			w.t.Errorf("seed %d: explained:\n%sseen:\n%s", seed, text(w.t, said), text(w.t, done))
			return
		}
		if d := same(e, &done[at]); d != "" {
			w.t.Errorf("seed %d: %s (-explained +recorded):\n%s", seed, e.Head(), d)
			return
		}
		done = slices.Delete(done, at, at+1)
	}
	w.ended(seed, done)
}

// ended wants the end of packets that have waited to be what was said of them, and no
// other packet.
func (w *wire) ended(seed int, done []trace.Packet) {
	for i := range done {
		d := &done[i]
		if !w.oneEnded(d) && d.Cause == 0 {
			w.t.Errorf("seed %d: recorded, and not explained:\n%s", seed, text(w.t, done[i:i+1]))
			for _, e := range w.waits {
				w.t.Logf("waits: %s", text(w.t, []trace.Packet{e}))
			}
			return
		}
	}
}

func (w *wire) oneEnded(d *trace.Packet) bool {
	for i := range w.waits {
		if e := w.waits[i]; sameBegin(&e, d) && sameEnd(&e, d) {
			w.met[strings.TrimSpace("then "+d.Outcome+" "+d.Reason)]++
			w.waits = slices.Delete(w.waits, i, i+1)
			return true
		}
	}
	return false
}

// same says how two packets differ in words; "" if they do not.
func same(e, d *trace.Packet) string {
	a, b := *e, *d
	for _, p := range []*trace.Packet{&a, &b} {
		p.ID, p.Cause, p.Time = 0, 0, time.Time{}
		p.Steps = slices.Clone(p.Steps)
		p.Frame = nil
		for i := range p.Steps {
			p.Steps[i].NS, p.Steps[i].Frame = 0, nil
		}
	}
	a.Consequences = now(a.Consequences)
	for i := range a.Consequences { // explain may add what it knows
		if c := &a.Consequences[i]; i < len(b.Consequences) && strings.HasPrefix(c.Detail, b.Consequences[i].Detail+":") {
			c.Detail = b.Consequences[i].Detail
		}
	}
	return cmp.Diff(a, b)
}

func now(list []trace.Consequence) (kept []trace.Consequence) {
	for _, c := range list {
		if c.When == "" {
			kept = append(kept, c)
		}
	}
	return kept
}

// sameBegin says whether a packet may be one that was explained, up to the step where
// it waits.
func sameBegin(e, d *trace.Packet) bool {
	n := len(e.Steps) - 1
	if e.In != d.In || e.Summary != d.Summary || e.Length != d.Length || (e.Cause == 0) != (d.Cause == 0) || len(d.Steps) < n+1 || d.Steps[n].Step != e.Steps[n].Step {
		return false
	}
	for i := range n {
		a, b := e.Steps[i], d.Steps[i]
		a.NS, b.NS, a.Frame, b.Frame = 0, 0, nil, nil
		if a != b {
			return false
		}
	}
	for i, c := range now(e.Consequences) {
		if i >= len(d.Consequences) || !strings.HasPrefix(c.Detail, d.Consequences[i].Detail) || c.Action != d.Consequences[i].Action {
			return false
		}
	}
	return true
}

// sameEnd says whether what became of a packet that waited is what explain said: it goes
// on, or it is dropped with those consequences.
func sameEnd(e, d *trace.Packet) bool {
	if d.Reason != "neighbor_unresolved" && d.Reason != "reassembly_timeout" {
		return true
	}
	rest := d.Consequences[len(now(e.Consequences)):]
	for _, c := range e.Consequences {
		switch {
		case c.When == "":
		case c.Action == "drop":
			if !strings.HasSuffix(c.Detail, d.Reason) {
				return false
			}
		case len(rest) == 0 || rest[0].Action != c.Action || c.Withheld == "" && !strings.HasPrefix(rest[0].Detail, c.Detail) || c.Withheld != "" && rest[0].Detail != c.Detail:
			return false // what is to be told may be held back later: too many are
		default:
			rest = rest[1:]
		}
	}
	return len(rest) == 0
}

// meet notes what a packet showed.
func (w *wire) meet(p *trace.Packet) {
	meet := func(what string) {
		w.met[what]++
		if strings.Contains(p.Src, ":") {
			w.met["IPv6 "+what]++
		}
	}
	meet(p.Outcome)
	if p.Outcome == trace.Waits {
		meet("waits at " + p.Steps[len(p.Steps)-1].Step)
	}
	for _, c := range p.Consequences {
		meet(c.Action)
		if c.Withheld != "" {
			meet(c.Action + " " + c.Withheld)
		} else {
			meet(c.Action + " said")
		}
		if c.Action == "send" {
			meet("fragments")
		}
	}
}

// compareFrames wants the frames that the records speak of, and no other but those of
// packets that have waited.
func (w *wire) compareFrames(seed int, said []*trace.Record) {
	sent := map[string][]*packet.Frame{"ns1": w.ns1.Sent(), "ns2": w.ns2.Sent(), "ens160": w.uplink.Sent()}
	for _, f := range sent["ens160"] {
		if ip := packet.IP(f.Payload()); f.EtherType() != packet.EtherTypeARP {
			if protocol, _, fragment := packet.Transport(ip); !fragment && (protocol == packet.ProtocolIPIP || protocol == packet.ProtocolIPv6) {
				w.outer = bytes.Clone(ip)
			}
		}
	}
	released := false
	for _, r := range said {
		v := r.View("")
		released = released || slices.ContainsFunc(v.Consequences, func(c trace.Consequence) bool { return c.Action == "learn" })
		if v.Outcome != trace.Forwarded || v.When != "" {
			continue
		}
		n := pieces(&v)
		if len(sent[v.Out]) < n {
			w.t.Errorf("seed %d: %s sent %d frames, want %d: %s", seed, v.Out, len(sent[v.Out]), n, v.Summary)
			return
		}
		got, want := sent[v.Out][0].Bytes(), r.Frame()
		if n := min(len(got), len(want)); !bytes.Equal(got[:n], want[:n]) || len(got) < len(want) {
			w.t.Errorf("seed %d: the wire shows\n% x\nexplained as\n% x", seed, got, want)
		}
		sent[v.Out] = sent[v.Out][n:]
	}
	for port, rest := range sent {
		if len(rest) > 0 && !released {
			w.t.Errorf("seed %d: %s sent %d frames that explain says nothing of: % x", seed, port, len(rest), rest[0].Bytes())
		}
	}
}

// pieces is into how many frames a packet was cut.
func pieces(p *trace.Packet) int {
	for _, c := range p.Consequences {
		var n int
		var port string
		if c.Action != "send" {
			continue
		}
		if _, err := fmt.Sscanf(c.Detail, "sent by %s in %d frames", &port, &n); err == nil {
			return n
		}
	}
	return 1
}

// anyFrame is a frame that may come by ns1 or by the uplink: mostly a good one, with
// something about it that a router must look at.
func anyFrame(r *rand.Rand, outer packet.IP) (in string, f *packet.Frame) {
	in, eth := "ns1", ether(ns1MAC, gatewayMAC)
	if r.IntN(2) == 0 {
		in, eth = "ens160", ether(peerMAC, uplinkMAC)
	}
	switch r.IntN(16) {
	case 0, 1:
		return in, anyARP(r, in)
	case 2, 3:
		return anyPart(r)
	case 4:
		return anySuperframe(r)
	case 5:
		return "ens160", anyTunnelError(r, outer)
	}
	f = anyPacket(r, in, eth)
	if in == "ens160" && r.IntN(4) == 0 {
		outer := pick(r, peerIP, peerIP, peerIP, "192.168.0.99")
		to, tos := pick(r, hostIP, hostIP, "192.168.0.13"), byte(r.IntN(4))
		if r.IntN(3) == 0 {
			return in, spoilt(r, tunnelKinds[3].around(outer, to, f, tos))
		}
		f = ipip(outer, to, f, func(ip *layers.IPv4) { ip.TOS = tos })
	}
	return in, spoilt(r, f)
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func anyPacket(r *rand.Rand, in string, eth *layers.Ethernet) *packet.Frame {
	addresses := []string{ns1IP, ns2IP, farIP, "10.80.1.1", "10.85.1.1", "10.81.0.9", "10.82.0.9", "10.90.1.1", "10.91.0.1", "10.92.3.4", "10.99.1.1",
		gateway, hostIP, peerIP, "192.168.0.255", "127.0.0.1", "0.0.0.0", "224.0.0.5", "255.255.255.255", "169.254.9.9"}
	src := pick(r, ns1IP, ns1IP, ns1IP, pick(r, addresses...))
	if in == "ens160" {
		src = pick(r, farIP, farIP, farIP, pick(r, addresses...))
	}
	dst := pick(r, ns2IP, farIP, pick(r, "10.80.1.1", "10.85.1.1"), pick(r, addresses...), pick(r, addresses...))
	if in == "ens160" {
		dst = pick(r, ns1IP, ns2IP, pick(r, addresses...))
	}
	ip := ip4(src, dst, layers.IPProtocolICMPv4)
	ip.TTL, ip.TOS, ip.Id = pick[uint8](r, 64, 64, 64, 0, 1, 2, 255), uint8(r.IntN(256)), uint16(r.IntN(65536))
	if r.IntN(3) == 0 {
		ip.Flags = layers.IPv4DontFragment
	}
	if r.IntN(10) == 0 {
		ip.FragOffset, ip.Flags = uint16(r.IntN(3)), ip.Flags|layers.IPv4MoreFragments
	}
	if r.IntN(10) == 0 {
		ip.Options = []layers.IPv4Option{{OptionType: pick[uint8](r, 7, 68, 131, 148), OptionLength: 4, OptionData: []byte{4, 0}}}
	}
	data := gopacket.Payload(make([]byte, pick(r, 0, 56, 1400, 1472, 1473, 3000)))
	switch r.IntN(3) {
	case 0:
		ip.Protocol = layers.IPProtocolUDP
		udp := &layers.UDP{SrcPort: layers.UDPPort(r.IntN(65536)), DstPort: 53}
		_ = udp.SetNetworkLayerForChecksum(ip)
		return frame(eth, ip, udp, data)
	case 1:
		icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(pick[uint8](r, 0, 3, 5, 11), 0)}
		return frame(eth, ip, icmp, data)
	}
	return frame(eth, ip, echo(uint16(r.IntN(65536))), data)
}

func anyARP(r *rand.Rand, in string) *packet.Frame {
	mac, from := ns1MAC, pick(r, ns1IP, ns1IP, "0.0.0.0", ns2IP, gateway)
	if in == "ens160" {
		mac, from = peerMAC, pick(r, peerIP, peerIP, "0.0.0.0", silentIP, silentIP, "192.168.0.50", hostIP)
	}
	return arp(pick[uint16](r, packet.ARPRequest, packet.ARPRequest, packet.ARPReply, 9), mac, from, packet.MAC{},
		pick(r, gateway, hostIP, farIP, ns1IP, ns2IP, "10.90.1.1", "10.99.0.1", "192.168.0.99"), packet.Broadcast)
}

// anyPart is a fragment for the router itself: of an echo of ns1's, or of a packet in a
// tunnel. Few datagrams at a time, so that some get whole; some lie badly.
func anyPart(r *rand.Rand) (in string, f *packet.Frame) {
	in, whole := "ns1", icmpOf(gateway, 8, 0, bytes.Repeat([]byte{7}, 3000))
	if r.IntN(2) == 0 {
		in, whole = "ens160", ipip(peerIP, hostIP, sized(peerMAC, farIP, ns1IP, 3000), nil)
	}
	parts := split(whole, 1500)
	f = pick(r, parts...)
	ip := packet.IPv4(f.Payload())
	ip[4], ip[5] = 0, byte(r.IntN(3))
	if r.IntN(20) == 0 { // behind the end of any datagram
		ip[6], ip[7] = ip[6]&0xe0|0x1f, 0xff
	}
	ip.SetChecksum()
	return in, f
}

// anySuperframe is a frame that a workload's stack, or the uplink, leaves to be cut.
func anySuperframe(r *rand.Rand) (in string, f *packet.Frame) {
	if r.IntN(2) == 0 {
		return "ens160", superframe(ether(peerMAC, uplinkMAC), farIP, pick(r, ns1IP, ns2IP))
	}
	f = fromNS1(pick(r, farIP, ns2IP, "10.80.1.1", "10.85.1.1", "10.81.0.9", "10.99.1.1"))
	if r.IntN(3) == 0 {
		f = withTTL(f, 1)
	}
	return "ns1", f
}

// anyTunnelError is an ICMP error of a router on the way, about a packet in a tunnel.
// which was lately sent or not.
func anyTunnelError(r *rand.Rand, lately packet.IP) *packet.Frame {
	code := pick[uint8](r, 0, 1, 2, 3, 4, 5, 13)
	outer := ipip(hostIP, pick(r, peerIP, peerIP, "192.168.0.78", "192.168.0.99"), sized(ns1MAC, ns1IP, pick(r, "10.80.1.1", "10.82.0.9", farIP), 1480), nil)
	quote := gopacket.Payload(outer.Payload()[:pick(r, 28, 40, 48)])
	if lately != nil && lately.Version() == 4 && r.IntN(3) > 0 {
		quote = gopacket.Payload(lately[:min(len(lately), pick(r, 28, 40, 48))])
	}
	icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(pick[uint8](r, 3, 3, 11), code), Seq: uint16(pick(r, 0, 60, 576, 1400))}
	return frame(ether(peerMAC, uplinkMAC), ip4("192.168.0.50", hostIP, layers.IPProtocolICMPv4), icmp, quote)
}

// spoilt breaks one frame in four.
func spoilt(r *rand.Rand, f *packet.Frame) *packet.Frame {
	switch r.IntN(16) {
	case 0:
		f.Bytes()[packet.EthernetLen+r.IntN(20)] ^= 1 << r.IntN(8)
	case 1:
		f.Len = r.IntN(f.Len + 1)
	case 2:
		f.SetEthernet(pick(r, packet.Broadcast, packet.MAC{2, 9, 9, 9, 9, 9}), f.SrcMAC(), f.EtherType())
	case 3:
		f.SetEthernet(f.DstMAC(), f.SrcMAC(), pick[uint16](r, 0x86dd, 0x8100, 0x88cc, 0x0026))
	}
	return f
}
