package filter

import (
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket"
	lay "github.com/google/gopacket/layers"
)

var (
	macA = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x0a}
	macB = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x0b}
	ones = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
)

func serialize(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func eth(typ lay.EthernetType) *lay.Ethernet {
	return &lay.Ethernet{SrcMAC: macA, DstMAC: macB, EthernetType: typ}
}

func ipv4Layer(proto lay.IPProtocol, from, to string) *lay.IPv4 {
	return &lay.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: net.ParseIP(from), DstIP: net.ParseIP(to)}
}

func arpFrame(t testing.TB, typ lay.EthernetType, from, to string) []byte {
	return serialize(t,
		&lay.Ethernet{SrcMAC: macA, DstMAC: ones, EthernetType: typ},
		&lay.ARP{
			AddrType: lay.LinkTypeEthernet, Protocol: lay.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
			Operation: lay.ARPRequest, SourceHwAddress: macA, SourceProtAddress: net.ParseIP(from).To4(),
			DstHwAddress: make([]byte, 6), DstProtAddress: net.ParseIP(to).To4(),
		})
}

// frames are one of each kind that the expressions tell apart.
func frames(t testing.TB) map[string][]byte {
	ping := ipv4Layer(lay.IPProtocolICMPv4, "10.70.1.1", "10.70.2.1")
	echo := &lay.ICMPv4{TypeCode: lay.CreateICMPv4TypeCode(8, 0), Id: 41, Seq: 1}
	web := ipv4Layer(lay.IPProtocolTCP, "10.70.1.1", "10.80.0.9")
	syn := &lay.TCP{SrcPort: 40000, DstPort: 80, SYN: true}
	query := ipv4Layer(lay.IPProtocolUDP, "192.168.0.11", "10.70.1.1")
	dns := &lay.UDP{SrcPort: 53, DstPort: 6005}
	options := ipv4Layer(lay.IPProtocolTCP, "10.70.1.1", "10.80.0.9")
	options.Options = []lay.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}
	fragment := ipv4Layer(lay.IPProtocolUDP, "192.168.0.11", "10.70.1.1")
	fragment.FragOffset = 185
	tunnel := func() *lay.IPv4 { return ipv4Layer(lay.IPProtocolIPv4, "192.168.0.11", "192.168.0.12") }
	tail := tunnel()
	tail.FragOffset = 185
	v4 := lay.EthernetTypeIPv4
	return map[string][]byte{
		"ping":     serialize(t, eth(v4), ping, echo, gopacket.Payload(make([]byte, 56))),
		"tcp":      serialize(t, eth(v4), web, syn),
		"options":  serialize(t, eth(v4), options, syn),
		"udp":      serialize(t, eth(v4), query, dns),
		"fragment": serialize(t, eth(v4), fragment, dns),
		"sctp":     serialize(t, eth(v4), ipv4Layer(lay.IPProtocolSCTP, "10.0.0.1", "10.0.0.2"), gopacket.Payload{0, 80, 0, 53}),
		"gre":      serialize(t, eth(v4), ipv4Layer(lay.IPProtocolGRE, "10.0.0.1", "10.0.0.2"), gopacket.Payload{0, 80, 0, 53}),
		"arp":      arpFrame(t, lay.EthernetTypeARP, "10.70.1.1", "169.254.1.1"),
		"rarp":     arpFrame(t, 0x8035, "10.70.1.1", "169.254.1.1"),
		"ip6":      serialize(t, eth(lay.EthernetTypeIPv6), &lay.IPv6{Version: 6, NextHeader: lay.IPProtocolTCP, SrcIP: net.IPv6loopback, DstIP: net.IPv6loopback}, syn),
		"ipip":     serialize(t, eth(v4), tunnel(), ping, echo),
		"ipip2":    serialize(t, eth(v4), tunnel(), tunnel(), ping, echo),
		"ipip4":    serialize(t, eth(v4), tunnel(), tunnel(), tunnel(), tunnel(), ping, echo),
		"ipip5":    serialize(t, eth(v4), tunnel(), tunnel(), tunnel(), tunnel(), tunnel(), ping, echo),
		"ipiptail": serialize(t, eth(v4), tail, ping, echo),

		"ping6":  frame6(t, 58, hostA, hostB, []byte{128, 0, 0, 0, 0, 41, 0, 1}),
		"ns6":    frame6(t, 58, "fe80::1", "ff02::1:ff00:1", []byte{135, 0, 0, 0}, make([]byte, 20)),
		"udp6":   frame6(t, 17, hostA, "fd00:80::9", []byte{0, 53, 0x17, 0x75, 0, 8, 0, 0}),
		"hop6":   frame6(t, 0, hostA, hostB, []byte{6, 0, 1, 4, 0, 0, 0, 0}, []byte{0, 80, 0, 80}, make([]byte, 16)), // hop-by-hop options
		"first6": frame6(t, 44, hostA, hostB, []byte{17, 0, 0, 1, 0, 0, 0, 7}, []byte{0, 53, 0x17, 0x75, 0, 99, 0, 0}),
		"later6": frame6(t, 44, hostA, hostB, []byte{17, 0, 0, 8, 0, 0, 0, 7}, []byte{0, 53, 0x17, 0x75, 0, 99, 0, 0}),
		"6in4":   serialize(t, eth(v4), ipv4Layer(lay.IPProtocolIPv6, "192.168.0.11", "192.168.0.12"), gopacket.Payload(ping6)),
		"4in6":   frame6(t, 60, "fd00:192::11", "fd00:192::12", []byte{4, 0, 4, 1, 4, 1, 1, 0}, serialize(t, ping, echo)), // with RFC 2473's option
		"6in6":   frame6(t, 41, "fd00:192::11", "fd00:192::12", ping6),
	}
}

