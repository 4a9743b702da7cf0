package forwarder

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// Check is RFC 1812 5.2.2 on the header, and 5.3.7 on the addresses in it; of IPv6,
// RFC 8200 3 and RFC 4291 2.5.
var Check = &Step{
	Word: "check", Help: "the IP header is valid and its addresses may be forwarded", RFC: "RFC 1812 5.2.2, 5.3.7", RFC6: "RFC 8200 3, RFC 4291 2.5",
	run: (*Path).check, facts: noteFacts, say: saysCheck,
}

func (x *Path) check(p *Packet) Verdict {
	ip := packet.IPv4(p.Frame.Payload())
	if p.IP = packet.IP(ip); p.six {
		return x.check6(p)
	}
	if reason := badHeader(ip); reason != verdict.None {
		return p.refuse(reason)
	}
	if n := ip.TotalLen(); n < len(ip) && !p.trim(n) {
		return p.refuse(verdict.FrameTooShort)
	}
	if reason := x.badAddress(p); reason != verdict.None {
		return p.refuse(reason)
	}
	return pass
}

func (x *Path) check6(p *Packet) Verdict {
	ip := packet.IPv6(p.IP)
	if reason := badHeader6(ip); reason != verdict.None {
		return p.refuse(reason)
	}
	if n := packet.IPv6MinLen + ip.PayloadLen(); n < len(ip) && !p.trim(n) {
		return p.refuse(verdict.FrameTooShort)
	}
	if ip = packet.IPv6(p.IP); !ip.IsPlain() && !ip.Upper().OK {
		p.tells = verdict.MeansNothing
		return p.refuse(verdict.IP6BadHeader)
	}
	if reason := x.badAddress6(p); reason != verdict.None {
		return p.refuse(reason)
	}
	return pass
}

// trim takes away what is behind the packet, and says whether the frame is still what its
// offload header speaks of.
func (p *Packet) trim(n int) bool {
	p.Frame.Trim(n)
	p.IP = p.IP[:n]
	return p.Frame.OffloadValid()
}

// badHeader says what is wrong with an IPv4 header. RFC 1812 asks for silence
// in each case: nothing in a broken header can be trusted, not even its source.
func badHeader(ip packet.IPv4) Reason {
	switch {
	case len(ip) < packet.IPv4MinLen:
		return verdict.IPTooShort
	case ip.Version() != 4:
		return verdict.IPBadVersion
	case ip.HeaderLen() < packet.IPv4MinLen:
		return verdict.IPBadHeaderLength
	case ip.TotalLen() < ip.HeaderLen(), ip.TotalLen() > len(ip):
		return verdict.IPBadLength
	case ip.HeaderSum() != 0xffff:
		return verdict.IPBadChecksum
	}
	return verdict.None
}

// badHeader6 is badHeader of IPv6.
func badHeader6(ip packet.IPv6) Reason {
	switch {
	case len(ip) < packet.IPv6MinLen:
		return verdict.IPTooShort
	case ip.Version() != 6:
		return verdict.IPBadVersion
	case packet.IPv6MinLen+ip.PayloadLen() > len(ip):
		return verdict.IPBadLength
	}
	return verdict.None
}

// badAddress says why a packet with a valid header may not go on.
func (x *Path) badAddress(p *Packet) Reason {
	src, dst := p.IP[12:16], p.IP[16:20]
	switch {
	case notOneHost(src):
		p.note = ""
		return verdict.MartianSource // RFC 1812 5.3.7
	case p.In.Kind == Uplink && x.isOwn(packet.IPv4(p.IP).Src()):
		p.note = fromUs
		return verdict.MartianSource
	case notOneHost(dst):
		return verdict.MartianDestination
	case x.crossesLink(p, src, dst):
		return verdict.LinkLocal
	case p.Frame.DstMAC().IsGroup():
		return verdict.L2Broadcast
	}
	return verdict.None
}

