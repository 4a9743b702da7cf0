package filter

import (
	"strings"
	"testing"
)

func TestErrors(t *testing.T) {
	deep := strings.Repeat("(", maxDepth+1)
	for expr, want := range map[string]string{
		"icmp and hst 10.70.1.1":   `10: "hst": unknown word; did you mean "host"?`,
		"HOST 10.70.1.1":           `1: "HOST": unknown word; did you mean "host"?`,
		"tpc port 80":              `1: "tpc": unknown word; did you mean "tcp"?`,
		"tcp prt 80":               `5: "prt": unknown word; did you mean "port"?`,
		"port 80 or webserver":     `12: "webserver": unknown word`,
		"é or né":                  `1: "é": unknown word`,
		"icmp and (é":              `11: "é": unknown word`,
		"host tcp":                 `6: "tcp": expected an IPv4 address`,
		"port (80 or udp)":         `13: "udp": expected a port number`,
		"host é or hst":            `6: "é": names are not looked up; write the IPv4 address`,
		"ip6":                      `1: "ip6": not supported, IPv4 only`,
		"tcp and vlan 5":           `9: "vlan": not supported, IPv4 only`,
		"rarp":                     `1: "rarp": not supported, IPv4 only`,
		"host fe80::1":             `6: "fe80::1": not supported, IPv4 only`,
		"fe80::1":                  `1: "fe80::1": not supported, IPv4 only`,
		"net 2001:db8::/32":        `5: "2001:db8::/32": not supported, IPv4 only`,
		"gateway 10.0.0.1":         `1: "gateway": not supported`,
		"len 100":                  `5: "100": expected =, !=, <, <=, > or >=`,
		"len < 0":                  `7: "0": no number is less than that`,
		"len >":                    `6: end: expected a number, or a name such as icmp-echo or tcp-syn`,
		"icmp[0]":                  `8: end: expected =, !=, <, <=, > or >=`,
		"icmp[icmptpye] == 8":      `6: "icmptpye": expected an offset such as 8, 6:2 or tcpflags after "["`,
		"ip[6:3] == 8":             `4: "6:3": 1, 2 or 4 bytes can be compared`,
		"ip[6 == 8":                `6: "==": expected "]"`,
		"icmp[0] == icmp-ehco":     `12: "icmp-ehco": expected a number, or a name such as icmp-echo or tcp-syn`,
		"tcp[13] & (2|4 == 2":      `16: "==": expected "|", or ")" for the "(" in column 11`,
		"tcp[13] & 2|4 != 0":       `12: "|": expected =, !=, <, <=, > or >=`,
		"ipip[0] == 4":             `1: "ipip": bytes are those of ether, ip, arp, icmp, tcp or udp`,
		"ip[0] == " + deep:         `74: "(": nested more than 64 deep`,
		"tcp = 5":                  `5: "=": a comparison needs bytes or a length before it, such as ip[8] or len`,
		"10.70.1.1 > 10.70.2.1":    `11: ">": a comparison needs bytes or a length before it, such as ip[8] or len`,
		"tcp & udp":                `5: "&": write "and" or "&&"`,
		"sctp":                     `1: "sctp": write "ip proto sctp"`,
		"host":                     `5: end: expected an IPv4 address`,
		"host and":                 `6: "and": expected an IPv4 address`,
		"host 10.70.1.256":         `6: "10.70.1.256": not an IPv4 address`,
		"host 10.70.1.01":          `6: "10.70.1.01": not an IPv4 address`,
		"host 10":                  `6: "10": not an IPv4 address`,
		"host 10.70":               `6: "10.70": a network, not a host; write "net 10.70"`,
		"10.70.0.0/16":             `1: "10.70.0.0/16": a network, not a host; write "net 10.70.0.0/16"`,
		"host aa:bb:cc:dd:ee:ff":   `6: "aa:bb:cc:dd:ee:ff": a MAC address; write "ether host aa:bb:cc:dd:ee:ff"`,
		"host example.com":         `6: "example.com": names are not looked up; write the IPv4 address`,
		"net 300":                  `5: "300": not a network such as 10.70.0.0/16`,
		"net 1.2.3.4.5":            `5: "1.2.3.4.5": not a network such as 10.70.0.0/16`,
		"net 10.0.0.0/33":          `5: "10.0.0.0/33": the prefix length is a number from 0 to 32`,
		"net 10.0.0.1/16":          `5: "10.0.0.1/16": it has bits outside its mask; the network is 10.0.0.0`,
		"net 10.0.0.1 mask 255.0":  `5: "10.0.0.1": it has bits outside its mask; the network is 10.0.0.0`,
		"net 10.0.0.0 mask":        `18: end: expected a netmask such as 255.255.0.0 after "mask"`,
		"port http":                `6: "http": service names are not looked up; a port is a number from 0 to 65535`,
		"port 65536":               `6: "65536": a port is a number from 0 to 65535`,
		"port 080":                 `6: "080": a port is a number from 0 to 65535`,
		"port 80-90":               `6: "80-90": a range; write "portrange 80-90"`,
		"portrange 80-x":           `11: "80-x": a port is a number from 0 to 65535`,
		"port 80 or 10.0.0.1":      `12: "10.0.0.1": an address, not a port; write "host 10.0.0.1"`,
		"tcp or 80":                `8: "80": a number needs a word before it, such as "port"`,
		"icmp port 80":             `6: "port": only tcp and udp have ports`,
		"ip port 80":               `4: "port": only tcp and udp have ports`,
		"tcp proto 6":              `5: "proto": only "ip" can stand before it`,
		"src proto 6":              `5: "proto": only "ip" can stand before it`,
		"ip proto 256":             `10: "256": not a protocol name that is known here; or it is a number from 0 to 255`,
		"ip proto quic":            `10: "quic": not a protocol name that is known here; or it is a number from 0 to 255`,
		"ether host 10.0.0.1":      `12: "10.0.0.1": not a MAC address such as 00:11:22:33:44:55`,
		"ether net 10":             `7: "net": "ether" goes with "src", "dst" and "host"`,
		"ether aa:bb:cc:dd:ee:ff":  `7: "aa:bb:cc:dd:ee:ff": expected "src", "dst", "host", "broadcast" or "multicast" after "ether"`,
		"less":                     `5: end: expected a length in bytes`,
		"less -1":                  `6: "-1": the length is a number from 0 to 4294967295`,
		"tcp and":                  `8: end: expected a host, net, port or protocol`,
		"and tcp":                  `1: "and": expected a host, net, port or protocol`,
		"()":                       `2: ")": expected a host, net, port or protocol`,
		"not":                      `4: end: expected a host, net, port or protocol`,
		"(tcp or udp":              `12: end: expected "and", "or", or ")" for the "(" in column 1`,
		"tcp)":                     `4: ")": there is no "(" for it`,
		"host 10.0.0.1 port 80":    `15: "port": expected "and" or "or" before it`,
		"src 10.0.0.1 10.0.0.2":    `14: "10.0.0.2": expected "and" or "or" before it`,
		"src or src 10.0.0.1":      `5: "or": expected an IPv4 address`,
		"src\nor":                  `5: "or": expected an IPv4 address`,
		"host \xff":                `6: "\xff": expected an IPv4 address`,
		deep:                       `65: "(": nested more than 64 deep`,
		strings.Repeat("not ", 65): `257: "not": nested more than 64 deep`,
		"port " + deep:             `70: "(": nested more than 64 deep`,
	} {
		_, err := Parse(expr)
		if err == nil {
			t.Errorf("%q: no error", expr)
		} else if got, ok := strings.CutPrefix(err.Error(), "filter: column "); !ok || got != want {
			t.Errorf("%q:\n got %s\nwant %s", expr, got, want)
		}
	}
}
