package sketch_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
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

// Each of IPv6 is on the wire what the line says, its checksum included.
func TestFrame6(t *testing.T) {
	const a, b = "fd00:70:1::1", "fd00:70:2::1"
	for line, want := range map[string]struct {
		hlim, class, next byte
		flow              uint32
		length            int
		ports             string
		fragment          string
	}{
		"icmp6 " + a + " > " + b + " hlim 1":                    {hlim: 1, next: 58, length: 48},
		"udp [" + a + "]:1234 > [" + b + "]:53 length 99":       {hlim: 64, next: 17, length: 99, ports: "1234 53"},
		"tcp [" + a + "]:1 > [" + b + "]:80 tclass 7 flow 99":   {hlim: 64, class: 7, flow: 99, next: 6, length: 60, ports: "1 80"},
		"udp " + a + " > " + b:                                  {hlim: 64, next: 17, length: 48, ports: "0 0"},
		"ip6 " + a + " > " + b:                                  {hlim: 64, next: 59, length: 40},
		"ip6 " + a + " > " + b + " proto 41 length 80":          {hlim: 64, next: 41, length: 80},
		"icmp6 " + a + " > " + b + " mf":                        {hlim: 64, next: 58, length: 56, fragment: "0 true 0"},
		"udp " + a + " > " + b + " id 4000000000 offset 8":      {hlim: 64, next: 17, length: 48, fragment: "8 false 4000000000"},
		"udp [" + a + "]:7 > [" + b + "]:8 id 5 mf length 1000": {hlim: 64, next: 17, length: 1000, fragment: "0 true 5", ports: "7 8"},
		"icmp6 fe80::1 > ff02::1 in ns1":                        {hlim: 64, next: 58, length: 48},
	} {
		p, err := sketch.Parse(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		f, err := p.Frame(packet.MAC{2, 0, 0, 0, 0, 1}, packet.MAC{2, 0, 0, 0, 0, 2})
		if err != nil {
			t.Fatal(err)
		}
		ip := packet.IPv6(f.Payload())
		u := ip.Upper()
		if ip.Version() != 6 || ip.HopLimit() != want.hlim || ip.TrafficClass() != want.class || ip.FlowLabel() != want.flow || len(ip) != want.length ||
			packet.IPv6MinLen+ip.PayloadLen() != len(ip) || u.Protocol != want.next || !u.OK || ip.Src() != p.Src || ip.Dst() != p.Dst || f.EtherType() != packet.EtherTypeIPv6 {
			t.Errorf("%s: built %x, upper %+v", line, []byte(ip), u)
		}
		fragment := ""
		if u.Fragment != 0 {
			h := packet.FragmentHeader(ip[u.Fragment:])
			fragment = fmt.Sprint(h.Offset(), h.More(), h.ID())
		}
		if fragment != want.fragment {
			t.Errorf("%s: fragment %q, want %q", line, fragment, want.fragment)
		}
		if want.ports != "" && fmt.Sprint(binary.BigEndian.Uint16(ip[u.At:]), binary.BigEndian.Uint16(ip[u.At+2:])) != want.ports {
			t.Errorf("%s: ports %x", line, ip[u.At:u.At+4])
		}
		if at := u.At; p.Offset == 0 && want.next != 59 && want.next != 41 && wholeSum(ip, want.next, at) != 0xffff {
			t.Errorf("%s: the checksum is wrong", line)
		}
		if group := f.DstMAC().IsGroup(); group != p.Dst.IsMulticast() {
			t.Errorf("%s: to %s", line, f.DstMAC())
		}
	}
}

// wholeSum is the checksum's sum over a transport header and its pseudo-header.
func wholeSum(ip packet.IPv6, protocol byte, at int) uint16 {
	pseudo := append(slices.Clone([]byte(ip[8:40])), 0, 0, byte((len(ip)-at)>>8), byte(len(ip)-at), 0, 0, 0, protocol)
	return packet.Sum(append(pseudo, ip[at:]...), 0)
}

func TestND(t *testing.T) {
	src := packet.MAC{2, 0, 0, 0, 0, 1}
	for line, want := range map[string]packet.MAC{
		"nd who has fe80::ecee:eeff:feee:eeee tell fd00:70:1::1 in ns1": src,
		"nd who has fd00:70:1::1 tell ::":                               {},
	} {
		p, err := sketch.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		f, err := p.Frame(src, packet.MAC{2, 0, 0, 0, 0, 2})
		if err != nil {
			t.Fatal(err)
		}
		m, ok := packet.ParseND(packet.IPv6(f.Payload()))
		if !ok || m.Target != p.Dst || m.Src != p.Src || m.MAC != want || f.DstMAC() != packet.GroupMAC(packet.SolicitedNode(p.Dst)) || f.SrcMAC() != src {
			t.Errorf("%s: built %+v %v to %s", line, m, ok, f.DstMAC())
		}
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
		"icmp fd00::1 > fd00::2":               "write icmp6",
		"ip fd00::1 > fd00::2":                 "write ip6",
		"icmp6 1.1.1.1 > 2.2.2.2":              "write icmp",
		"ip6 1.1.1.1 > 2.2.2.2":                "write ip",
		"udp fd00::1 > 2.2.2.2":                `"2.2.2.2" is no IPv6 address, as the source is`,
		"udp 1.1.1.1:1 > [fd00::1]:1":          `"fd00::1" is no IPv4 address, as the source is`,
		"icmp6 [fd00::1]:3 > fd00::2":          "only tcp and udp",
		"icmp6 [fd00::1] > fd00::2":            "write fd00::1",
		"tcp [fd00::1 > fd00::2":               `"[fd00::1"`,
		"tcp [fd00::g]:1 > fd00::2":            `such as [fd00:70:1::1]:53`,
		"tcp [fd00::1]:70000 > [fd00::2]:1":    `"70000"`,
		"icmp6 fe80::1%eth0 > fd00::2":         "`in PORT`",
		"icmp6 fd00::1 > fd00::2 ttl 1":        "hlim",
		"icmp6 fd00::1 > fd00::2 tos 1":        "tclass",
		"icmp6 fd00::1 > fd00::2 df":           "no IPv6 packet is cut",
		"icmp 1.1.1.1 > 2.2.2.2 hlim 1":        "ttl",
		"icmp 1.1.1.1 > 2.2.2.2 flow 1":        `"flow"`,
		"icmp6 fd00::1 > fd00::2 flow 1048576": "1048575",
		"icmp6 fd00::1 > fd00::2 length 47":    "48",
		"icmp6 fd00::1 > fd00::2 mf length 50": "56",
		"nd fd00::1":                           "nd who has",
		"nd who has 10.0.0.1 tell fd00::1":     "no IPv6 address",
		"nd who has fd00::1 tell fd00::2 df":   `"df"`,
		"arp who has fd00::1 tell 10.0.0.1":    "no IPv4 address",
		"arp who has nobody tell 10.70.1.1":    `"nobody"`,
		"arp who has 10.0.0.1 tell 10.0.0.2 x": `"x"`,
	} {
		_, err := sketch.Parse(line)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v; want one line with %s", line, err, want)
		}
	}
}
