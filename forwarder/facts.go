package forwarder

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// Facts are what a step decided by, for the one line that says why: fixed memory, that
// is filled in on the path and put into words by whoever reads it.
type Facts struct {
	Route fmt.Stringer // route
	Addr  netip.Addr   // neigh: the next hop; encap: the tunnel's other end
	Port  *Port        // rx, rpf: it came by
	Known *Neighbor    // neigh: by whom; whoever watches makes an Age of it
	Age   float64      // neigh: seconds since it last confirmed it; 0: it is permanent
	// mtu: bytes of IP that came, that fit, that the link carries, and of an outer
	// header to come; and into how many fragments the packet was cut.
	Size, Fit, MTU, Outer, Pieces int32
	Cut                           Cut    // encap
	Note                          string // arp, check, decap, nd, local, mtu, encap, neigh: a constant, never made for one packet
}

// FactsOf are those of one step.
func (p *Packet) FactsOf(s *Step) (f Facts) {
	if s.facts != nil {
		s.facts(p, &f)
	}
	return f
}

// Seen is what is known of a packet's stay at a step: the frame as it came there and
// as it left, as far as somebody has kept them, and what the step decided by.
type Seen struct {
	Verdict
	Facts
	Before, After []byte
	In, Out       string // ports; In is empty for what the router made itself
}

// Say is what a step did in one line, and by what it decided, or why it refused.
func (s *Step) Say(o *Seen) string {
	about := ""
	if s.say != nil {
		about = s.say(o)
	}
	if o.Kind != verdict.Drop {
		return about
	}
	info := o.Reason.Info()
	if about == "" {
		about = info.Help
	}
	return info.Word + ": " + about
}

// header is the IP packet in a kept frame, or nil if there is no whole header.
func header(frame []byte) packet.IP {
	if len(frame) < packet.EthernetLen+packet.IPv4MinLen {
		return nil
	}
	ip := packet.IP(frame[packet.EthernetLen:])
	switch t := binary.BigEndian.Uint16(frame[12:]); {
	case t == packet.EtherTypeIPv4 && ip.Version() == 4, t == packet.EtherTypeIPv6 && ip.Version() == 6 && len(ip) >= packet.IPv6MinLen:
		return ip
	}
	return nil
}

// ago is a time in seconds as one says it.
func ago(seconds float64) string {
	if seconds < 10 {
		return fmt.Sprintf("%.1f s ago", seconds)
	}
	return fmt.Sprintf("%.0f s ago", seconds)
}

func list(addrs []netip.Addr) string {
	var words []string
	for _, a := range addrs {
		words = append(words, a.String())
	}
	return strings.Join(words, ", ")
}
