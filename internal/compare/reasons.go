package compare

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"github.com/vrouter/vrouter/internal/packet"
)

// sent is a packet with what came out of both.
type sent struct {
	*Arena
	*shot
	ours, theirs []frame
}

// reason is why something differs that is meant to. The list is closed: what is not on it is a fault.
type reason struct {
	name string // with the row of docs/conformance.md, where there is one
	is   func(s *sent, d *Difference) bool
}

var reasons = []reason{
	{"each numbers what it makes itself as it likes (RFC 6864 4.1)", func(s *sent, d *Difference) bool {
		return d.Field == fieldID && !s.passedOn(d)
	}},
	{"each labels what it makes itself as it likes (RFC 6437 3)", func(s *sent, d *Difference) bool {
		return d.Field == fieldFlow && !s.passedOn(d)
	}},
	{"the twin's tunnels are VXLAN, for which more kernels have a device than for IP-in-IP", func(_ *sent, d *Difference) bool {
		ours, theirs := strings.SplitN(d.Vrouter, " ", 2), strings.SplitN(d.Kernel, " ", 2)
		return d.Field == fieldEncap && len(ours) == 2 && len(theirs) == 2 && ours[1] == theirs[1]
	}},
	{"the host has a default route of its own, by which Linux forwards; vrouter imports only what kernel.import names", func(s *sent, _ *Difference) bool {
		return s.ip != nil && s.defaults && s.own(s.ip.Src()) && !s.leads(s.ip.Dst()) && s.kernelOf(s.ip) == ""
	}},
	{"a host that has no global IPv6 address speaks from a link-local one, each from its own", func(s *sent, d *Difference) bool {
		return s.six() && d.Field == fieldPacket && d.out.ip != nil && inside(d.out.ip).Src().IsLinkLocalUnicast() && !s.global6()
	}},
	{"whether an error quotes the hop limit as it came is open (RFC 4443 2.4)", func(_ *sent, d *Difference) bool {
		return d.Field == quotedField+fieldHops
	}},
	{"who is asked for the time has a clock of his own", func(s *sent, d *Difference) bool {
		return d.Field == fieldData && len(s.ip) > 20 && s.ip.Version() == 4 && s.ip[9] == packet.ProtocolICMP && upper(s.ip)[0] == 13
	}},
	{"H3, H4: class E, network 0, 169.254/16 and a subnet's broadcast are dropped", func(s *sent, d *Difference) bool {
		return s.four() && len(s.ours) == 0 && (s.unusable(s.ip.Src()) || s.unusable(s.ip.Dst()))
	}},
	{"H5: nothing is said about a workload's packet from an address that is not its own; Linux looks for a route first", func(s *sent, d *Difference) bool {
		return s.four() && len(s.ours) == 0 && !s.own(s.ip.Src())
	}},
	{"I2: errors carry precedence 6 and no other TOS bits; Linux copies those of what they are about", func(s *sent, d *Difference) bool {
		return d.Field == fieldTOS && s.ip != nil && s.ip.TrafficClass() != 0 && d.Vrouter == "0xc0" && !s.passedOn(d)
	}},
	{"F6: Linux tells a source of unreachable destinations five times, then once a second", func(s *sent, d *Difference) bool {
		return d.Field == fieldPacket && d.ours && s.four() && s.refuses(d.out.ip)
	}},
	{"I4, I6: the gateway's address is one that vrouter owns; to Linux it is one more that proxy ARP answers for", func(s *sent, d *Difference) bool {
		return s.four() && slices.Contains(s.gateways, s.ip.Dst()) && s.own(s.ip.Src())
	}},
	{"I6: Linux is a host as well, and has other answers and silences for its own addresses", func(s *sent, d *Difference) bool {
		return s.ip != nil && s.own(s.ip.Src()) && s.kernelOf(s.ip) == s.hostOf() && !isEcho(s.ip)
	}},
	{"F9: from the uplink the host's own stack answers for the host, by its own table: it has none of the router's routes", func(s *sent, d *Difference) bool {
		whose := s.kernelOf(s.ip)
		return whose != "" && whose != s.hostOf() && s.answer(d) && (s.defaults || d.Field == fieldPacket && !d.ours)
	}},
	{"F7: a fragment that reaches beyond 65,535 bytes is not cut; Linux lets the offset wrap", func(s *sent, d *Difference) bool {
		return s.four() && packet.IPv4(s.ip).FragOffset()+len(upper(s.ip)) > 65535 && len(s.ours) < len(s.theirs)
	}},
	{"F7: a packet is cut at other places", func(s *sent, d *Difference) bool {
		return s.four() && d.out.ip != nil && s.passedOn(d) && s.cutOtherwise(d.At)
	}},
	{"V3: ::, ::1, groups and addresses that stand for IPv4's are dropped", func(s *sent, d *Difference) bool {
		return s.six() && len(s.ours) == 0 && (unusable6(s.ip.Src()) || unusable6(s.ip.Dst()))
	}},
	{"V4: a workload's packet from an address that is not its own is dropped in silence; Linux has no filter", func(s *sent, d *Difference) bool {
		return s.six() && len(s.ours) == 0 && !s.own(s.ip.Src())
	}},
	{"V5: what has extension headers that do not end inside it is dropped; Linux does not look", func(s *sent, d *Difference) bool {
		return s.six() && len(s.ours) == 0 && !packet.IPv6(s.ip).Upper().OK
	}},
	{"V5: options for each hop are not looked at on the way (RFC 9673); Linux drops what it does not know there", func(s *sent, d *Difference) bool {
		return s.six() && len(s.theirs) == 0 && packet.IPv6(s.ip).NextHeader() == packet.HeaderHopByHop
	}},
	{"N2: Neighbor Discovery is for one link, and passed on to none; Linux passes on what is not for itself", func(s *sent, d *Difference) bool {
		return s.six() && len(s.ours) == 0 && isND(s.ip)
	}},
	{"N1: Linux leaves the O flag and the link-layer address out where it is asked by unicast (RFC 4861 7.2.4)", func(s *sent, d *Difference) bool {
		return s.six() && isND(s.ip) && len(s.ours) == 1 && len(s.theirs) == 1
	}},
	{"V8: an unreachable route is told as 1/3; Linux says 1/0", func(s *sent, d *Difference) bool {
		return s.six() && d.Field == fieldCode && d.Vrouter == "3" && d.Kernel == "0" && slices.ContainsFunc(s.refused, func(p netip.Prefix) bool { return p.Contains(s.ip.Dst()) })
	}},
	{"A1, A3, A4: 169.254.1.1 is an address that vrouter owns; to Linux it is one more that proxy ARP answers for", func(s *sent, d *Difference) bool {
		return s.ip == nil && isARPFor(s.shot.frame, s.gateways)
	}},
}

