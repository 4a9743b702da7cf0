package dissect

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/sketch"
)

// frame is that of a packet that is described in one line.
func frame(t testing.TB, line string) []byte {
	t.Helper()
	p, err := sketch.Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.Frame(packet.MAC{2, 0, 0, 0, 0, 1}, packet.MAC{2, 0, 0, 0, 0, 2})
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(f.Bytes())
}

// around puts the IP packet of a frame into another header.
func around(inner []byte, protocol byte) []byte {
	f := packet.NewFrame()
	ip := inner[packet.EthernetLen:]
	f.Reset(packet.EthernetLen + packet.IPv4MinLen + len(ip))
	copy(f.Bytes(), inner[:packet.EthernetLen])
	f.SetEthernet(packet.MAC{2}, packet.MAC{4}, packet.EtherTypeIPv4)
	packet.PutIPv4(f.Payload(), &packet.Header{TotalLen: packet.IPv4MinLen + len(ip), TTL: 64, Protocol: protocol, Src: packet.IPv4Addr([]byte{192, 168, 0, 11}), Dst: packet.IPv4Addr([]byte{192, 168, 0, 12})})
	copy(f.Payload()[packet.IPv4MinLen:], ip)
	return bytes.Clone(f.Bytes())
}

func timeExceeded(quoted []byte) []byte {
	b := make([]byte, 8+len(quoted))
	b[0] = packet.ICMPTimeExceeded
	copy(b[8:], quoted)
	f := packet.NewFrame()
	f.Reset(packet.EthernetLen + packet.IPv4MinLen + len(b))
	f.SetEthernet(packet.MAC{2}, packet.MAC{4}, packet.EtherTypeIPv4)
	packet.PutIPv4(f.Payload(), &packet.Header{TotalLen: packet.IPv4MinLen + len(b), TTL: 64, Protocol: packet.ProtocolICMP, Src: packet.IPv4Addr([]byte{10, 0, 0, 1}), Dst: packet.IPv4Addr([]byte{10, 0, 0, 2})})
	copy(f.Payload()[packet.IPv4MinLen:], b)
	return bytes.Clone(f.Bytes())
}

func TestFields(t *testing.T) {
	ping := frame(t, "icmp 10.70.1.1 > 10.70.2.1 ttl 9 length 84 id 41")
	inVLAN := slices.Concat(ping[:12], []byte{0x81, 0, 0x20, 5}, ping[12:])
	vxlan := frame(t, "udp 192.168.0.11:5000 > 192.168.0.12:4789 length 200")
	at := packet.EthernetLen + packet.IPv4MinLen + 8
	copy(vxlan[at:], []byte{8, 0, 0, 0, 0, 0x10, 0, 0})
	copy(vxlan[at+8:], ping)
	fragment := slices.Clone(ping)
	fragment[20], fragment[21] = 0, 3
	for name, c := range map[string]struct {
		frame []byte
		want  []string
	}{
		"ping": {ping, []string{"0-6 Ethernet destination 02:00:00:00:00:02", "12-14 Ethernet type 0x0800, IPv4", "22-23 IPv4 TTL 9",
			"23-24 IPv4 protocol 1, ICMP", "26-30 IPv4 source 10.70.1.1", "34-35 ICMP type 8, echo request", "18-20 IPv4 identification 41"}},
		"fragment":  {fragment, []string{"20-22 IPv4 flags and fragment offset none, offset 24", "34-98 data data 64 bytes"}},
		"VLAN":      {inVLAN, []string{"12-14 Ethernet type 0x8100, 802.1Q", "14-16 802.1Q priority and VLAN priority 1, VLAN 5", "30-34 IPv4 source 10.70.1.1"}},
		"ARP":       {frame(t, "arp who has 169.254.1.1 tell 10.70.1.1"), []string{"20-22 ARP operation 1, request", "38-42 ARP target protocol address 169.254.1.1"}},
		"TCP":       {frame(t, "tcp 10.70.1.1:5000 > 10.70.2.1:80"), []string{"34-36 TCP source port 5000", "47-48 TCP flags SYN"}},
		"IP-in-IP":  {around(ping, packet.ProtocolIPIP), []string{"23-24 IPv4 protocol 4, IPv4 in it", "46-50 IPv4 source 10.70.1.1"}},
		"VXLAN":     {vxlan, []string{"46-49 VXLAN VNI 4096", "50-56 Ethernet destination 02:00:00:00:00:02", "76-80 IPv4 source 10.70.1.1"}},
		"error":     {timeExceeded(ping[packet.EthernetLen:]), []string{"34-35 ICMP type 11, time exceeded", "54-58 quoted IPv4 source 10.70.1.1", "62-63 quoted ICMP type 8, echo request"}},
		"IPv6":      {frame(t, "udp [fd00:70:1::1]:1234 > [fd00:70:2::1]:53"), []string{"20-21 IPv6 next header 17, UDP", "22-38 IPv6 source fd00:70:1::1", "56-58 UDP destination port 53"}},
		"ICMPv6":    {frame(t, "icmp6 fd00:70:1::1 > fd00:70:2::1 hlim 1"), []string{"21-22 IPv6 hop limit 1", "54-55 ICMPv6 type 128, echo request"}},
		"cut short": {ping[:27], []string{"24-26 IPv4 header checksum 0x" + fmt.Sprintf("%02x%02x", ping[24], ping[25]), "26-27 data data 1 bytes"}},
	} {
		var got []string
		for _, f := range Frame(c.frame) {
			got = append(got, fmt.Sprintf("%d-%d %s %s %s", f.From, f.To, f.Layer, f.Name, f.Value))
		}
		for _, want := range c.want {
			if !slices.Contains(got, want) {
				t.Errorf("%s: no %q in %q", name, want, got)
			}
		}
	}
}

