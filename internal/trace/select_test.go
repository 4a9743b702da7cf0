package trace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/sketch"
)

func sketched(t *testing.T, line string) []byte {
	t.Helper()
	s, err := sketch.Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Frame(packet.MAC{2, 1}, packet.MAC{2, 2})
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(f.Bytes())
}

// onItsWay is a packet at another router: with other MACs, a lower TTL, in a tunnel.
func onItsWay(b []byte, tunnel bool) []byte {
	next := bytes.Clone(b)
	copy(next, []byte{2, 9, 9, 9, 9, 9, 2, 8, 8, 8, 8, 8})
	packet.IP(next[packet.EthernetLen:]).SetHopLimit(9)
	if !tunnel {
		return next
	}
	ip := next[packet.EthernetLen:]
	outer := make([]byte, packet.EthernetLen+packet.IPv4MinLen, len(next)+packet.IPv4MinLen)
	copy(outer, next[:12])
	binary.BigEndian.PutUint16(outer[12:], packet.EtherTypeIPv4)
	packet.PutIPv4(outer[packet.EthernetLen:], &packet.Header{
		TotalLen: packet.IPv4MinLen + len(ip), TTL: 64, ID: uint16(b[len(b)-1]), Protocol: map[int]byte{4: packet.ProtocolIPIP, 6: packet.ProtocolIPv6}[packet.IP(ip).Version()],
		Src: packet.IPv4Addr([]byte{192, 168, 0, 11}), Dst: packet.IPv4Addr([]byte{192, 168, 0, 12}),
	})
	return append(outer, ip...)
}

// Every router selects the same packets, about one in so many; and the answer to an echo request with it.
func TestSelected(t *testing.T) {
	const oneIn, packets = 8, 4000
	for name, line := range map[string]string{
		"echo": "icmp 10.70.1.1 > 10.70.2.1 id %d", "UDP": "udp 10.70.1.1:53 > 10.70.2.1:53 id %d", "fragments": "udp 10.70.1.1:53 > 10.70.2.1:53 mf id %d",
		"UDP flows of IPv6": "udp [fd00:70:1::1]:%d > [fd00:70:2::1]:53", "TCP flows": "tcp 10.70.1.1:%d > 10.70.2.1:80", "another protocol": "ip 10.70.1.1 > 10.70.2.1 proto 132 id %d",
	} {
		n := 0
		for i := range packets {
			b := sketched(t, fmt.Sprintf(line, i+1))
			if name == "echo" {
				binary.BigEndian.PutUint16(b[packet.EthernetLen+packet.IPv4MinLen+6:], uint16(i))
			}
			yes := selected(b, oneIn)
			if yes {
				n++
			}
			for _, tunnel := range []bool{false, true} {
				if selected(onItsWay(b, tunnel), oneIn) != yes {
					t.Fatalf("%s, in a tunnel %v: the next router decides otherwise", name, tunnel)
				}
			}
			if name == "echo" {
				reply := bytes.Clone(b)
				copy(reply[26:30], b[30:34])
				copy(reply[30:34], b[26:30])
				reply[34] = packet.ICMPEchoReply
				if selected(reply, oneIn) != yes {
					t.Fatal("the reply is decided otherwise")
				}
			}
		}
		if n < packets/oneIn*3/4 || n > packets/oneIn*5/4 {
			t.Errorf("%s: %d of %d are selected, want one in %d", name, n, packets, oneIn)
		}
	}
}

// What a superframe is cut into is selected as it is, and what acknowledges it, up to 64 KB of the stream; an ICMP error as
// the packet that it quotes; and what finds neighbours always.
func TestSelectedTogether(t *testing.T) {
	const oneIn = 2
	for port := range 200 {
		whole := sketched(t, fmt.Sprintf("tcp 10.70.1.1:%d > 10.70.2.1:80 length 1400", 1000+port))
		tcp := whole[packet.EthernetLen+packet.IPv4MinLen:]
		binary.BigEndian.PutUint32(tcp[4:], 0x10000)
		tcp[13] = 16
		yes := selected(whole, oneIn)
		part := bytes.Clone(whole)
		binary.BigEndian.PutUint32(part[packet.EthernetLen+packet.IPv4MinLen+4:], 0x1fffe)
		ack := sketched(t, fmt.Sprintf("tcp 10.70.2.1:80 > 10.70.1.1:%d", 1000+port))
		tcp = ack[packet.EthernetLen+packet.IPv4MinLen:]
		binary.BigEndian.PutUint32(tcp[8:], 0x18000)
		tcp[13] = 16
		if selected(part, oneIn) != yes || selected(ack, oneIn) != yes {
			t.Fatalf("port %d: selected %v, a part %v, its acknowledgement %v", 1000+port, yes, selected(part, oneIn), selected(ack, oneIn))
		}
		ping := sketched(t, fmt.Sprintf("icmp 10.70.1.1 > 10.70.2.%d id 7", port+1))
		told := sketched(t, "icmp 192.168.0.12 > 10.70.1.1 length 56")
		icmp := told[packet.EthernetLen+packet.IPv4MinLen:]
		icmp[0] = packet.ICMPTimeExceeded
		copy(icmp[packet.ICMPHeaderLen:], ping[packet.EthernetLen:])
		if selected(told, oneIn) != selected(ping, oneIn) {
			t.Fatalf("ping to 10.70.2.%d: the error about it is decided otherwise", port+1)
		}
	}
	for _, line := range []string{"arp who has 10.70.1.1 tell 10.70.1.2", "nd who has fd00::1 tell fd00::2"} {
		if !selected(sketched(t, line), 1<<40) {
			t.Errorf("%s is left out", line)
		}
	}
}

func FuzzSelected(f *testing.F) {
	f.Add([]byte{}, uint64(2))
	f.Fuzz(func(_ *testing.T, b []byte, oneIn uint64) { selected(b, max(1, oneIn)) })
}
