package forwarder

import (
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// routeDrops says why a packet ends at a route that leads nowhere.
var routeDrops = [...]verdict.Reason{
	rib.Blackhole:   verdict.Blackhole,
	rib.Unreachable: verdict.UnreachableRoute,
	rib.Prohibit:    verdict.ProhibitRoute,
	rib.Broadcast:   verdict.MartianDestination, // RFC 2644: directed broadcasts are not forwarded
}

// route finds the way to the destination (RFC 1812 5.2.4.3).
func (x *path) route(p *Packet) verdict.Verdict {
	dst := p.ip.Dst()
	r := x.way(dst, p.ip)
	if r == nil {
		return verdict.Dropped(verdict.NoRoute)
	}
	p.route = r
	if r.Type != rib.Unicast {
		return verdict.Dropped(routeDrops[r.Type])
	}
	if p.out = x.port(r.Port); p.out == nil {
		return verdict.Dropped(verdict.NoRoute) // the port went, and the route is about to
	}
	p.nextHop = r.Via
	if !r.Via.IsValid() {
		p.nextHop = dst
	}
	return pass
}

// ttl lowers the time to live by one, once a router, and only when it forwards
// (RFC 1812 5.3.1). The host and its router are one router: what passes between
// them is not forwarded.
func (x *path) ttl(p *Packet) verdict.Verdict {
	if p.origin != Received || p.in.Kind == Host || p.out.Kind == Host {
		return pass
	}
	if p.ip.TTL() <= 1 {
		return verdict.Dropped(verdict.TTLExceeded)
	}
	p.ip.SetTTL(p.ip.TTL() - 1)
	p.lowered = true
	return edit
}