// Of any frame, each byte is of one field or more, in order, and nothing is named that is not there.
func FuzzFrame(f *testing.F) {
	ping := frame(f, "icmp 10.70.1.1 > 10.70.2.1")
	for _, b := range [][]byte{ping, around(ping, packet.ProtocolIPIP), timeExceeded(ping[14:]), frame(f, "tcp 10.70.1.1:1 > 10.70.2.1:80"),
		frame(f, "icmp6 fd00:70:1::1 > fd00:70:2::1"), frame(f, "arp who has 169.254.1.1 tell 10.70.1.1")} {
		for n := range len(b) {
			f.Add(b[:n])
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		at := 0
		for _, x := range Frame(b) {
			if x.From > at || x.To > len(b) || x.To <= x.From || x.To < at {
				t.Fatalf("%+v after byte %d of %d", x, at, len(b))
			}
			at = x.To
		}
		if at != len(b) {
			t.Fatalf("bytes from %d on are of no field", at)
		}
	})
}

func TestChanged(t *testing.T) {
	ping := frame(t, "icmp 10.70.1.1 > 10.70.2.1 ttl 9 length 84")
	lower := slices.Clone(ping)
	packet.IPv4(lower[14:]).SetTTL(8)
	inTunnel := around(ping, packet.ProtocolIPIP)
	for name, c := range map[string]struct {
		before, after []byte
		want          string
	}{
		"nothing": {ping, ping, "[] []"},
		"TTL":     {ping, lower, "[{22 23} {24 25}] []"},
		"encap":   {ping, inTunnel, "[{0 12} {14 34}] []"},
		"decap":   {inTunnel, ping, "[{0 12}] [{14 34}]"},
		"cut":     {ping, ping[:60], "[] []"},
	} {
		changed, removed := Changed(c.before, c.after, len(c.before), len(c.after))
		got := fmt.Sprint(changed, removed)
		if name == "encap" || name == "decap" { // the MACs are other ones, some of their bytes are not
			got = fmt.Sprint([]Range{{0, 12}}, removed)
			if name == "encap" {
				got = fmt.Sprint([]Range{{0, 12}, changed[len(changed)-1]}, removed)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
