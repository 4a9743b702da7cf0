package conformance

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// deviation is a difference from the kernel that is meant: where one of these
// holds, vrouter must do as it says. The list is closed: what is not on it is a fault.
type deviation struct {
	name string // the row of docs/conformance.md, and why
	is   func(d *duel, s shot, ours, theirs []string) bool
}

var deviations = []deviation{
	{"H3, H4: class E, network 0, 169.254/16 and a subnet's broadcast are dropped", func(_ *duel, s shot, ours, _ []string) bool {
		return len(ours) == 0 && (unusable(s.ip.src) || unusable(s.ip.dst))
	}},
	{"H5: nothing is said about a workload's packet from an address that is not its own; Linux looks for a route first", func(d *duel, s shot, ours, _ []string) bool {
		return s.port != 2 && s.ip.src != d.linux.ports()[s.port].ip && len(ours) == 0
	}},
	{"I2: errors carry precedence 6 and no other TOS bits", func(_ *duel, s shot, ours, theirs []string) bool {
		return s.ip.tos != 0 && slices.Equal(ours, eachIP(theirs, plainTOS))
	}},
	{"F6: Linux tells a source of unreachable destinations five times, then once a second", func(d *duel, s shot, ours, theirs []string) bool {
		code, ok := map[string]byte{"10.70.10.1": 1, "10.70.11.1": 13, "10.99.0.1": 0, "8.8.8.8": 0}[s.ip.dst]
		return ok && len(theirs) == 0 && slices.Equal(ours, d.errorAbout(s, 3, code))
	}},
	{"I6: Linux is a host as well, and has other answers and silences for its own addresses", func(d *duel, s shot, ours, _ []string) bool {
		return s.ip.src == d.linux.ports()[s.port].ip && s.ip.dst == hostIP && slices.Equal(ours, d.unspoken(s))
	}},
	{"I4, I6: 169.254.1.1 is an address that vrouter owns", func(d *duel, s shot, ours, _ []string) bool {
		if s.ip.src != d.linux.ports()[s.port].ip || s.ip.dst != gatewayIP {
			return false
		}
		return slices.Equal(ours, d.unspoken(s)) || len(ours) == 1 && isEchoRequest(s) && slices.Equal(ours, d.echoReply(s))
	}},
	{"F9: from the uplink the host's own stack answers for the host, by its own table: it has none of the router's routes", func(_ *duel, s shot, ours, _ []string) bool {
		return s.port == 2 && s.ip.dst == hostIP && !strings.HasPrefix(s.ip.src, "192.168.0.") && len(ours) == 0
	}},
	{"F7: a fragment that reaches beyond 65,535 bytes is not cut; Linux lets the offset wrap", func(_ *duel, s shot, ours, theirs []string) bool {
		return s.ip.offset+len(s.ip.data) > 65535 && len(ours) == 0 && len(theirs) > 1
	}},
	{"F7: a packet is cut at other places", func(_ *duel, _ shot, ours, theirs []string) bool {
		whole := together(ours)
		return whole != "" && whole == together(theirs)
	}},
}

const optionsPass = "H6: options pass unchanged; Linux fills them in, refuses source routes, and answers broken ones"

// diffCases are packets that came out otherwise once, at their simplest.
var diffCases = []shot{
	{port: 1, ip: ipPacket{src: ns2IP, dst: "8.8.8.8", id: 1, data: []byte{0x9c}}},
	{port: 1, ip: ipPacket{src: ns2IP, dst: hostIP, id: 1, data: []byte{0x57}}},
	{port: 0, ip: ipPacket{src: ns1IP, dst: ns2IP, id: 1, flags: 1, offset: 65248, proto: protoICMP, data: pattern(1344)}},
	{port: 1, ip: ipPacket{src: ns1IP, dst: "8.8.8.8", id: 1, data: udp(1, 2, nil)}},
	{port: 1, ip: ipPacket{src: ns2IP, dst: ns1IP, id: 1, ttl: -1, proto: protoICMP, data: []byte{1, 1, 0, 0, 8}}},
	{port: 1, ip: ipPacket{src: ns2IP, dst: hostIP, id: 1, proto: protoTCP, data: []byte{}}},
}

// explain says whether what came out is equal, or a deviation covers it.
func (d *duel) explain(s shot, ours, theirs []string) bool {
	if slices.Equal(ours, theirs) {
		return true
	}
	for _, dev := range deviations {
		if dev.is(d, s, ours, theirs) {
			d.explained[dev.name]++
			return true
		}
	}
	if d.onlyByOptions(s, ours) {
		d.explained[optionsPass]++
		return true
	}
	return false
}

