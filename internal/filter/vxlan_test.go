package filter

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	lay "github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
)

// vxlanFrames are a ping of each family in VXLAN of each, and what is no VXLAN.
func vxlanFrames(t testing.TB) map[string][]byte {
	ping := serialize(t, ipv4Layer(lay.IPProtocolICMPv4, "10.70.1.1", "10.70.2.1"), gopacket.Payload{8, 0, 0, 0, 0, 41, 0, 1})
	datagram := func(etherType uint16, inner []byte) []byte {
		b := append(make([]byte, packet.VXLANLen), inner...)
		packet.PutVXLAN(b, &packet.VXLANHeader{SrcPort: 50000, DstPort: packet.VXLANPort, Len: len(b), VNI: 4096, EtherType: etherType})
		return b
	}
	over4 := func(b []byte) []byte {
		return serialize(t, eth(lay.EthernetTypeIPv4), ipv4Layer(lay.IPProtocolUDP, "192.168.0.11", "192.168.0.12"), gopacket.Payload(b))
	}
	flagless := datagram(packet.EtherTypeIPv4, ping)
	flagless[8] = 0
	other := datagram(packet.EtherTypeIPv4, ping)
	binary.BigEndian.PutUint16(other[2:], 8472)
	return map[string][]byte{
		"4in4":     over4(datagram(packet.EtherTypeIPv4, ping)),
		"6in4":     over4(datagram(packet.EtherTypeIPv6, ping6)),
		"4in6":     frame6(t, 17, "fd00:192::11", "fd00:192::12", datagram(packet.EtherTypeIPv4, ping)),
		"6in6":     frame6(t, 17, "fd00:192::11", "fd00:192::12", datagram(packet.EtherTypeIPv6, ping6)),
		"other":    over4(other),
		"flagless": over4(flagless),
		"arp":      over4(datagram(packet.EtherTypeARP, ping)),
	}
}

func TestMatchVXLAN(t *testing.T) {
	for _, c := range []struct{ expr, outer, inner string }{
		{"vxlan", "4in4 6in4 4in6 6in6 other", "4in4 6in4 4in6 6in6 other"},
		{"udp port 4789", "4in4 6in4 4in6 6in6 flagless arp", "flagless arp"},
		{"icmp", "", "4in4 4in6 other"},
		{"icmp6", "", "6in4 6in6"},
		{"vxlan and icmp", "", "4in4 4in6 other"},
		{"vxlan host 10.70.1.1", "", "4in4 4in6 other"},
		{"host 192.168.0.12", "4in4 6in4 other flagless arp", "flagless arp"},
		{"not vxlan", "flagless arp", "flagless arp"},
		{"less 42", "", "4in4 4in6 other"},
	} {
		f := parse(t, c.expr)
		roundTrip(t, f)
		for name, frame := range vxlanFrames(t) {
			for what, m := range map[string]struct {
				got  bool
				want string
			}{"outer": {f.Match(frame), c.outer}, "inner": {f.MatchInner(frame), c.inner}} {
				if want := bytes.Contains([]byte(" "+m.want+" "), []byte(" "+name+" ")); m.got != want {
					t.Errorf("%q on %s, %s: %v", c.expr, name, what, m.got)
				}
			}
		}
	}
}

// What is cut short has no inner packet, and reads nothing beyond its end.
func TestTruncatedVXLAN(t *testing.T) {
	least := map[string]int{"4in4": 14 + 20 + 30 + 20, "6in4": 14 + 20 + 30 + 40, "4in6": 14 + 40 + 30 + 20, "6in6": 14 + 40 + 30 + 40}
	f := parse(t, "icmp or icmp6")
	for name, frame := range vxlanFrames(t) {
		for n := range len(frame) + 1 {
			if got := f.MatchInner(frame[:n:n]); got != (least[name] != 0 && n >= least[name]) && name != "other" {
				t.Errorf("%d bytes of %s: %v", n, name, got)
			}
		}
	}
}