const optionsPass = "H6: options pass unchanged; Linux fills them in, refuses source routes, and answers broken ones"

// explain gives each difference its reason.
func (a *Arena) explain(s *sent, list []Difference) {
	for i := range list {
		for _, r := range reasons {
			if r.is(s, &list[i]) {
				list[i].Reason = r.name
				break
			}
		}
	}
}

// explainOptions says whether vrouter's routers did with a packet what Linux does if there are no-operations in the place of
// its options. Who receives it reads them as they come, and is left out.
func (a *Arena) explainOptions(ctx context.Context, s *shot, ours []frame, r *Result) error {
	hl := packet.IPv4(s.ip).HeaderLen()
	options := bytes.Clone(s.ip[packet.IPv4MinLen:hl])
	plain := newShot(s.from, withoutOptions(s.frame, options))
	if bytes.Equal(plain.frame, s.frame) {
		return nil
	}
	theirs, err := a.kernel.send(ctx, []*shot{plain}, quietFor[1])
	if err != nil {
		return err
	}
	var masked, without []frame
	for _, f := range ours {
		if !s.fromReceiver(&f) {
			f.bytes = withoutOptions(f.bytes, options)
			f.ip = trimmed(ipOf(f.bytes))
			masked = append(masked, f)
		}
	}
	for _, f := range theirs[0] {
		if !s.fromReceiver(&f) {
			without = append(without, f)
		}
	}
	list := a.differences(masked, without)
	a.explain(&sent{a, plain, masked, without}, list)
	if slices.ContainsFunc(list, func(d Difference) bool { return d.Reason == "" }) {
		return nil
	}
	for i := range r.Differences {
		if r.Differences[i].Reason == "" {
			r.Differences[i].Reason = optionsPass
		}
	}
	return nil
}

// fromReceiver says whether a frame is what the packet's receiver says to it.
func (s *shot) fromReceiver(f *frame) bool {
	return f.ip != nil && !same(s.ip, inside(f.ip)) && inside(f.ip).Src() == s.ip.Dst()
}

// withoutOptions is a frame with no-operations over options, in the header of the packet inside and in the one that an ICMP error
// quotes.
func withoutOptions(f, options []byte) []byte {
	f = bytes.Clone(f)
	ip := ipOf(f)
	if ip == nil {
		return f
	}
	inner := inside(ip)
	at := bytes.Index(inner, options)
	if at < packet.IPv4MinLen {
		return f
	}
	copy(inner[at:], bytes.Repeat([]byte{1}, len(options)))
	packet.IPv4(inner[at-packet.IPv4MinLen:]).SetChecksum()
	if at > packet.IPv4MinLen { // quoted
		m := trimmed(inner)[packet.IPv4(inner).HeaderLen():]
		m[2], m[3] = 0, 0
		binary.BigEndian.PutUint16(m[2:], packet.Checksum(m))
	}
	return f
}

