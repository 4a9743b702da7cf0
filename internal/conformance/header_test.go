package conformance

import "encoding/binary"

const (
	classE        = "Linux takes class E for unicast, as a later proposal has it; RFC 1812 5.3.7 does not"
	networkZero   = "Linux since 5.3 takes network 0 for unicast, 0.0.0.0 excepted; RFC 1812 5.3.7 does not"
	noLinkLocal   = "Linux forwards 169.254/16 like any other prefix; RFC 3927 7 forbids it to routers"
	lowestAddress = "Linux since 5.14 takes a subnet's lowest address for a host's; RFC 1812 4.2.3.1 has it discarded"
)

var headerRows = []row{
	{
		id: "H1", rule: "under 20 bytes, wrong version, header length under 5, total length under the header or over the frame, bad checksum: dropped silently, each with its reason",
		source: "RFC 1812 5.2.2", counted: "ip_too_short ip_bad_version ip_bad_header_length ip_bad_length ip_bad_checksum",
		cases: brokenHeaders(),
	},
	{
		id: "H2", rule: "IP unicast in an Ethernet broadcast or multicast frame is not forwarded",
		source: "RFC 1812 5.3.4", counted: "l2_broadcast",
		cases: []testCase{
			{name: "broadcast", test: func(b *Bench) { b.groupFrames(broadcastMAC) }},
			{name: "multicast", test: func(b *Bench) { b.groupFrames(mac{1, 0, 0x5e, 0, 0, 1}) }},
			{name: "another station's frame", test: func(b *Bench) {
				ip := ipPacket{src: farIP, dst: ns1IP}.bytes()
				b.exchange(b.up, [][]byte{eth(peer13MAC, peerMAC, typeIPv4, ip)})
				b.dropped(b.up, "not_for_router", 1)
			}},
			{name: "neither IPv4 nor ARP", test: func(b *Bench) {
				b.exchange(b.ns1, [][]byte{eth(gatewayMAC, b.ns1.mac, 0x88b5, pattern(50))})
				b.dropped(b.ns1, "unknown_ethertype", 1)
			}},
			{name: "neither of them, to a group: taken in silence", test: func(b *Bench) {
				for _, group := range []mac{{0x33, 0x33, 0, 0, 0, 2}, {1, 0x80, 0xc2, 0, 0, 0}, {1, 0x80, 0xc2, 0, 0, 0x0e}} {
					b.exchange(b.ns1, [][]byte{eth(group, b.ns1.mac, 0x88b5, pattern(50))})
					b.exchange(b.up, [][]byte{eth(group, peerMAC, 0x88b5, pattern(50))})
				}
			}},
		},
	},
	{
		id: "H3", rule: "source or destination that may not be forwarded: 0/8, 127/8, multicast or class E source, limited broadcast",
		source: "RFC 1812 5.3.7, 4.2.2.11", counted: "martian_source martian_destination", cases: martians(),
	},
	{
		id: "H4", rule: "169.254/16 is never forwarded", source: "RFC 3927 7", counted: "link_local",
		cases: []testCase{
			{name: "source, from the uplink", differs: noLinkLocal, test: func(b *Bench) {
				b.silent(b.up, ipPacket{src: "169.254.3.3", dst: ns1IP}, "link_local")
			}},
			{name: "source, from a workload", test: func(b *Bench) {
				b.silent(b.ns1, ipPacket{src: "169.254.3.3", dst: farIP}, "link_local")
			}},
			{name: "destination", differs: noLinkLocal, test: func(b *Bench) {
				b.silent(b.ns1, ipPacket{src: ns1IP, dst: "169.254.3.3"}, "link_local")
			}},
			{name: "the gateway's address, from the uplink", differs: noLinkLocal, test: func(b *Bench) {
				b.silent(b.up, ipPacket{src: farIP, dst: gatewayIP}, "link_local")
			}},
			{name: "no error about one that dies here", differs: noLinkLocal, test: func(b *Bench) {
				b.silent(b.up, ipPacket{src: "169.254.3.3", dst: ns1IP, ttl: 1}, "link_local")
			}},
		},
	},
	{
		id: "H5", rule: "a workload may send from its own address alone", source: "RFC 3704 2.2, Calico", counted: "rpf_failed",
		cases: []testCase{
			spoof("another workload's", ns2IP, farIP, 0), spoof("one of its subnet that nobody has", "10.70.1.99", farIP, 0),
			spoof("a remote workload's", farIP, ns2IP, 0), spoof("the host's", hostIP, farIP, 0),
			spoof("another host's", peerIP, ns2IP, 0), spoof("no ICMP about it, even if its time ran out", ns2IP, farIP, 1),
			spoof("nor is it answered", "10.70.1.99", hostIP, 0),
		},
	},
	optionRow,
}

// silent sends a packet that is to vanish, for a reason.
func (b *Bench) silent(in *port, p ipPacket, reason string) {
	b.one(in, p.bytes())
	b.dropped(in, reason, 1)
}

func spoof(name, src, dst string, ttl int) testCase {
	return testCase{name: name, test: func(b *Bench) {
		p := ipPacket{src: src, dst: dst, ttl: ttl}
		if dst == hostIP {
			p.proto, p.data = protoICMP, echo(1, 1, nil)
		}
		b.silent(b.ns1, p, "rpf_failed")
	}}
}

