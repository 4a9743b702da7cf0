package e2e

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/packet"
)

// A LAN's ordinary frames are no losses: the metric that alerts are for stays at 0, and
// only what was sent to the router itself comes first in `show drops`.
func TestNoiseAtTheUplink(t *testing.T) {
	ns := newHost(t)
	const socket = "/run/vrouter/vrouter.sock"
	startRouter(t, ns, socket, hostConfig)
	in(t, ns, func() error { return withLink("cable", netlink.LinkSetUp) })
	other := packet.MAC{2, 0, 0, 0, 0, 0x63}
	frame := func(dst, rest string) []byte {
		b, err := hex.DecodeString(dst + strings.ReplaceAll(other.String(), ":", "") + rest)
		if err != nil {
			t.Fatal(err)
		}
		return append(b, make([]byte, 60-len(b))...)
	}
	ask := make([]byte, packet.ARPLen)
	(&packet.ARPMessage{Op: packet.ARPRequest, SenderMAC: other, SenderIP: netip.MustParseAddr("192.168.0.50"), TargetIP: netip.MustParseAddr("192.168.0.51")}).Put(ask)
	igmp := make([]byte, packet.IPv4MinLen+8)
	packet.PutIPv4(igmp, &packet.Header{TotalLen: len(igmp), TTL: 1, Protocol: 2, Src: netip.MustParseAddr("192.168.0.50"), Dst: netip.MustParseAddr("224.0.0.1")})
	sent := [][]byte{
		frame("0180c2000000", "0026424203"),                 // spanning tree
		frame("0180c200000e", "88cc0207"),                   // LLDP
		frame("333300000002", "86dd60000000"),               // IPv6: the host's alone, as this router has none
		frameTo(broadcast, other, packet.EtherTypeARP, ask), // between others
		frameTo(packet.MAC{1, 0, 0x5e, 0, 0, 1}, other, packet.EtherTypeIPv4, igmp),
	}
	before := scrape(t, ns)
	for range 20 {
		sendRaw(t, ns, "cable", sent)
	}
	grown := func(name string, labels ...string) float64 { return scrape(t, ns).since(before)[key(name, labels...)] }
	eventually(t, "all of it is counted", func() bool {
		return grown("step_packets_total", `step="arp"`, `verdict="consume"`) >= 40 &&
			grown("drop_packets_total", `port="ens160"`, `reason="arp_ignored"`) >= 20 &&
			grown("drop_packets_total", `port="ens160"`, `reason="martian_destination"`) >= 20
	})
	for k, n := range scrape(t, ns) {
		if strings.HasPrefix(k, "lost_packets_total{") && n != 0 {
			t.Errorf("%s is %v", k, n)
		}
	}
	sendRaw(t, ns, "cable", [][]byte{frameTo(packet.MAC(macOf(t, ns, "ens160")), other, 0x1234, make([]byte, 46))})
	eventually(t, "the loss is counted", func() bool { return grown("lost_packets_total", `reason="unknown_ethertype"`) == 1 })
	out := vrouter(t, "--socket", socket, "show", "drops").wantOK(t)
	if lines := strings.Split(out, "\n"); !strings.HasPrefix(lines[1], "unknown_ethertype") {
		t.Errorf("what is lost does not come first:\n%s", out)
	}
	for _, d := range decode[[]control.Drop](t, vrouter(t, "--socket", socket, "show", "drops", "-o", "json").wantOK(t)) {
		if lost := d.Packets - d.Noise; lost != 0 && d.Reason != "unknown_ethertype" {
			t.Errorf("%+v", d)
		}
	}
}
