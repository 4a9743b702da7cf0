package forwarder

import (
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// check is RFC 1812 5.2.2 on the header, and 5.3.7 on the addresses in it.
func (x *path) check(p *Packet) verdict.Verdict {
	p.ip = packet.IPv4(p.frame.Payload())
	if reason := badHeader(p.ip); reason != verdict.None {
		return p.refuse(reason)
	}
	p.frame.Trim(p.ip.TotalLen())
	p.ip = packet.IPv4(p.frame.Payload())
	if !p.frame.OffloadValid() { // again, now that what is not the packet's is gone
		return p.refuse(verdict.FrameTooShort)
	}
	if reason := x.badAddress(p); reason != verdict.None {
		return p.refuse(reason)
	}
	return pass
}

// badHeader says what is wrong with an IPv4 header. RFC 1812 asks for silence
// in each case: nothing in a broken header can be trusted, not even its source.
func badHeader(ip packet.IPv4) verdict.Reason {
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
func (x *path) badAddress(p *Packet) verdict.Reason {
	src, dst := p.ip[12:16], p.ip[16:20]
	switch {
	case notOneHost(src):
		return verdict.MartianSource // RFC 1812 5.3.7
	case p.in.Kind == Uplink && x.isOwn(p.ip.Src()):
		p.note = "it is from an address of this host, for which nobody else speaks"
		return verdict.MartianSource
	case notOneHost(dst):
		return verdict.MartianDestination
	case isLinkLocal(src):
		return verdict.LinkLocal
	case isLinkLocal(dst) && (p.ip.Dst() != x.Gateway || p.in.Kind == Uplink):
		return verdict.LinkLocal // RFC 3927 7; but the gateway's address is the router's own
	case p.frame.DstMAC().IsGroup():
		return verdict.L2Broadcast
	}
	return verdict.None
}

// notOneHost: 0/8 and 127/8, and from 224 on multicast, class E and the limited
// broadcast (RFC 1812 5.3.7, 4.2.2.11).
func notOneHost(a []byte) bool { return a[0] == 0 || a[0] == 127 || a[0] >= 224 }

func isLinkLocal(a []byte) bool { return a[0] == 169 && a[1] == 254 }
