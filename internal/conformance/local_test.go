package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

const notSpoken = "Linux is a host as well, and speaks these protocols itself"

// localRows are about what is for the router itself.
var localRows = []row{
	{
		id: "I4", rule: "echo to 169.254.1.1 and, from a workload, to the host's uplink address is answered, with its data, id and sequence; fragmented echo too",
		source: "RFC 1812 4.3.3.6", counted: "originated_packets_total{kind=echo_reply}",
		cases: []testCase{
			{name: "to the gateway", differs: notItsAddress, test: func(b *Bench) {
				for _, n := range []int{0, 1, 56, 1472} {
					b.pings(b.ns1, ipPacket{src: ns1IP, dst: gatewayIP}, echo(0x1234, uint16(n), pattern(n)))
				}
				b.count(`vrouter_originated_packets_total{kind="echo_reply"}`, 4+4) // the markers' too
			}},
			{name: "to the host", test: func(b *Bench) {
				for _, n := range []int{0, 1, 56, 1472} {
					b.pings(b.ns1, ipPacket{src: ns1IP, dst: hostIP, tos: 0xb8}, echo(0x1234, uint16(n), pattern(n)))
				}
			}},
			{name: "to the host, from the uplink: once", test: func(b *Bench) {
				b.pings(b.up, ipPacket{src: peerIP, dst: hostIP}, echo(5, 6, pattern(40)))
			}},
			{name: "from another workload", test: func(b *Bench) {
				b.pings(b.ns2, ipPacket{src: ns2IP, dst: hostIP}, echo(5, 6, pattern(40)))
			}},
			{name: "in fragments, to the host", test: func(b *Bench) { b.fragmentedEcho(hostIP, false) }},
			{name: "in fragments, last first", test: func(b *Bench) { b.fragmentedEcho(hostIP, true) }},
			{name: "in fragments, to the gateway", differs: notItsAddress, test: func(b *Bench) { b.fragmentedEcho(gatewayIP, false) }},
			{name: "a wrong ICMP checksum: silence", test: func(b *Bench) {
				m := echo(1, 1, pattern(8))
				m[3]++
				b.silent(b.ns1, ipPacket{src: ns1IP, dst: hostIP, proto: protoICMP, data: m}, "local_unsupported")
			}},
			{name: "shorter than an ICMP header: silence", test: func(b *Bench) {
				b.silent(b.ns1, ipPacket{src: ns1IP, dst: hostIP, proto: protoICMP, data: []byte{8, 0, 0xf7, 0xff}}, "local_unsupported")
			}},
			{name: "an echo reply or an ICMP error: silence", test: func(b *Bench) {
				b.silent(b.ns1, ipPacket{src: ns1IP, dst: hostIP, proto: protoICMP, data: icmp(0, 0, 1, pattern(8))}, "local_unsupported")
				b.silent(b.ns1, ipPacket{src: ns1IP, dst: hostIP, proto: protoICMP, data: icmp(3, 1, 0, ipPacket{src: hostIP, dst: ns1IP}.bytes())}, "local_unsupported")
			}},
		},
	},
	{
		id: "I6", rule: "what the router itself does not speak: 3/3 for a UDP port, 3/2 for a protocol",
		source: "RFC 1812 5.2.7.1", counted: "local_unsupported",
		cases: []testCase{
			{name: "UDP to the host", test: func(b *Bench) { b.unsupported(ipPacket{dst: hostIP}, 3) }},
			{name: "UDP to the gateway", differs: notItsAddress, test: func(b *Bench) { b.unsupported(ipPacket{dst: gatewayIP}, 3) }},
			{name: "an unknown protocol", test: func(b *Bench) { b.unsupported(ipPacket{dst: hostIP, proto: 253, data: pattern(30)}, 2) }},
			{name: "TCP", differs: notSpoken, test: func(b *Bench) { b.unsupported(ipPacket{dst: hostIP, proto: protoTCP, data: tcpSYN(1, 2)}, 2) }},
			{name: "no error about a later fragment", test: func(b *Bench) {
				b.silent(b.ns1, ipPacket{src: ns1IP, dst: hostIP, offset: 64, data: pattern(20)}, "local_unsupported")
				b.tolerate(`vrouter_icmp_errors_suppressed_total{reason="fragment"}`)
			}},
		},
	},
}