const hostA, hostB = "fd00:70:1::1", "fd00:70:2::1"

var ping6 = packet6(58, hostA, hostB, []byte{128, 0, 0, 0, 0, 41, 0, 1})

// packet6 is an IPv6 packet of what its next header says, in parts.
func packet6(next byte, from, to string, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	p := []byte{0x60, 0, 0, 0, byte(len(body) >> 8), byte(len(body)), next, 64}
	return slices.Concat(p, net.ParseIP(from), net.ParseIP(to), body)
}

func frame6(t testing.TB, next byte, from, to string, parts ...[]byte) []byte {
	return serialize(t, eth(lay.EthernetTypeIPv6), gopacket.Payload(packet6(next, from, to, parts...)))
}

const tunnels = " ipip ipip2 ipip4 ipip5 ipiptail"

const (
	all6 = " ip6 ping6 ns6 udp6 hop6 first6 later6 4in6 6in6"
	all  = "ping tcp options udp fragment sctp gre arp rarp 6in4" + tunnels + all6
)

func TestMatch(t *testing.T) {
	const ipAll = "ping tcp options udp fragment sctp gre 6in4" + tunnels
	for expr, want := range map[string]string{
		"": all, " \t\n ": all,

		"10.70.1.1":                          "ping tcp options udp fragment arp rarp",
		"host 10.70.1.1":                     "ping tcp options udp fragment arp rarp",
		"src 10.70.1.1":                      "ping tcp options arp rarp",
		"src host 10.70.1.1":                 "ping tcp options arp rarp",
		"dst host 10.70.1.1":                 "udp fragment",
		"dst 10.70.1.1":                      "udp fragment",
		"src or dst 10.70.1.1":               "ping tcp options udp fragment arp rarp",
		"dst or src host 10.70.1.1":          "ping tcp options udp fragment arp rarp",
		"src and dst net 10.70":              "ping",
		"dst and src net 10.70":              "ping",
		"dst 169.254.1.1":                    "arp rarp",
		"ip host 10.70.1.1":                  "ping tcp options udp fragment",
		"arp host 10.70.1.1":                 "arp",
		"arp dst host 169.254.1.1":           "arp",
		"arp src 169.254.1.1":                "",
		"icmp host 10.70.1.1":                "ping",
		"tcp src host 10.70.1.1":             "tcp options",
		"tcp dst 10.70.1.1":                  "",
		"ipip src 192.168.0.11":              "ipip ipip2 ipip4 ipip5 ipiptail",
		"net 10.70.2.0/24":                   "ping",
		"net 10.70.2":                        "ping",
		"net 10.70.2 mask 255.255.255.0":     "ping",
		"net 10.0.0.1 mask 255.0.0.255":      "ping tcp options udp fragment sctp gre arp rarp",
		"net 10":                             "ping tcp options udp fragment sctp gre arp rarp",
		"net 10/8":                           "ping tcp options udp fragment sctp gre arp rarp",
		"net 10.70.1.1":                      "ping tcp options udp fragment arp rarp",
		"net 0.0.0.0/0":                      "ping tcp options udp fragment sctp gre arp rarp 6in4" + tunnels,
		"dst net 10.80":                      "tcp options",
		"arp net 169.254":                    "arp",
		"udp net 192.168.0.0/16":             "udp fragment",
		"src net 10.70.0.0 mask 255.255.0.0": "ping tcp options arp rarp",

		"port 80":                     "tcp options sctp ip6",
		"port 53":                     "udp sctp udp6",
		"src port 53":                 "udp udp6",
		"dst port 53":                 "sctp",
		"tcp port 80":                 "tcp options ip6",
		"tcp dst port 0x50":           "tcp options ip6",
		"tcp src port 80":             "",
		"udp port 80":                 "",
		"udp dst port 6005":           "udp udp6",
		"portrange 6000-6008":         "udp udp6",
		"portrange 6008-6000":         "udp udp6",
		"dst portrange 80":            "tcp options ip6",
		"udp portrange 6006-6008":     "",
		"src and dst port 53":         "",
		"src and dst portrange 50-90": "sctp",

		"ip": ipAll, "arp": "arp", "icmp": "ping", "tcp": "tcp options ip6", "udp": "udp fragment udp6 first6 later6",
		"ipip": tunnels, "ip proto 4": tunnels, "proto ipencap": tunnels,
		"ip proto tcp": "tcp options", `ip proto \tcp`: "tcp options", "proto 47": "gre", "proto 1 or gre": "ping gre",
		"proto tcp": "tcp options ip6", "ip6 proto tcp": "ip6", "ip6 proto 0": "hop6", "proto 44": "first6 later6",
		"ip6": all6, "icmp6": "ping6 ns6", "ip6 proto 58": "ping6 ns6", "ip proto ipv6": "6in4", "proto 41": "6in4 6in6", "ip6 proto 41": "6in6",
		"ip6 proto udp": "udp6 first6 later6", "ip6 and not (tcp or udp or icmp6)": "hop6 4in6 6in6",

		"fd00:70:1::1":                     "ping6 udp6 hop6 first6 later6",
		"ip6 host fd00:70:2::1":            "ping6 hop6 first6 later6",
		"host fd00:70:1:0:0:0:0:1":         "ping6 udp6 hop6 first6 later6",
		"src fd00:70:2::1":                 "",
		"dst fd00:80::9":                   "udp6",
		"src and dst net fd00:70::/32":     "ping6 hop6 first6 later6",
		"net fd00:70:2::/48":               "ping6 hop6 first6 later6",
		"net fd00:80::9":                   "udp6",
		"net ::/0":                         all6,
		"net fd00:70:1::/127":              "ping6 udp6 hop6 first6 later6",
		"dst net ff00::/8":                 "ns6",
		"icmp6 src fe80::1":                "ns6",
		"udp host fd00:70:1::1":            "udp6 first6 later6",
		"tcp host ::1":                     "ip6",
		"ip6 net fd00:192::/64":            "4in6 6in6",
		"host fd00:70:1::1 or 10.70.2.1":   "ping6 udp6 hop6 first6 later6 ping",
		"ip6[6]==0 or ip6[40:2] = 0x8000":  "hop6 ping6",
		"icmp6[icmp6type] == icmp6-echo":   "ping6",
		"icmp6[0] = icmp6-neighborsolicit": "ns6",
		"icmp6[icmp6code] == 0":            "ping6 ns6",
		"ip6[7] < 64":                      "ip6",
		"tcp[0:2] > 0 or udp[0:2] > 0":     "tcp options udp",
		"ip6 and udp port 53":              "udp6",

		"ether host 02:00:00:00:00:0a":                     all,
		"ether src 02-00-00-00-00-0a":                      all,
		"ether dst host 0200.0000.000b":                    ipAll + all6,
		"ether dst 02:00:00:00:00:0a":                      "",
		"ether src 02:00:00:00:00:01 or 02:00:00:00:00:0a": all,
		"broadcast": "arp rarp", "ether broadcast": "arp rarp", "multicast": "arp rarp", "ether multicast and not arp": "rarp",
		"less 60": "tcp options udp fragment sctp gre arp rarp", "greater 98 and ip": "ping ipip4 ipip5", "less 62 and greater 0x3e": "ipip ipiptail ping6 udp6",

		// and/or bind alike and to the left; not binds tightest.
		"tcp or icmp and port 80":          "tcp options ip6",
		"tcp or (icmp and port 80)":        "tcp options ip6",
		"icmp or tcp and port 81":          "",
		"icmp or (tcp and port 81)":        "ping",
		"not tcp and not ip":               "arp rarp" + all6 + " -ip6",
		"not (ip or arp)":                  "rarp" + all6,
		"!tcp&&ip&&!(icmp||udp)":           "sctp gre 6in4" + tunnels,
		"not not tcp":                      "tcp options ip6",
		"not host 10.70.1.1 and 10.0.0.1":  "sctp gre",
		"not (host 10.70.1.1 or 10.0.0.1)": "6in4" + all6 + tunnels,
		"(icmp)":                           "ping",

		// The most recent qualifiers are assumed.
		"dst host 10.80.0.9 or 10.70.1.1":         "tcp options udp fragment",
		"port 80 or 53":                           "tcp options udp sctp ip6 udp6",
		"tcp dst port 53 or 80":                   "tcp options ip6",
		"port (80 or 53)":                         "tcp options udp sctp ip6 udp6",
		"port (not 80 and not (53))":              ipAll + all6 + " arp rarp -ip6 -udp6 -tcp -options -udp -sctp",
		"src net 192.168.0.0/24 or 10.0.0.1":      "udp fragment sctp gre 6in4" + tunnels,
		"tcp port 80 and (80 or 81)":              "tcp options ip6",
		"portrange 1-60 or 80":                    "tcp options udp sctp ip6 udp6",
		"dst 10.80.0.9 or (port 53) or 10.70.1.1": "tcp options udp fragment sctp udp6",
		"icmp and 10.70.1.1":                      "ping",
		"10.70.2.1 or 10.80.0.9":                  "ping tcp options",
	} {
		check(t, expr, want, (*Filter).Match)
	}
}