func (s *sent) four() bool { return s.ip != nil && s.ip.Version() == 4 }
func (s *sent) six() bool  { return s.ip != nil && s.ip.Version() == 6 }

func (s *sent) hostOf() string { return strings.SplitN(s.from, "/", 2)[0] }

// own says whether an address is one of the workload's.
func (s *sent) own(a netip.Addr) bool {
	return slices.Contains(s.vrouter.byOrigin[s.from].addresses, a)
}

// global6 says whether all hosts have a global IPv6 address.
func (s *sent) global6() bool {
	n := 0
	for a := range s.kernels {
		if a.Is6() && a.IsGlobalUnicast() {
			n++
		}
	}
	return n >= len(s.lab.Hosts)
}

// kernelOf is the host to whose own address a packet goes; "" if it goes to none.
func (s *sent) kernelOf(ip packet.IP) string {
	if ip == nil {
		return ""
	}
	return s.kernels[ip.Dst()]
}

// answer says whether what differs is from whom the packet went to.
func (s *sent) answer(d *Difference) bool {
	if d.out.ip == nil {
		return false
	}
	ip := inside(d.out.ip)
	return ip.Src() == s.ip.Dst() && ip.Dst() == s.ip.Src()
}

// passedOn says whether what differs is the packet itself, and nothing that somebody has made because of it.
func (s *sent) passedOn(d *Difference) bool {
	return d.out.ip != nil && s.ip != nil && same(s.ip, inside(d.out.ip))
}

// refuses says whether it is an error of a router that knows no way to where the packet goes.
func (s *sent) refuses(ip packet.IP) bool {
	b := upper(ip)
	return ip.Dst() == s.ip.Src() && s.kernels[ip.Src()] != "" && len(b) >= 8 && b[0] == packet.ICMPUnreachable && slices.Contains([]byte{0, 1, 13}, b[1]) && !s.leads(s.ip.Dst())
}

// leads says whether somebody may be there.
func (s *sent) leads(a netip.Addr) bool {
	for _, p := range s.vrouter.places {
		if slices.Contains(p.addresses, a) {
			return true
		}
	}
	return false
}

// unusable says of an IPv4 address whether nobody can have it.
func (s *sent) unusable(a netip.Addr) bool {
	b := a.As4()
	if b[0] == 0 || b[0] >= 240 || b[0] == 127 || b[0] == 169 && b[1] == 254 && !slices.Contains(s.gateways, a) {
		return true
	}
	return slices.ContainsFunc(s.uplinks, func(p netip.Prefix) bool {
		return p.Contains(a) && (a == p.Masked().Addr() || !p.Contains(a.Next()))
	})
}

func unusable6(a netip.Addr) bool {
	b := a.As16()
	return b[0] == 0xff || bytes.Equal(b[:10], make([]byte, 10))
}

// cutOtherwise says whether at a place both have parts of the same data, cut at other places.
func (s *sent) cutOtherwise(at string) bool {
	ours, n := s.together(s.ours, at)
	theirs, m := s.together(s.theirs, at)
	return n > 1 && m > 1 && ours != nil && bytes.Equal(ours, theirs)
}

// together is the data that the packet's fragments at a place make up, and of how many; nil where they do not fit behind each other.
func (s *sent) together(list []frame, at string) (data []byte, n int) {
	start := 0
	for _, f := range list {
		if f.at.name != at || f.ip == nil || !same(s.ip, inside(f.ip)) {
			continue
		}
		ip := packet.IPv4(inside(f.ip))
		if n++; n == 1 {
			start = ip.FragOffset()
		}
		if ip.FragOffset() != start+len(data) {
			return nil, n
		}
		data = append(data, ip[ip.HeaderLen():]...)
	}
	return data, n
}

func hasOptions(ip packet.IP) bool {
	return ip != nil && ip.Version() == 4 && packet.IPv4(ip).HeaderLen() > packet.IPv4MinLen
}

// upper is what an IP packet carries.
func upper(ip packet.IP) []byte {
	_, at, _ := packet.Transport(ip)
	return ip[min(at, len(ip)):]
}

func isEcho(ip packet.IP) bool {
	protocol, at, fragment := packet.Transport(ip)
	return !fragment && at+8 <= len(ip) && (protocol == packet.ProtocolICMP && ip[at] == packet.ICMPEchoRequest || protocol == packet.ProtocolICMPv6 && ip[at] == packet.ICMPv6EchoRequest)
}

func isARPFor(f []byte, addresses []netip.Addr) bool {
	const target = packet.EthernetLen + 24
	return len(f) >= target+4 && binary.BigEndian.Uint16(f[12:]) == packet.EtherTypeARP && slices.Contains(addresses, packet.IPv4Addr(f[target:target+4]))
}
