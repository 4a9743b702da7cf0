// Package dissect names the fields of a frame: which bytes they are, and what they say. It is for
// people who look at bytes; the packet path reads frames with its own hands.
package dissect

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
)

// Field is a field of a frame: bytes From up to, and without, To. Flags and other parts of a byte
// have the whole byte.
type Field struct {
	From  int    `json:"from"`
	To    int    `json:"to"`
	Layer string `json:"layer"` // the header's name, such as IPv4
	Name  string `json:"name"`  // as the RFC calls it
	Value string `json:"value"`
}

const (
	etherVLAN = 0x8100
	// maxHeaders bounds the headers one in the other that are named.
	maxHeaders = 24
)

// reader goes over a frame from its start.
type reader struct {
	b     []byte
	at    int
	layer string
	left  int  // headers that may still come
	cut   bool // a field is not there as a whole: nor is what comes behind it
	list  []Field
}

// Frame names the fields of the start of an Ethernet frame, as far as it goes: a header that is cut is
// named up to the last whole field, what is behind the headers is data.
func Frame(b []byte) []Field {
	r := &reader{b: b, left: maxHeaders}
	r.ethernet()
	r.layer, r.cut = "data", false
	r.rest("data")
	return r.list
}

func (r *reader) enter(layer string) bool {
	r.layer = layer
	r.left--
	return r.left >= 0
}

// take names the next n bytes, and returns them; nil if there are fewer.
func (r *reader) take(n int, name string, say func([]byte) string) []byte {
	if r.cut = r.cut || r.at+n > len(r.b); r.cut {
		return nil
	}
	b := r.b[r.at : r.at+n]
	r.list = append(r.list, Field{r.at, r.at + n, r.layer, name, say(b)})
	r.at += n
	return b
}

// also names bytes again that were taken: another field that is in them.
func (r *reader) also(back, n int, name, value string) {
	r.list = append(r.list, Field{r.at - back, r.at - back + n, r.layer, name, value})
}

func (r *reader) rest(name string) { r.upTo(len(r.b), name) }

// upTo names what is left before a place.
func (r *reader) upTo(end int, name string) {
	if end = min(end, len(r.b)); end > r.at {
		r.take(end-r.at, name, bytesWords)
	}
}

func (r *reader) u8(name string) (byte, bool) {
	b := r.take(1, name, decimal)
	if b == nil {
		return 0, false
	}
	return b[0], true
}

func (r *reader) u16(name string, say func([]byte) string) (uint16, bool) {
	b := r.take(2, name, say)
	if b == nil {
		return 0, false
	}
	return binary.BigEndian.Uint16(b), true
}

// number is the big-endian number that bytes are.
func number(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

func decimal(b []byte) string    { return fmt.Sprint(number(b)) }
func hex(b []byte) string        { return fmt.Sprintf("0x%0*x", 2*len(b), number(b)) }
func bytesWords(b []byte) string { return fmt.Sprintf("%d bytes", len(b)) }
func mac(b []byte) string        { return packet.MAC(b).String() }

func address(b []byte) string {
	a, _ := netip.AddrFromSlice(b)
	return a.String()
}

// named says a number, and what it means where that is known.
func named(names map[uint64]string) func([]byte) string {
	return func(b []byte) string {
		n := number(b)
		if name, ok := names[n]; ok {
			return fmt.Sprintf("%d, %s", n, name)
		}
		return fmt.Sprint(n)
	}
}

// flags are the names of the bits that are set, the highest first; "none".
func flags(n uint64, names ...string) string {
	text := ""
	for i, name := range names {
		if n>>(len(names)-1-i)&1 == 0 || name == "" {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += name
	}
	if text == "" {
		return "none"
	}
	return text
}

var etherTypes = map[uint64]string{
	packet.EtherTypeIPv4: "IPv4", packet.EtherTypeARP: "ARP", packet.EtherTypeIPv6: "IPv6", etherVLAN: "802.1Q",
}

func etherType(b []byte) string {
	if name, ok := etherTypes[number(b)]; ok {
		return hex(b) + ", " + name
	}
	return hex(b)
}

func (r *reader) ethernet() {
	if !r.enter("Ethernet") {
		return
	}
	r.take(6, "destination", mac)
	r.take(6, "source", mac)
	t, ok := r.u16("type", etherType)
	for ok && t == etherVLAN && r.enter("802.1Q") {
		b := r.take(2, "priority and VLAN", func(b []byte) string {
			return fmt.Sprintf("priority %d, VLAN %d", b[0]>>5, number(b)&0xfff)
		})
		if b == nil {
			return
		}
		t, ok = r.u16("type", etherType)
	}
	if !ok {
		return
	}
	switch t {
	case packet.EtherTypeARP:
		r.arp()
	case packet.EtherTypeIPv4:
		r.ipv4()
	case packet.EtherTypeIPv6:
		r.ipv6()
	}
}

var arpOperations = map[uint64]string{packet.ARPRequest: "request", packet.ARPReply: "reply"}

// arp is RFC 826, for IPv4 over Ethernet.
func (r *reader) arp() {
	r.enter("ARP")
	r.take(2, "hardware type", named(map[uint64]string{1: "Ethernet"}))
	r.take(2, "protocol type", etherType)
	r.u8("hardware address length")
	r.u8("protocol address length")
	r.take(2, "operation", named(arpOperations))
	r.take(6, "sender hardware address", mac)
	r.take(4, "sender protocol address", address)
	r.take(6, "target hardware address", mac)
	r.take(4, "target protocol address", address)
	r.layer = "padding"
	r.rest("padding")
}

// upper goes on with what an IP header carries.
func (r *reader) upper(protocol byte) {
	switch protocol {
	case packet.ProtocolICMP:
		r.icmp()
	case packet.ProtocolICMPv6:
		r.icmpv6()
	case packet.ProtocolTCP:
		r.tcp()
	case packet.ProtocolUDP:
		r.udp()
	case packet.ProtocolIPIP:
		r.ipv4()
	case packet.ProtocolIPv6:
		r.ipv6()
	}
}
