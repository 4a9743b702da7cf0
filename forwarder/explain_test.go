package forwarder_test

import (
	"bytes"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// What explain says is what the wire shows: the same packet, explained and then
// sent, has the same outcome by the same port, and the same bytes.
func TestExplainIsWhatTheWireShows(t *testing.T) {
	b := newBed(t)
	b.resolve()
	b.via("10.80.0.0/16", peerIP, rib.IPIP)
	b.route(rib.Route{Prefix: prefix("10.90.0.0/16"), Type: rib.Blackhole, Port: rib.NoPort, Protocol: "static", Source: rib.Static})
	ports := map[string]*link.Memory{"ns1": b.ns1, "ns2": b.ns2, "ens160": b.uplink}
	rapid.Check(t, func(rt *rapid.T) {
		in := rapid.SampledFrom([]string{"ns1", "ens160"}).Draw(rt, "in")
		f := randomPacket(rt, in)
		before := b.router.Stats()
		records, err := b.router.DryRun().Explain(in, f.Clone())
		if err != nil {
			rt.Fatal(err)
		}
		if b.router.Stats().Counters != before.Counters {
			rt.Fatal("explaining changed a counter")
		}
		for name, m := range ports {
			if len(m.Sent()) > 0 {
				rt.Fatalf("explaining sent a frame by %s", name)
			}
		}
		ports[in].Send(f)
		want := records[0].View("h")
		sent := map[string][]*packet.Frame{}
		for name, m := range ports {
			sent[name] = m.Sent()
		}
		if b.router.Stats().Withheld["rate_limit"] == before.Withheld["rate_limit"] {
			compareWire(rt, want, records, sent) // explain does not know how many errors went before
		}
	})
}

// compareWire wants the frames that the records speak of, and no other. A packet
// the router made differs in its identification, which counts on.
func compareWire(rt *rapid.T, want trace.Packet, records []*trace.Record, sent map[string][]*packet.Frame) {
	expected := map[string]int{}
	for _, r := range records {
		if v := r.View("h"); v.Outcome == trace.Forwarded {
			expected[v.Out] += frames(&v)
		}
	}
	for name, out := range sent {
		if len(out) != expected[name] {
			rt.Fatalf("explained as %s %s; %s sent %d frames, want %d", want.Outcome, want.Reason, name, len(out), expected[name])
		}
	}
	if want.Outcome != trace.Forwarded {
		return
	}
	got, said := sent[want.Out][0].Bytes(), records[0].Frame()
	if got[packet.EthernetLen+9] == packet.ProtocolIPIP { // the outer header's identification counts on
		got, said = got[packet.EthernetLen+packet.IPv4MinLen:], said[packet.EthernetLen+packet.IPv4MinLen:]
	}
	if n := min(len(got), len(said)); !bytes.Equal(got[:n], said[:n]) {
		rt.Fatalf("the wire shows\n% x\nexplained as\n% x", got, said)
	}
}

// frames is how many a packet leaves in: the largest ones of this test make two
// fragments.
func frames(p *trace.Packet) int {
	for _, s := range p.Steps {
		if s.Step == "mtu" && s.Verdict == "edit" {
			return 2
		}
	}
	return 1
}

func randomPacket(rt *rapid.T, in string) *packet.Frame {
	eth := ether(ns1MAC, gatewayMAC)
	if in == "ens160" {
		eth = ether(peerMAC, uplinkMAC)
	}
	address := rapid.SampledFrom([]string{ns1IP, ns2IP, farIP, "10.80.1.1", "10.90.1.1", "10.99.1.1", gateway, hostIP, peerIP, "127.0.0.1"})
	ip := ip4(address.Draw(rt, "src"), address.Draw(rt, "dst"), layers.IPProtocolICMPv4)
	ip.TTL = uint8(rapid.IntRange(0, 3).Draw(rt, "ttl"))
	ip.TOS = uint8(rapid.IntRange(0, 255).Draw(rt, "tos"))
	if rapid.Bool().Draw(rt, "df") {
		ip.Flags = layers.IPv4DontFragment
	}
	size := rapid.SampledFrom([]int{0, 56, 1472}).Draw(rt, "size")
	return frame(eth, ip, echo(uint16(rapid.IntRange(0, 65535).Draw(rt, "seq"))), gopacket.Payload(make([]byte, size)))
}
