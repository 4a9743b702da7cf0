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

	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// explained is how many packets are explained and then sent.
const explained = 5000

// What explain says is what the wire shows: the same packet, explained and then
// sent, gets the same verdict at each step, and leaves by the same port with the same
// bytes; so does what the router sends because of it.
func TestExplainIsWhatTheWireShows(t *testing.T) { inTime(t, "any frame", explainIsWhatTheWireShows) }

func explainIsWhatTheWireShows(b *bed) {
	t := b.t
	b.via("10.80.0.0/16", peerIP, rib.IPIP)
	b.via("10.81.0.0/16", "192.168.0.77", rib.None) // nobody answers there
	for to, kind := range map[string]rib.Type{"10.90.0.0/16": rib.Blackhole, "10.91.0.0/16": rib.Unreachable, "10.92.0.0/16": rib.Prohibit} {
		b.route(rib.Route{Prefix: prefix(to), Type: kind, Port: rib.NoPort, Protocol: "static", Source: rib.Static})
	}
	l := b.listen(trace.Options{}, "")
	w := &wire{bed: b, listener: l, ways: map[string]int{}}
	for seed := range explained {
		if seed%100 == 0 {
			b.resolve() // again, before it would be asked for
		}
		pass(2 * time.Millisecond) // so that ICMP errors are due again
		w.silence()
		w.compare(rand.New(rand.NewPCG(uint64(seed), 0)), seed)
		if t.Failed() {
			return
		}
	}
	if len(w.ways) < 30 || w.limited > explained/2 {
		t.Errorf("%d ways were met, and %d times errors were held back: %v", len(w.ways), w.limited, w.ways)
	}
}

// wire is the bed, with what was seen on it.
type wire struct {
	*bed
	listener *trace.Listener
	ways     map[string]int
	limited  int // times that the limit of ICMP errors was met, which explain knows nothing of
}

// silence takes away what the router has sent of its own accord.
func (w *wire) silence() {
	for _, m := range []*link.Memory{w.ns1, w.ns2, w.uplink} {
		m.Sent()
	}
	records(w.listener)
}

func (w *wire) compare(r *rand.Rand, seed int) {
	in, f := anyFrame(r)
	before := w.router.Stats()
	said, err := w.router.DryRun().Explain(in, f.Clone())
	if err != nil {
		w.t.Fatal(err)
	}
	if after := w.router.Stats(); !reflect.DeepEqual(after, before) {
		w.t.Errorf("seed %d: explaining changed what is counted", seed)
	}
	silent(w.t, w.ns1, w.ns2, w.uplink)
	w.port(in).Send(f.Clone())
	sent := map[string][]*packet.Frame{"ns1": w.ns1.Sent(), "ns2": w.ns2.Sent(), "ens160": w.uplink.Sent()}
	done := records(w.listener)
	w.ways[said[0].Way().String()]++
	if w.router.Stats().Withheld["rate_limit"] != before.Withheld["rate_limit"] {
		w.limited++
		return
	}
	switch {
	case waits(said[0]):
		w.wantNoOutcome(done)
	case !slices.ContainsFunc(said, waits): // an ICMP error may wait, too
		w.compareSteps(seed, said, done)
		w.compareFrames(seed, said, sent)
	}
}

// waits says whether a packet waits, for its next hop or for other fragments, so that
// its way goes on later.
func waits(said *trace.Record) bool {
	return said.View("").Outcome == trace.Waits
}

func (w *wire) wantNoOutcome(done []trace.Packet) {
	for _, p := range done {
		if p.Cause == 0 && p.Outcome != trace.Dropped { // an older one may have had to make room
			w.t.Errorf("explained as waiting, and it went on: %+v", p)
		}
	}
}

func (w *wire) compareSteps(seed int, said []*trace.Record, done []trace.Packet) {
	if len(said) != len(done) {
		w.t.Errorf("seed %d: explain tells of %d packets, the trace of %d", seed, len(said), len(done))
		return
	}
	for i := range said {
		e, d := said[i].View(""), done[i]
		if got, want := steps(d.Steps), steps(e.Steps); !slices.Equal(got, want) || d.Out != e.Out {
			w.t.Errorf("seed %d: explained as %q by %q, traced as %q by %q: %s", seed, want, e.Out, got, d.Out, d.Summary)
		}
	}
}

func steps(list []trace.Step) (all []string) {
	for _, s := range list {
		all = append(all, s.Step+" "+s.Verdict+" "+s.Reason)
	}
	return all
}

