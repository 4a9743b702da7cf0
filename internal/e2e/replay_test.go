package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/sketch"
)

// described are frames for ns1's gateway, one of each line.
func described(t *testing.T, lines ...string) (frames [][]byte) {
	t.Helper()
	for _, line := range lines {
		s, err := sketch.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Frame([6]byte{2, 0, 0, 0, 0, 1}, [6]byte{0xee, 0xee, 0xee, 0xee, 0xee, 0xee})
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, bytes.Clone(f.Bytes()))
	}
	return frames
}

func pcap(t *testing.T, link layers.LinkType, frames [][]byte) string {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	if err := w.WriteFileHeader(65536, link); err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(f), Length: len(f)}, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

const (
	onward   = "rx > check > route > ttl > neigh > tx"
	expires  = "rx > check > route > dropped at ttl (ttl_exceeded)"
	homeless = "rx > check > dropped at route (no_route)"
	spoofed  = "rx > check > dropped at rpf (rpf_failed)"
)

// A capture's packets are counted by the ways that they would take, and none takes one.
func TestReplay(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	before := vrouter(t, "--socket", h.Socket, "show", "drops").wantOK(t)
	frames := described(t, "icmp 10.70.1.1 > 10.70.2.1 ttl 1", "icmp 10.70.1.1 > 10.70.2.1", "udp 10.70.1.1:1 > 10.70.2.1:2",
		"tcp 10.70.1.1:1 > 10.70.2.1:2", "icmp 10.70.1.1 > 10.99.0.1", "udp 10.70.1.1:1 > 10.70.2.1:2 ttl 1")
	capture := pcap(t, layers.LinkTypeEthernet, frames)
	all := file(t, "all.pcap", capture)
	got := decode[control.Replayed](t, vrouter(t, "--socket", h.Socket, "replay", all, "-o", "json").wantOK(t))
	want := control.Replayed{Packets: 6, Ways: []control.Taken{
		{Way: onward, Outcome: "forwarded", Packets: 3, First: 2},
		{Way: expires, Outcome: "dropped", Reason: "ttl_exceeded", Packets: 2, First: 1},
		{Way: homeless, Outcome: "dropped", Reason: "no_route", Packets: 1, First: 5},
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	text := fmt.Sprintf("3 packets: %s  (first: 2)\n2 packets: %s  (first: 1)\n1 packet: %s  (first: 5)\n", onward, expires, homeless)
	if out := vrouter(t, "--socket", h.Socket, "replay", all).wantOK(t); out != text {
		t.Errorf("the ways are\n%s, want\n%s", out, text)
	}
	other := file(t, "other.pcap", pcap(t, layers.LinkTypeEthernet, described(t, "icmp 10.70.1.7 > 10.70.2.1")))
	if out := vrouter(t, "--socket", h.Socket, "replay", "--in", "ns1", other).wantOK(t); out != "1 packet: "+spoofed+"  (first: 1)\n" {
		t.Errorf("the way of another's packet is %s", out)
	}
	if d := cmp.Diff(before, vrouter(t, "--socket", h.Socket, "show", "drops").wantOK(t)); d != "" {
		t.Errorf("a replay has counted drops:\n%s", d)
	}
}

// What `tcpdump -i any` has written does not say which station a frame was for: one that
// was for the host takes the way that it took. Bare packets of both families do, too.
func TestReplayOtherLinks(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	frames := described(t, "icmp 10.70.1.1 > 10.70.2.1 ttl 1", "udp 10.70.1.1:1 > 10.70.2.1:2")
	cooked := func(link uint32, head func(kind byte, f []byte) []byte) string {
		var all [][]byte
		for _, kind := range []byte{0, 3, 4} { // for this host, for another one, sent by this one
			for _, f := range frames {
				all = append(all, append(head(kind, f), f[14:]...))
			}
		}
		b := []byte(pcap(t, 0, all))
		binary.LittleEndian.PutUint32(b[20:], link)
		return string(b)
	}
	version6 := described(t, "ip6 fd00:70:1::1 > fd00:70:2::1")[0][14:]
	bare := [][]byte{frames[0][14:], frames[1][14:], version6}
	family := func(list [][]byte) (all [][]byte) {
		for _, b := range list {
			all = append(all, append([]byte{2 + 28*(b[0]>>4/6), 0, 0, 0}, b...))
		}
		return all
	}
	both := "2 packets: " + expires + "  (first: 1)\n2 packets: " + onward + "  (first: 2)\n"
	one := "1 packet: " + expires + "  (first: 1)\n1 packet: " + onward + "  (first: 2)\n1 packet: " + homeless + "  (first: 3)\n"
	for _, c := range []struct{ name, text, want string }{
		{"sll2.pcap", cooked(276, func(kind byte, f []byte) []byte {
			return append([]byte{8, 0, 0, 0, 0, 0, 0, 2, 0, 1, kind, 6}, append(f[6:12:12], 0, 0)...)
		}), both},
		{"sll.pcap", cooked(113, func(kind byte, f []byte) []byte {
			return append([]byte{0, kind, 0, 1, 0, 6}, append(f[6:12:12], 0, 0, 8, 0)...)
		}), both},
		{"raw.pcap", pcap(t, 101, bare), one},
		{"null.pcap", pcap(t, 0, family(bare)), one},
		{"loop.pcap", pcap(t, 108, family(bare)), one},
	} {
		if out := vrouter(t, "--socket", h.Socket, "replay", file(t, c.name, c.text)).wantOK(t); out != c.want {
			t.Errorf("%s: the ways are\n%s, want\n%s", c.name, out, c.want)
		}
	}
}

func TestReplayErrors(t *testing.T) {
	h := labUp(t, "")[0]
	frames := described(t, "icmp 10.70.1.1 > 10.70.2.1 ttl 1", "icmp 10.70.1.1 > 10.99.0.1")
	whole := pcap(t, layers.LinkTypeEthernet, frames)
	for _, c := range []struct{ name, text, err string }{
		{"empty", "", "it is empty"},
		{"words", "these are words and no capture", "it is no capture"},
		{"radio.pcap", pcap(t, layers.LinkTypeIEEE802_11, frames), `packet 1: its link type is 105 .* not known`},
	} {
		r := vrouter(t, "--socket", h.Socket, "replay", file(t, c.name, c.text))
		if wantOneLine(t, r.err, c.err); r.status != 1 {
			t.Errorf("%s: status %d", c.name, r.status)
		}
	}
	r := vrouter(t, "--socket", h.Socket, "replay", file(t, "cut.pcap", whole[:len(whole)-3]))
	if wantOneLine(t, r.err, "it breaks off after packet 1: "); r.status != 1 || r.out != "1 packet: "+expires+"  (first: 1)\n" {
		t.Errorf("a cut capture: status %d, %s", r.status, r.out)
	}
	vrouter(t, "--socket", h.Socket, "replay", "--in", "nowhere", file(t, "whole.pcap", whole)).wantError(t, 1, `no port "nowhere"`)
	vrouter(t, "--socket", h.Socket, "replay", "/nonexistent").wantError(t, 1, "/nonexistent: no such file")
}

// A packet that was kept is explained like one that is described.
func TestExplainKept(t *testing.T) {
	h := labUp(t, "")[0]
	frames := described(t, "icmp 10.70.1.1 > 10.99.0.1", "icmp 10.70.1.1 > 10.70.2.1 ttl 1")
	explain := func(args ...string) string {
		args = append([]string{"--socket", h.Socket, "explain", "-o", "json"}, args...)
		e := decode[control.Explanation](t, vrouter(t, args...).wantOK(t))
		return e.Packets[0].In + " " + e.Packets[0].Reason
	}
	capture := file(t, "two.pcap", pcap(t, layers.LinkTypeEthernet, frames))
	dump := file(t, "frame.hex", hex.Dump(frames[1]))
	bare := file(t, "ip.hex", hex.EncodeToString(frames[1][14:]))
	for _, c := range []struct {
		want string
		args []string
	}{
		{"ns1 no_route", []string{"--pcap", capture}},
		{"ns1 ttl_exceeded", []string{"--pcap", capture, "--packet", "2"}},
		{"ns1 ttl_exceeded", []string{"--hex", dump}},
		{"ns1 ttl_exceeded", []string{"--hex", bare}},
		{"ens160 ttl_exceeded", []string{"--hex", bare, "--in", "ens160"}},
	} {
		if got := explain(c.args...); got != c.want {
			t.Errorf("explain %q: %s, want %s", c.args, got, c.want)
		}
	}
	other, length := bytes.Clone(frames[1]), bytes.Clone(frames[1])
	copy(other, []byte{2, 0, 0, 0, 0, 9})
	copy(length[12:], []byte{0, byte(len(length) - 14)})
	for want, f := range map[string][]byte{"ns1 not_for_router": other, "ns1 unknown_ethertype": length} {
		if got := explain("--hex", file(t, "as_it_is.hex", hex.EncodeToString(f)), "--in", "ns1"); got != want {
			t.Errorf("explain % x: %s, want %s", f, got, want)
		}
	}
	vrouter(t, "--socket", h.Socket, "explain", "--pcap", capture, "--packet", "3").wantError(t, 1, "it has 2 packets, and no packet 3")
	vrouter(t, "explain", "--pcap", capture, "--hex", dump).wantError(t, 2, "give one of the three")
	vrouter(t, "explain", "--packet", "0", "--pcap", capture).wantError(t, 2, "packets are numbered from 1")
	if err := os.Remove(dump); err != nil {
		t.Fatal(err)
	}
	vrouter(t, "--socket", h.Socket, "explain", "--hex", dump).wantError(t, 1, "no such file")
}
