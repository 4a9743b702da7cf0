package sketch_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/sketch"
)

func TestFrame(t *testing.T) {
	p, err := sketch.Parse("udp 10.70.1.1:5000 > 10.70.2.1:53 ttl 7 length 100 tos 3 id 9 df")
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.Frame(packet.MAC{2, 0, 0, 0, 0, 1}, packet.MAC{2, 0, 0, 0, 0, 2})
	if err != nil {
		t.Fatal(err)
	}
	got := gopacket.NewPacket(f.Bytes(), layers.LayerTypeEthernet, gopacket.Default)
	ip, udp := got.Layer(layers.LayerTypeIPv4).(*layers.IPv4), got.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if ip.TTL != 7 || ip.Length != 100 || ip.TOS != 3 || ip.Id != 9 || ip.Flags != layers.IPv4DontFragment ||
		ip.SrcIP.String() != "10.70.1.1" || ip.DstIP.String() != "10.70.2.1" || udp.SrcPort != 5000 || udp.DstPort != 53 {
		t.Errorf("built %v %v", ip, udp)
	}
	if packet.Checksum(f.Payload()[:20]) != 0 {
		t.Error("the header's checksum is wrong")
	}
}

func TestARP(t *testing.T) {
	p, err := sketch.Parse("arp who has 169.254.1.1 tell 10.70.1.1 in ns1")
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.Frame(packet.MAC{2, 0, 0, 0, 0, 1}, packet.MAC{})
	if err != nil {
		t.Fatal(err)
	}
	m, ok := packet.ParseARP(f.Payload())
	if !ok || m.TargetIP != netip.MustParseAddr("169.254.1.1") || m.SenderIP != netip.MustParseAddr("10.70.1.1") || f.DstMAC() != packet.Broadcast || p.In != "ns1" {
		t.Errorf("built %+v to %s by %q", m, f.DstMAC(), p.In)
	}
}

func TestErrorsNameTheWord(t *testing.T) {
	for line, want := range map[string]string{
		"":                                     "no packet",
		"sctp 1.1.1.1 > 2.2.2.2":               `"sctp"`,
		"icmp 1.1.1.1 2.2.2.2":                 `after "icmp"`,
		"icmp 1.1.1 > 2.2.2.2":                 `"1.1.1"`,
		"icmp ::1 > 2.2.2.2":                   `"::1"`,
		"icmp 1.1.1.1:3 > 2.2.2.2":             "only tcp and udp",
		"tcp 1.1.1.1:70000 > 2.2.2.2":          `"70000"`,
		"icmp 1.1.1.1 > 2.2.2.2 ttl":           "ttl",
		"icmp 1.1.1.1 > 2.2.2.2 ttl 256":       `"256"`,
		"icmp 1.1.1.1 > 2.2.2.2 hop 3":         `"hop"`,
		"icmp 1.1.1.1 > 2.2.2.2 length 20":     "28",
		"ip 1.1.1.1 > 2.2.2.2 offset 7":        "offset",
		"arp 10.70.1.1":                        "arp who has",
		"arp who has nobody tell 10.70.1.1":    `"nobody"`,
		"arp who has 10.0.0.1 tell 10.0.0.2 x": `"x"`,
	} {
		_, err := sketch.Parse(line)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v; want one line with %s", line, err, want)
		}
	}
}