func (b *Bench) groupFrames(to mac) {
	for _, dst := range []string{farIP, ns2IP} {
		b.exchange(b.ns1, [][]byte{eth(to, b.ns1.mac, typeIPv4, ipPacket{src: ns1IP, dst: dst}.bytes())})
	}
	b.dropped(b.ns1, "l2_broadcast", 2)
	b.exchange(b.up, [][]byte{eth(to, peerMAC, typeIPv4, ipPacket{src: farIP, dst: ns1IP}.bytes())})
	b.dropped(b.up, "l2_broadcast", 1)
}

// brokenHeaders spoils one thing in a good packet after the other, and sends it
// from a workload and from the uplink.
func brokenHeaders() []testCase {
	resealed := func(spoil func(ip []byte)) func([]byte) []byte {
		return func(ip []byte) []byte {
			spoil(ip)
			binary.BigEndian.PutUint16(ip[10:], 0)
			binary.BigEndian.PutUint16(ip[10:], inetSum(ip[:max(20, int(ip[0]&15)*4)]))
			return ip
		}
	}
	length := func(n int) func([]byte) []byte {
		return resealed(func(ip []byte) { binary.BigEndian.PutUint16(ip[2:], uint16(n)) })
	}
	list := []struct {
		name, reason string
		spoil        func([]byte) []byte
	}{
		{"19 bytes", "ip_too_short", func(ip []byte) []byte { return ip[:19] }},
		{"1 byte", "ip_too_short", func(ip []byte) []byte { return ip[:1] }},
		{"version 5", "ip_bad_version", resealed(func(ip []byte) { ip[0] = 0x55 })},
		{"version 6", "ip_bad_version", resealed(func(ip []byte) { ip[0] = 0x65 })},
		{"header length 4", "ip_bad_header_length", resealed(func(ip []byte) { ip[0] = 0x44 })},
		{"header length 0", "ip_bad_header_length", resealed(func(ip []byte) { ip[0] = 0x40 })},
		{"header longer than the packet", "ip_bad_length", func(ip []byte) []byte { ip[0] = 0x4f; return ip }},
		{"total length under the header's", "ip_bad_length", length(19)},
		{"total length over the frame's", "ip_bad_length", length(300)},
		{"checksum off by one", "ip_bad_checksum", func(ip []byte) []byte { ip[11]++; return ip }},
		{"checksum 0", "ip_bad_checksum", func(ip []byte) []byte { ip[10], ip[11] = 0, 0; return ip }},
		{"options outside the checksum", "ip_bad_checksum", func(ip []byte) []byte { ip[0] = 0x46; return ip }},
	}
	var all []testCase
	for _, l := range list {
		all = append(all, testCase{name: l.name, test: func(b *Bench) {
			b.one(b.ns1, l.spoil(ipPacket{src: ns1IP, dst: farIP}.bytes()))
			b.dropped(b.ns1, l.reason, 1)
			b.one(b.up, l.spoil(ipPacket{src: farIP, dst: ns1IP}.bytes()))
			b.dropped(b.up, l.reason, 1)
		}})
	}
	return all
}

func martians() []testCase {
	var all []testCase
	for _, a := range []string{"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.1", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.254", "255.255.255.255"} {
		source := testCase{name: "source " + a, test: func(b *Bench) {
			b.silent(b.up, ipPacket{src: a, dst: ns1IP}, "martian_source")
			b.silent(b.ns1, ipPacket{src: a, dst: farIP}, "martian_source")
			b.silent(b.up, ipPacket{src: a, dst: ns1IP, ttl: 1}, "martian_source")
		}}
		destination := testCase{name: "destination " + a, test: func(b *Bench) {
			b.silent(b.ns1, ipPacket{src: ns1IP, dst: a}, "martian_destination")
			b.silent(b.up, ipPacket{src: farIP, dst: a}, "martian_destination")
		}}
		switch a {
		case "240.0.0.1", "255.255.255.254":
			source.differs, destination.differs = classE, classE
		case "0.1.2.3":
			source.differs, destination.differs = networkZero, networkZero
		}
		all = append(all, source, destination)
	}
	return append(all,
		testCase{name: "source is the host's own address", test: func(b *Bench) {
			b.silent(b.up, ipPacket{src: hostIP, dst: ns1IP}, "martian_source")
			b.silent(b.up, ipPacket{src: hostIP, dst: ns1IP, ttl: 1}, "martian_source")
		}},
		testCase{name: "directed broadcast of the uplink's subnet", test: func(b *Bench) {
			b.silent(b.ns1, ipPacket{src: ns1IP, dst: "192.168.0.255"}, "martian_destination")
			b.silent(b.up, ipPacket{src: farIP, dst: "192.168.0.255"}, "martian_destination")
		}},
		testCase{name: "its lowest address", differs: lowestAddress, test: func(b *Bench) {
			b.silent(b.ns1, ipPacket{src: ns1IP, dst: "192.168.0.0"}, "martian_destination")
		}},
	)
}
