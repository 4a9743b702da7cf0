package filter

import (
	"net"
	"reflect"
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
	}
}

const tunnels = " ipip ipip2 ipip4 ipip5 ipiptail"

const all = "ping tcp options udp fragment sctp gre arp rarp ip6" + tunnels

func TestMatch(t *testing.T) {
	const ipAll = "ping tcp options udp fragment sctp gre" + tunnels
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
		"net 0.0.0.0/0":                      "ping tcp options udp fragment sctp gre arp rarp" + tunnels,
		"dst net 10.80":                      "tcp options",
		"arp net 169.254":                    "arp",
		"udp net 192.168.0.0/16":             "udp fragment",
		"src net 10.70.0.0 mask 255.255.0.0": "ping tcp options arp rarp",

		"port 80":                     "tcp options sctp",
		"port 53":                     "udp sctp",
		"src port 53":                 "udp",
		"dst port 53":                 "sctp",
		"tcp port 80":                 "tcp options",
		"tcp dst port 0x50":           "tcp options",
		"tcp src port 80":             "",
		"udp port 80":                 "",
		"udp dst port 6005":           "udp",
		"portrange 6000-6008":         "udp",
		"portrange 6008-6000":         "udp",
		"dst portrange 80":            "tcp options",
		"udp portrange 6006-6008":     "",
		"src and dst port 53":         "",
		"src and dst portrange 50-90": "sctp",

		"ip": ipAll, "arp": "arp", "icmp": "ping", "tcp": "tcp options", "udp": "udp fragment",
		"ipip": tunnels, "ip proto 4": tunnels, "proto ipencap": tunnels,
		"ip proto tcp": "tcp options", `ip proto \tcp`: "tcp options", "proto 47": "gre", "proto 1 or gre": "ping gre",

		"ether host 02:00:00:00:00:0a":                     all,
		"ether src 02-00-00-00-00-0a":                      all,
		"ether dst host 0200.0000.000b":                    ipAll + " ip6",
		"ether dst 02:00:00:00:00:0a":                      "",
		"ether src 02:00:00:00:00:01 or 02:00:00:00:00:0a": all,
		"broadcast": "arp rarp", "ether broadcast": "arp rarp", "multicast": "arp rarp", "ether multicast and not arp": "rarp",
		"less 60": "tcp options udp fragment sctp gre arp rarp", "greater 98": "ping ipip4 ipip5", "less 62 and greater 0x3e": "ipip ipiptail",

		// and/or bind alike and to the left; not binds tightest.
		"tcp or icmp and port 80":          "tcp options",
		"tcp or (icmp and port 80)":        "tcp options",
		"icmp or tcp and port 81":          "",
		"icmp or (tcp and port 81)":        "ping",
		"not tcp and not ip":               "arp rarp ip6",
		"not (ip or arp)":                  "rarp ip6",
		"!tcp&&ip&&!(icmp||udp)":           "sctp gre" + tunnels,
		"not not tcp":                      "tcp options",
		"not host 10.70.1.1 and 10.0.0.1":  "sctp gre",
		"not (host 10.70.1.1 or 10.0.0.1)": "ip6" + tunnels,
		"(icmp)":                           "ping",

		// The most recent qualifiers are assumed.
		"dst host 10.80.0.9 or 10.70.1.1":         "tcp options udp fragment",
		"port 80 or 53":                           "tcp options udp sctp",
		"tcp dst port 53 or 80":                   "tcp options",
		"port (80 or 53)":                         "tcp options udp sctp",
		"port (not 80 and not (53))":              ipAll + " arp rarp ip6 -tcp -options -udp -sctp",
		"src net 192.168.0.0/24 or 10.0.0.1":      "udp fragment sctp gre" + tunnels,
		"tcp port 80 and (80 or 81)":              "tcp options",
		"portrange 1-60 or 80":                    "tcp options udp sctp",
		"dst 10.80.0.9 or (port 53) or 10.70.1.1": "tcp options udp fragment sctp",
		"icmp and 10.70.1.1":                      "ping",
		"10.70.2.1 or 10.80.0.9":                  "ping tcp options",
	} {
		check(t, expr, want, (*Filter).Match)
	}
}

func TestMatchInner(t *testing.T) {
	for expr, want := range map[string]string{
		"":                                     all,
		"icmp":                                 "ping ipip ipip2 ipip4",
		"host 10.70.2.1":                       "ping ipip ipip2 ipip4",
		"host 192.168.0.12":                    "ipip5 ipiptail",
		"tcp or arp":                           "tcp options arp",
		"ipip":                                 tunnels,
		"ipip and icmp":                        "ipip ipip2 ipip4",
		"icmp and not ipip":                    "ping",
		"icmp and less 42":                     "ipip ipip2 ipip4",
		"ether src 02:00:00:00:00:0a and icmp": "ping ipip ipip2 ipip4",
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
		"  ":                                 "",
		"10.70.1.1":                          "host 10.70.1.1",
		"src or dst 10.70.1.1":               "host 10.70.1.1",
		"dst and src net 10.70":              "src and dst net 10.70.0.0/16",
		"net 10.0.0.1 mask 255.0.0.255":      "net 10.0.0.1 mask 255.0.0.255",
		"tcp dst port 80 or 443":             "tcp dst port 80 or tcp dst port 443",
		"portrange 9-7 and portrange 7":      "portrange 7-9 and port 7",
		"icmp && (port 80 || !udp)":          "icmp and (port 80 or not udp)",
		"((icmp or (udp)) and tcp)":          "icmp or udp and tcp",
		"icmp or (udp and tcp)":              "icmp or (udp and tcp)",
		"ip proto 4 or 6 or sctp":            "ipip or tcp or ip proto 132",
		"arp src 10.0.0.1 and not ip net 10": "arp src host 10.0.0.1 and not ip net 10.0.0.0/8",
		"ether dst 02-00-00-00-00-0A":        "ether dst host 02:00:00:00:00:0a",
		"ether broadcast or ether multicast": "broadcast or multicast",
		"less 0x40 and greater 0":            "len <= 64 and len >= 0",
		"len = 64 or len != 65 or len < 7":   "len == 64 or len != 65 or len <= 6",
		"icmp[icmptype]==icmp-echo":          "icmp[0] == 8",
		"ip[6:2] & (0x2000|1) > 0":           "ip[6:2] & 0x2001 >= 1",
	} {
		if f := parse(t, expr); f.String() != want {
			t.Errorf("%q: %q, want %q", expr, f, want)
		}
	}
}