// compareFrames wants the frames that the records speak of, and no other. What the
// router makes differs in its identification, which counts on.
func (w *wire) compareFrames(seed int, said []*trace.Record, sent map[string][]*packet.Frame) {
	for _, r := range said {
		v := r.View("")
		if v.Outcome != trace.Forwarded {
			continue
		}
		n := pieces(&v)
		if len(sent[v.Out]) < n {
			w.t.Errorf("seed %d: %s sent %d frames, want %d: %s", seed, v.Out, len(sent[v.Out]), n, v.Summary)
			return
		}
		got, want := sent[v.Out][0].Bytes(), r.Frame()
		if n := min(len(got), len(want)); !bytes.Equal(withoutID(got[:n]), withoutID(want[:n])) || len(got) < len(want) {
			w.t.Errorf("seed %d: the wire shows\n% x\nexplained as\n% x", seed, got, want)
		}
		sent[v.Out] = sent[v.Out][n:]
	}
	for port, rest := range sent {
		if len(rest) > 0 {
			w.t.Errorf("seed %d: %s sent %d frames that explain says nothing of: % x", seed, port, len(rest), rest[0].Bytes())
		}
	}
}

// withoutID is a frame without what an outer header, or one that the router has made,
// does not have twice: identification and checksum.
func withoutID(frame []byte) []byte {
	f := bytes.Clone(frame)
	if len(f) < packet.EthernetLen || f[12] != 8 || f[13] != 0 {
		return f
	}
	for ip := f[packet.EthernetLen:]; len(ip) >= packet.IPv4MinLen; ip = ip[packet.IPv4MinLen:] {
		clear(ip[4:6])
		clear(ip[10:12])
		if ip[9] != packet.ProtocolIPIP {
			break
		}
	}
	return f
}

// pieces is into how many frames a packet was cut.
func pieces(p *trace.Packet) int {
	for _, s := range p.Steps {
		var n int
		at := strings.Index(s.Detail, ": cut into ")
		if s.Step != "mtu" || at < 0 {
			continue
		}
		if _, err := fmt.Sscanf(s.Detail[at:], ": cut into %d fragments", &n); err == nil {
			return n
		}
	}
	return 1
}

// anyFrame is a frame that may come by ns1 or by the uplink: mostly a good one, with
// something about it that a router must look at.
func anyFrame(r *rand.Rand) (in string, f *packet.Frame) {
	in, eth := "ns1", ether(ns1MAC, gatewayMAC)
	if r.IntN(2) == 0 {
		in, eth = "ens160", ether(peerMAC, uplinkMAC)
	}
	if r.IntN(8) == 0 {
		return in, anyARP(r, in)
	}
	f = anyPacket(r, in, eth)
	if in == "ens160" && r.IntN(4) == 0 {
		outer := pick(r, peerIP, peerIP, peerIP, "192.168.0.99")
		f = ipip(outer, pick(r, hostIP, hostIP, "192.168.0.13"), f, func(ip *layers.IPv4) { ip.TOS = uint8(r.IntN(4)) })
	}
	return in, spoilt(r, f)
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func anyPacket(r *rand.Rand, in string, eth *layers.Ethernet) *packet.Frame {
	addresses := []string{ns1IP, ns2IP, farIP, "10.80.1.1", "10.81.0.9", "10.90.1.1", "10.91.0.1", "10.92.3.4", "10.99.1.1",
		gateway, hostIP, peerIP, "192.168.0.255", "127.0.0.1", "0.0.0.0", "224.0.0.5", "255.255.255.255", "169.254.9.9"}
	src := pick(r, ns1IP, ns1IP, ns1IP, pick(r, addresses...))
	if in == "ens160" {
		src = pick(r, farIP, farIP, farIP, pick(r, addresses...))
	}
	ip := ip4(src, pick(r, addresses...), layers.IPProtocolICMPv4)
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
		mac, from = peerMAC, pick(r, peerIP, peerIP, "0.0.0.0", "192.168.0.50")
	}
	return arp(pick[uint16](r, packet.ARPRequest, packet.ARPRequest, packet.ARPReply, 9), mac, from, packet.MAC{},
		pick(r, gateway, hostIP, farIP, ns1IP, ns2IP, "10.90.1.1", "10.99.0.1", "192.168.0.99"), packet.Broadcast)
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
		f.SetEthernet(f.DstMAC(), f.SrcMAC(), pick[uint16](r, 0x86dd, 0x8100, 0x88cc))
	}
	return f
}