func (b *Bench) unsupported(p ipPacket, code byte) {
	p.src = ns1IP
	ip := p.bytes()
	b.one(b.ns1, ip, want{b.ns1, fmt.Sprintf("ICMP 3/%d", code), func(f []byte) error {
		if !bytes.Equal(f[26:30], ip4(p.dst)) && !bytes.Equal(f[26:30], ip4(hostIP)) {
			return fmt.Errorf("it does not come from the router: %s", describe(f))
		}
		from := bytes.Clone(f)
		copy(from[26:], ip4(hostIP)) // for the gateway it may speak from the gateway's address
		seal(from[14:])
		return icmpAbout(b.ns1, 3, code, 0, ip).ok(from)
	}})
	b.dropped(b.ns1, "local_unsupported", 1)
}

// pings requires one right answer to an echo request.
func (b *Bench) pings(in *port, p ipPacket, request []byte) {
	p.proto, p.data = protoICMP, request
	b.one(in, p.bytes(), b.echoReply(in, p, request))
}

// echoReply is the answer: from the address that was asked, with all its data.
func (b *Bench) echoReply(at *port, p ipPacket, request []byte) want {
	reply := icmp(0, 0, binary.BigEndian.Uint32(request[4:]), request[8:])
	return want{at, "an echo reply", func(f []byte) error {
		if len(f) < 34 || !bytes.Equal(f[:14], at.from(nil)) {
			return fmt.Errorf("it is no packet of the router's to this station")
		}
		ip := f[14:]
		due := ipPacket{src: p.dst, dst: p.src, tos: p.tos, data: reply, proto: protoICMP, ttl: int(ip[8])}.bytes()
		copy(due[4:8], ip[4:8]) // the ID and DF are the router's to choose
		seal(due)
		if !bytes.Equal(ip, due) || ip[8] < 32 || ip[6]&^0x40 != 0 || ip[7] != 0 {
			return fmt.Errorf("this is due: %s", describe(at.from(due)))
		}
		return nil
	}}
}

// fragmentedEcho sends a request in three fragments, and puts the answer together.
func (b *Bench) fragmentedEcho(to string, lastFirst bool) {
	request := echo(0x4321, 9, pattern(3000))
	var frames [][]byte
	for at := 0; at < len(request); at += 1200 {
		p := ipPacket{src: ns1IP, dst: to, proto: protoICMP, id: 0x55, offset: at, data: request[at:min(at+1200, len(request))]}
		if at+1200 < len(request) {
			p.flags = 1
		}
		frames = append(frames, b.ns1.to(p.bytes()))
	}
	if lastFirst {
		frames[0], frames[2] = frames[2], frames[0]
	}
	for _, f := range frames {
		b.must(b.ns1.send(f))
	}
	seen := b.flush(b.ns1)
	if len(seen[b.up])+len(seen[b.ns2]) > 0 {
		b.fatalf("fragments for the router were sent on%s", describeAll(append(seen[b.up], seen[b.ns2]...)))
	}
	data := make([]byte, 0, len(request))
	for _, f := range seen[b.ns1] {
		ip := f[14:]
		if int(binary.BigEndian.Uint16(ip[6:])&0x1fff)*8 != len(data) || inetSum(ip[:20]) != 0 || !bytes.Equal(ip[12:16], ip4(to)) {
			b.fatalf("this is no part of an answer: %s", describe(f))
		}
		data = append(data, ip[20:]...)
	}
	if !bytes.Equal(data, icmp(0, 0, binary.BigEndian.Uint32(request[4:]), request[8:])) {
		b.fatalf("the answer is not right: %d frames%s", len(seen[b.ns1]), describeAll(seen[b.ns1]))
	}
}
