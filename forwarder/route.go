package forwarder

import (
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// Route finds where a packet to its destination goes (RFC 1812 5.2.4.3).
var Route = &Step{
	Word: "route", Help: "the longest prefix that contains the destination says where it goes", RFC: "RFC 1812 5.2.4.3",
	run: (*Path).route, facts: routeFacts, say: saysRoute,
}

// routeDrops says why a packet ends at a route that leads nowhere.
var routeDrops = [...]Reason{
	rib.Blackhole:   verdict.Blackhole,
	rib.Unreachable: verdict.UnreachableRoute,
	rib.Prohibit:    verdict.ProhibitRoute,
	rib.Broadcast:   verdict.MartianDestination, // RFC 2644: directed broadcasts are not forwarded
}

func (x *Path) route(p *Packet) Verdict {
	var dst netip.Addr
	if p.six {
		if dst = packet.IPv6(p.IP).Dst(); p.Origin != Received && p.Out != nil && dst.IsLinkLocalUnicast() {
			p.Route, p.NextHop = p.Out.link(), dst
			return pass
		}
	} else {
		dst = packet.IPv4(p.IP).Dst()
	}
	r := x.RouteTo(dst, p.IP)
	if r == nil {
		return verdict.Dropped(verdict.NoRoute)
	}
	p.Route = r
	if r.Type != rib.Unicast {
		return verdict.Dropped(routeDrops[r.Type])
	}
	if p.Out = x.Port(r.Port); p.Out == nil {
		return verdict.Dropped(verdict.NoRoute) // the port went, and the route is about to
	}
	p.NextHop = r.Via
	if !r.Via.IsValid() {
		p.NextHop = dst
	}
	return pass
}

func routeFacts(p *Packet, f *Facts) {
	if p.Route != nil {
		f.Route = p.Route
	}
}

func saysRoute(o *Seen) string {
	switch {
	case o.Reason == verdict.NoRoute && header(o.Before) != nil:
		return "no route contains " + header(o.Before).Dst().String()
	case o.Reason != verdict.MartianDestination && o.Facts.Route != nil:
		return o.Facts.Route.String()
	}
	return ""
}
