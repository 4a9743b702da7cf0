package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// to6 and from6 are to and from of IPv6.
func (p *port) to6(ip []byte) []byte { return eth(p.router, p.station(), typeIPv6, ip) }

func (p *port) from6(ip []byte) []byte { return eth(p.station(), p.router, typeIPv6, ip) }

// station6 is the address of who speaks here, beside its link-local one.
func (p *port) station6() string { return linkLocal(p.station()) }

// ip6Of is the workload's address; on the uplink that of a workload behind another host.
func (p *port) ip6Of() string {
	return map[string]string{ns1IP: ns1IP6, ns2IP: ns2IP6, "": farIP6}[p.ip]
}

func (b *Bench) one6(in *port, ip []byte, wants ...want) {
	b.exchange(in, [][]byte{in.to6(ip)}, wants...)
}

func routed6(at *port, ip []byte) want { return exactly(at, at.from6(forwarded6(ip))) }

func routed6Via(at *port, station mac, ip []byte) want {
	return exactly(at, eth(station, at.router, typeIPv6, forwarded6(ip)))
}

// silent6 sends a packet that is to vanish, for a reason.
func (b *Bench) silent6(in *port, p ip6Packet, reason string) {
	b.one6(in, p.bytes())
	b.dropped(in, reason, 1)
}

// everyWay6 sends a packet from each port to each other one.
func (b *Bench) everyWay6(p ip6Packet) {
	for _, in := range b.ports() {
		for _, out := range b.ports() {
			if in == out {
				continue
			}
			q := p
			q.src, q.dst = in.ip6Of(), out.ip6Of()
			ip := q.bytes()
			b.one6(in, ip, routed6(out, ip))
		}
	}
}

// icmp6About is an ICMPv6 error from the router about a packet, with all that RFC 4443 2.2
// and 2.4 ask of it.
func icmp6About(at *port, typ, code byte, rest uint32, about []byte) want {
	what := fmt.Sprintf("ICMPv6 %d/%d rest %d about %s", typ, code, rest, describe(at.to6(about)))
	return want{at, what, func(f []byte) error {
		if !bytes.Equal(f[:14], at.from6(nil)) {
			return fmt.Errorf("the Ethernet header is not the router's to this station")
		}
		return checkError6(f[14:], typ, code, rest, about)
	}}
}

func checkError6(ip []byte, typ, code byte, rest uint32, about []byte) error {
	n := min(len(about), 1280-40-8) // 2.4 (c): as much as fits in 1,280 bytes
	if len(ip) < 48 || ip[0]>>4 != 6 || int(binary.BigEndian.Uint16(ip[4:]))+40 != len(ip) {
		return fmt.Errorf("its IPv6 header is not right")
	}
	src, dst := netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
	toNear := netip.AddrFrom16([16]byte(about[8:24])).IsLinkLocalUnicast()
	switch {
	case ip[6] != protoICMP6 || ip[40] != typ || ip[41] != code:
		return fmt.Errorf("it is not ICMPv6 %d/%d", typ, code)
	case sum6(ip[8:24], ip[24:40], protoICMP6, ip[40:]) != 0:
		return fmt.Errorf("its checksum is wrong")
	case binary.BigEndian.Uint32(ip[44:]) != rest:
		return fmt.Errorf("its second word is %#x, not %#x", ip[44:48], rest)
	case src.String() != hostIP6 && !(toNear && src.IsLinkLocalUnicast()): // 2.2
		return fmt.Errorf("it comes from %v, not from %s", src, hostIP6)
	case !bytes.Equal(ip[24:40], about[8:24]):
		return fmt.Errorf("it goes to %v, not to the source", dst)
	case ip[7] < 32:
		return fmt.Errorf("its hop limit is %d", ip[7])
	case len(ip) != 48+n:
		return fmt.Errorf("it quotes %d bytes, not %d", len(ip)-48, n)
	}
	onward := slices.Clone(about[:n])
	onward[7]--
	if quote := ip[48:]; !bytes.Equal(quote, about[:n]) && !bytes.Equal(quote, onward) {
		return fmt.Errorf("it does not quote the packet as it came: %x", quote)
	}
	return nil
}

// echoReply6 is the answer to an echo request: from the address that was asked.
func (b *Bench) echoReply6(at *port, src, dst string, request []byte) want {
	return want{at, "an echo reply", func(f []byte) error {
		reply := icmp6(dst, src, 129, 0, binary.BigEndian.Uint32(request[4:]), request[8:])
		due := ip6Packet{src: dst, dst: src, next: protoICMP6, data: reply}.bytes()
		if len(f) < 54 || !bytes.Equal(f[:14], at.from6(nil)) {
			return fmt.Errorf("it is no packet of the router's to this station")
		}
		ip := f[14:]
		copy(due[:4], ip[:4]) // class and flow label are the router's to choose
		due[7] = ip[7]
		if !bytes.Equal(ip, due) || ip[7] < 32 || ip[0]>>4 != 6 {
			return fmt.Errorf("this is due: %s", describe(at.from6(due)))
		}
		return nil
	}}
}

// pings6 requires one right answer to an echo request.
func (b *Bench) pings6(in *port, p ip6Packet, data []byte) {
	request := echo6(p.src, p.dst, 0x1234, 7, data)
	p.next, p.data = protoICMP6, request
	b.one6(in, p.bytes(), b.echoReply6(in, p.src, p.dst, request))
}

// refused6 requires an error from both sides, and a drop for that reason.
func (b *Bench) refused6(dst string, typ, code byte, reason string) {
	for _, in := range []*port{b.ns1, b.up} {
		ip := ip6Packet{src: in.ip6Of(), dst: dst}.bytes()
		b.one6(in, ip, icmp6About(in, typ, code, 0, ip))
		b.dropped(in, reason, 1)
	}
}