const fromUs = "it is from an address of this host, for which nobody else speaks"

// badAddress6 is badAddress of IPv6. What is for a group of this link, or from nobody who
// asks for an address (RFC 4862 5.4), is for the step nd to judge.
func (x *Path) badAddress6(p *Packet) Reason {
	src, dst := words(p.IP[8:]), words(p.IP[24:])
	group := dst.isGroup()
	switch {
	case src.notOneHost() && !(src == address6{} && (group || ndType(p.IP) != 0)):
		p.note = ""
		return verdict.MartianSource
	case p.In.Kind == Uplink && x.isRouter(p.In, packet.IPv6(p.IP).Src()):
		p.note = fromUs
		return verdict.MartianSource
	case group && p.IP[25]&15 <= linkScope:
		return verdict.None
	case dst.notOneHost():
		return verdict.MartianDestination
	case (dst.isLinkLocal() || src.isLinkLocal()) && !x.isRouter(p.In, p.IP.Dst()):
		if ndType(p.IP) != 0 {
			return verdict.None
		}
		if dst.isLinkLocal() {
			return verdict.LinkLocal
		}
		return verdict.BeyondScope
	case p.Frame.DstMAC().IsGroup():
		return verdict.L2Broadcast
	}
	return verdict.None
}

// linkScope is that of a group on one link; what is below is even nearer (RFC 4291 2.7).
const linkScope = 2

// address6 is an IPv6 address, as it is looked at quickest.
type address6 struct{ hi, lo uint64 }

func words(b []byte) address6 {
	return address6{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (a address6) isGroup() bool { return a.hi>>56 == 0xff }

func (a address6) isLinkLocal() bool { return a.hi>>54 == 0xfe80>>6 }

// notOneHost: groups, ::, ::1, and IPv4's addresses, which are on no wire (RFC 4291 2.5,
// RFC 6890 2.2.3).
func (a address6) notOneHost() bool {
	return a.isGroup() || a.hi == 0 && (a.lo <= 1 || a.lo>>32 == 0xffff)
}

// isOneHost says whether an address can be one host's.
func isOneHost(a netip.Addr) bool {
	b := a.As16()
	if a.Is4() {
		return !notOneHost(b[12:])
	}
	return !words(b[:]).notOneHost()
}

// crossesLink says whether a packet from or to 169.254/16 would leave its link (RFC 3927 7). One that
// the host itself sends to a workload, or gets, does not, nor does one to the gateway.
func (x *Path) crossesLink(p *Packet, src, dst []byte) bool {
	switch {
	case isLinkLocal(src) && p.In.Kind == Host:
		return !x.isOwn(p.IP.Src())
	case isLinkLocal(src):
		return p.In.Kind != Uplink || !x.isOwn(p.IP.Dst())
	case isLinkLocal(dst):
		return !x.isOwn(p.IP.Dst()) && (p.IP.Dst() != x.Gateway || p.In.Kind == Uplink)
	}
	return false
}

// notOneHost: 0/8 and 127/8, and from 224 on multicast, class E and the limited
// broadcast (RFC 1812 5.3.7, 4.2.2.11).
func notOneHost(a []byte) bool { return a[0] == 0 || a[0] == 127 || a[0] >= 224 }

func isLinkLocal(a []byte) bool { return a[0] == 169 && a[1] == 254 }

func saysCheck(o *Seen) string {
	ip := header(o.After)
	switch {
	case o.Reason == verdict.MartianSource:
		return o.Note
	case o.Kind == verdict.Drop || ip == nil:
		return ""
	case ip.Version() == 6:
		return fmt.Sprintf("header of %d bytes, %d in all", packet.IPv6MinLen, ip.Len())
	}
	v4 := packet.IPv4(ip)
	return fmt.Sprintf("header of %d bytes, %d in all, checksum %04x is right", v4.HeaderLen(), v4.TotalLen(), v4.HeaderChecksum())
}