// onlyByOptions says whether vrouter did with a packet what Linux does if there are
// no-operations in the place of its options.
func (d *duel) onlyByOptions(s shot, ours []string) bool {
	plain := s
	plain.ip.options = bytes.Repeat([]byte{1}, len(s.ip.options))
	if bytes.Equal(plain.ip.options, s.ip.options) {
		return false
	}
	d.pace(s.port, 1)
	theirs := d.linux.volley(s.port, []shot{plain})[s.ip.id]
	return d.explain(plain, eachIP(ours, func(ip []byte) { withoutOptions(ip, s.ip.options) }), theirs)
}

func unusable(a string) bool {
	b := ip4(a)
	return b[0] == 0 || b[0] >= 240 || b[0] == 169 && b[1] == 254 || a == "192.168.0.255"
}

// errorAbout is what the source of a packet is told, written as volley does.
func (d *duel) errorAbout(s shot, typ, code byte) []string {
	at := d.vrouter.ports()[s.port]
	ip := s.frame(at)[14:]
	ip = ip[:min(len(ip), int(binary.BigEndian.Uint16(ip[2:])), 548)]
	return d.reply(s, hostIP, 0xc0, icmp(typ, code, 0, ip))
}

// reply is an ICMP message of the router to where a packet says that it came from.
func (d *duel) reply(s shot, from string, tos byte, message []byte) []string {
	at := d.vrouter.ports()[2]
	for _, p := range d.vrouter.ports() {
		if p.ip == s.ip.src {
			at = p
		}
	}
	e := ipPacket{src: from, dst: s.ip.src, tos: tos, proto: protoICMP, data: message}
	return []string{fmt.Sprintf("%s usual %x", at.name, e.bytes())}
}

func isEchoRequest(s shot) bool {
	return s.ip.proto == protoICMP && len(s.ip.data) >= 8 && s.ip.data[0] == 8 && s.ip.data[1] == 0
}

func (d *duel) echoReply(s shot) []string {
	m := bytes.Clone(s.ip.data)
	m[0], m[2], m[3] = 0, 0, 0
	binary.BigEndian.PutUint16(m[2:], inetSum(m))
	return d.reply(s, gatewayIP, s.ip.tos, m)
}

// unspoken is what a workload hears of a protocol that the router does not speak.
func (d *duel) unspoken(s shot) []string {
	switch s.ip.proto {
	case protoICMP:
		return nil
	case 0, protoUDP:
		return d.errorAbout(s, 3, 3)
	}
	return d.errorAbout(s, 3, 2)
}

// eachIP changes the packet in each of a volley's frames.
func eachIP(frames []string, change func(ip []byte)) (changed []string) {
	for _, f := range frames {
		head, ip := parted(f)
		change(ip)
		changed = append(changed, fmt.Sprintf("%s %x", head, ip))
	}
	return changed
}

func parted(f string) (head string, ip []byte) {
	at := strings.LastIndexByte(f, ' ')
	ip, _ = hex.DecodeString(f[at+1:])
	return f[:at], ip
}

// plainTOS makes an ICMP error of the host's carry what vrouter's carry.
func plainTOS(ip []byte) {
	if len(ip) > 28 && bytes.Equal(ip[12:16], ip4(hostIP)) && ip[9] == protoICMP && strings.IndexByte("\x03\x0b\x0c", ip[int(ip[0]&15)*4]) >= 0 {
		ip[1] = 0xc0
		seal(ip)
	}
}

// withoutOptions writes no-operations over options, in a packet's header and in
// the header that an ICMP error quotes.
func withoutOptions(ip, options []byte) {
	at := bytes.Index(ip, options)
	if at < 20 {
		return
	}
	copy(ip[at:], bytes.Repeat([]byte{1}, len(options)))
	seal(ip[at-20:])
	if at > 20 { // quoted
		m := ip[20:]
		m[2], m[3] = 0, 0
		binary.BigEndian.PutUint16(m[2:], inetSum(m))
	}
}

// together is the datagram, or the part of one, that fragments make up: "" if
// they do not fit behind each other. Options are left to row F7.
func together(frames []string) string {
	var first []byte
	var data []byte
	start, where := 0, ""
	for i, f := range frames {
		head, ip := parted(f)
		hl := int(ip[0]&15) * 4
		field := int(binary.BigEndian.Uint16(ip[6:]))
		if i == 0 {
			first, start, where = bytes.Clone(ip[:20]), field&0x1fff*8, head
		}
		fits := head == where && inetSum(ip[:hl]) == 0 && field&0x1fff*8 == start+len(data) && int(binary.BigEndian.Uint16(ip[2:])) == len(ip)
		if !fits || field&0x2000 == 0 && i < len(frames)-1 {
			return ""
		}
		data = append(data, ip[hl:]...)
		first[6] = ip[6] & 0xe0
	}
	if len(frames) < 2 {
		return ""
	}
	return fmt.Sprintf("%s %x %x %d %x", where, first[8:10], first[12:], start, append(first[4:7:7], data...))
}
