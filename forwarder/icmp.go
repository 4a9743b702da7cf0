package forwarder

import (
	"net/netip"
	"sync"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

const (
	// icmpErrorMax is the length in bytes of the largest ICMP error (RFC 1812 4.3.2.3).
	icmpErrorMax = 576
	// internetworkControl is the precedence of ICMP errors (RFC 1812 4.3.2.5).
	internetworkControl = 0xc0
	// icmpRate and icmpBurst limit the errors about what comes in by one port, a
	// second (RFC 1812 4.3.2.8): enough for a dozen traceroutes at once.
	icmpRate  = 1000
	icmpBurst = 200
)

// Suppressed is why no ICMP error was sent where one was due.
type Suppressed uint8

const (
	aboutError     Suppressed = iota // the packet is an ICMP error itself
	aboutFragment                    // a fragment but the first
	aboutBroadcast                   // it was sent to more than one station
	aboutSource                      // its source is not one host
	rateLimited
	numSuppressed
)

var suppressedWords = [numSuppressed]string{"icmp_error", "fragment", "broadcast", "source", "rate_limit"}

// mayTell says whether the source of a dropped packet may be told, or why not
// (RFC 1812 4.3.2.7).
func (x *path) mayTell(p *Packet) (why Suppressed, ok bool) {
	ip := packet.IPv4(p.frame.Payload())[p.outer:]
	switch {
	case packet.IsICMPError(ip):
		return aboutError, false
	case ip.FragOffset() != 0:
		return aboutFragment, false
	case p.frame.DstMAC().IsGroup():
		return aboutBroadcast, false
	case notOneHost(ip[12:16]) || isLinkLocal(ip[12:16]) || x.isBroadcast(ip.Src()):
		return aboutSource, false
	}
	return 0, true
}

// isBroadcast says whether an address is a subnet's broadcast address.
func (x *path) isBroadcast(a netip.Addr) bool {
	r := x.fib.Lookup(a)
	return r != nil && r.Type == rib.Broadcast
}

// icmpError builds the error that the source of a dropped packet is told. The
// quote is the packet as it came.
func (x *path) icmpError(p *Packet, e verdict.ICMPError) *packet.Frame {
	ip := packet.IPv4(p.frame.Payload())[p.outer:]
	quote := ip[:min(ip.TotalLen(), len(ip), icmpErrorMax-packet.IPv4MinLen-packet.ICMPHeaderLen)]
	f := x.borrow()
	f.Reset(packet.EthernetLen + packet.IPv4MinLen + packet.ICMPHeaderLen + len(quote))
	b := f.Payload()
	src := x.source()
	if p.in.Kind == Host {
		src = x.Gateway // the host takes nothing from its own addresses
	}
	packet.PutIPv4(b, &packet.Header{
		TOS: internetworkControl, TotalLen: len(b), ID: x.idents.unique(), TTL: ownTTL,
		Protocol: packet.ProtocolICMP, Src: src, Dst: ip.Src(),
	})
	quoted := packet.IPv4(b[packet.IPv4MinLen+packet.ICMPHeaderLen:])
	copy(quoted, quote)
	if p.lowered {
		quoted.SetTTL(quoted.TTL() + 1)
	}
	rest := uint32(0)
	if e.Type == packet.ICMPUnreachable && e.Code == packet.CodeFragNeeded {
		rest = uint32(p.limit)
	}
	packet.PutICMPError(b[packet.IPv4MinLen:], e.Type, e.Code, rest, quoted)
	return f
}

// errorFor is the ICMP error for a drop reason, if its source is to be told.
func (p *Packet) errorFor(r verdict.Reason) (verdict.ICMPError, bool) {
	e := r.Info().ICMP
	if r == verdict.LocalUnsupported {
		return p.errorForLocal(e)
	}
	return e, e != verdict.ICMPError{}
}

// errorForLocal: what the router itself does not speak. A closed port is said
// with its own code, and ICMP is never answered with an error of protocol.
func (p *Packet) errorForLocal(e verdict.ICMPError) (verdict.ICMPError, bool) {
	switch p.ip.Protocol() {
	case packet.ProtocolICMP:
		return e, false
	case packet.ProtocolUDP:
		e.Code = packet.CodePortUnreachable
	}
	return e, true
}

// limiter is a token bucket.
type limiter struct {
	mu     sync.Mutex
	tokens float64
	last   time.Time
}

// allow takes a token, if there is one.
func (l *limiter) allow(now time.Time, rate, burst float64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens, l.last = l.at(now, rate, burst), now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

// allows says what allow would, and takes nothing.
func (l *limiter) allows(now time.Time, rate, burst float64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at(now, rate, burst) >= 1
}

// at is how many tokens there are.
func (l *limiter) at(now time.Time, rate, burst float64) float64 {
	if l.last.IsZero() {
		return burst
	}
	return min(burst, l.tokens+now.Sub(l.last).Seconds()*rate)
}
