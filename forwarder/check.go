package forwarder

import (
	"fmt"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// Check is RFC 1812 5.2.2 on the header, and 5.3.7 on the addresses in it.
var Check = &Step{
	Word: "check", Help: "the IPv4 header is valid and its addresses may be forwarded", RFC: "RFC 1812 5.2.2, 5.3.7",
	run: (*Path).check, facts: noteFacts, say: saysCheck,
}

func (x *Path) check(p *Packet) Verdict {
	p.IP = packet.IPv4(p.Frame.Payload())
	if reason := badHeader(p.IP); reason != verdict.None {
		return p.refuse(reason)
	}
	if n := p.IP.TotalLen(); n < len(p.IP) { // what is behind it is not the packet's
		p.Frame.Trim(n)
		p.IP = p.IP[:n]
		if !p.Frame.OffloadValid() {
			return p.refuse(verdict.FrameTooShort)
		}
	}
	if reason := x.badAddress(p); reason != verdict.None {
		return p.refuse(reason)
	}
	return pass
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
	case packet.Sum(ip[:ip.HeaderLen()], 0) != 0xffff:
		return verdict.IPBadChecksum
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
	case p.In.Kind == Uplink && x.isOwn(p.IP.Src()):
		p.note = "it is from an address of this host, for which nobody else speaks"
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
	}
	return fmt.Sprintf("header of %d bytes, %d in all, checksum %04x is right", ip.HeaderLen(), ip.TotalLen(), ip.HeaderChecksum())
}