func TestMatchInner(t *testing.T) {
	for expr, want := range map[string]string{
		"":                      all,
		"icmp":                  "ping ipip ipip2 ipip4 4in6",
		"host 10.70.2.1":        "ping ipip ipip2 ipip4 4in6",
		"host 192.168.0.12":     "ipip5 ipiptail",
		"tcp or arp":            "tcp options ip6 arp",
		"icmp6":                 "ping6 ns6 6in4 6in6",
		"ip proto 41 and icmp6": "6in4",
		"proto 41":              "6in4 6in6",
		"proto 4 and not ipip":  "4in6",
		"ip6 proto 4 and icmp and host 10.70.2.1": "4in6",
		"ip and ip6":                           "",
		"host fd00:192::11":                    "",
		"ip6 and less 62":                      "ping6 udp6 6in4 6in6",
		"ipip":                                 tunnels,
		"ipip and icmp":                        "ipip ipip2 ipip4",
		"icmp and not ipip":                    "ping 4in6",
		"icmp and less 42":                     "ipip ipip2 ipip4 4in6",
		"ether src 02:00:00:00:00:0a and icmp": "ping ipip ipip2 ipip4 4in6",
	} {
		check(t, expr, want, (*Filter).MatchInner)
	}
}

// check compares names: "-name" takes one away again.
func check(t *testing.T, expr, want string, match func(*Filter, []byte) bool) {
	t.Helper()
	wanted := map[string]bool{}
	for _, name := range strings.Fields(want) {
		wanted[strings.TrimPrefix(name, "-")] = !strings.HasPrefix(name, "-")
	}
	f := parse(t, expr)
	for name, frame := range frames(t) {
		if got := match(f, frame); got != wanted[name] {
			t.Errorf("%q on %s: %v", expr, name, got)
		}
	}
	roundTrip(t, f)
}

func parse(t testing.TB, expr string) *Filter {
	t.Helper()
	f, err := Parse(expr)
	if err != nil {
		t.Fatalf("%q: %v", expr, err)
	}
	return f
}

func roundTrip(t *testing.T, f *Filter) {
	t.Helper()
	if again := parse(t, f.String()); !reflect.DeepEqual(again, f) {
		t.Errorf("%q parses to %q", f, again)
	}
}

func TestString(t *testing.T) {
	for expr, want := range map[string]string{
		"  ":                                   "",
		"10.70.1.1":                            "host 10.70.1.1",
		"src or dst 10.70.1.1":                 "host 10.70.1.1",
		"dst and src net 10.70":                "src and dst net 10.70.0.0/16",
		"net 10.0.0.1 mask 255.0.0.255":        "net 10.0.0.1 mask 255.0.0.255",
		"tcp dst port 80 or 443":               "tcp dst port 80 or tcp dst port 443",
		"portrange 9-7 and portrange 7":        "portrange 7-9 and port 7",
		"icmp && (port 80 || !udp)":            "icmp and (port 80 or not udp)",
		"((icmp or (udp)) and tcp)":            "icmp or udp and tcp",
		"icmp or (udp and tcp)":                "icmp or (udp and tcp)",
		"ip proto 4 or 6 or sctp":              "ipip or ip proto 6 or ip proto 132",
		"proto 6 or 47":                        "tcp or proto 47",
		"ip6 proto 58 or 6 or 1":               "icmp6 or ip6 proto 6 or ip6 proto 1",
		"icmp6[icmp6type]=icmp6-packettoobig":  "icmp6[0] == 2",
		"dst net fd00:70::/32 or fd00:80::/64": "dst net fd00:70::/32 or dst net fd00:80::/64",
		"ip6 host FD00:0::1":                   "ip6 host fd00::1",
		"net fd00:0:0:1::/64":                  "net fd00:0:0:1::/64",
		"arp src 10.0.0.1 and not ip net 10":   "arp src host 10.0.0.1 and not ip net 10.0.0.0/8",
		"ether dst 02-00-00-00-00-0A":          "ether dst host 02:00:00:00:00:0a",
		"ether broadcast or ether multicast":   "broadcast or multicast",
		"less 0x40 and greater 0":              "len <= 64 and len >= 0",
		"len = 64 or len != 65 or len < 7":     "len == 64 or len != 65 or len <= 6",
		"icmp[icmptype]==icmp-echo":            "icmp[0] == 8",
		"ip[6:2] & (0x2000|1) > 0":             "ip[6:2] & 0x2001 >= 1",
	} {
		if f := parse(t, expr); f.String() != want {
			t.Errorf("%q: %q, want %q", expr, f, want)
		}
	}
}
