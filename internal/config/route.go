package config

import (
	"fmt"
	"net/netip"
)

func (c *checker) routes(raw rawRoutes) (routes Routes) {
	if c.err != nil {
		return routes
	}
	if raw.block != nil {
		return c.block(raw.block)
	}
	taken := claims{}
	for i := range raw.list {
		t := c.route(&raw.list[i])
		c.claim(taken, routeKey(&t), raw.list[i].to.place, routeAdvice)
		if c.err != nil {
			return routes
		}
		routes.append(t)
	}
	return routes
}

// routeKey is what only one route can have.
func routeKey(t *Route) string { return fmt.Sprintf("%v with metric %d", t.To, t.Metric) }

const routeAdvice = "remove one of them, or give it another metric"

func (c *checker) route(raw *rawRoute) Route {
	if !raw.to.given {
		c.fail(raw.to.place, "missing: give the destination, such as 10.70.2.0/24")
	}
	t := Route{
		To:   c.destination(raw.to),
		Type: c.routeType(raw.kind.or(RouteUnicast)),
	}
	c.rank(raw, &t)
	if t.Type == RouteUnicast {
		c.nextHop(raw, &t)
	} else {
		c.noNextHop(raw, t.Type)
	}
	return t
}

// destination is a prefix that packets are forwarded to.
func (c *checker) destination(s scalar) netip.Prefix {
	p := c.prefix(s)
	for _, never := range unrouted {
		if c.err == nil && p.Bits() >= never.Bits() && never.Contains(p.Addr()) {
			c.fail(s.place, "%v is in %v, which is never forwarded to: give another destination", p, never)
		}
	}
	return p
}

// unrouted is what no router forwards to: RFC 4291 2.5.6 and 2.7. IPv4 has such too; a route to them is without effect, as it ever was.
var unrouted = []netip.Prefix{netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8")}

func (c *checker) routeType(s scalar) string {
	return c.oneOf(s, routeTypes...)
}

// rank is what tells a route from others to the same prefix.
func (c *checker) rank(raw *rawRoute, t *Route) {
	if raw.metric.given {
		t.Metric = uint32(c.number(raw.metric, 0, maxMetric, "a metric"))
	}
	if raw.proto.given {
		t.Proto = c.protocol(raw.proto)
	}
}

func (c *checker) nextHop(raw *rawRoute, t *Route) {
	if !raw.via.given {
		c.fail(raw.via.place, "missing: give the next hop, such as 192.168.0.12, or a type: blackhole, unreachable or prohibit")
	}
	t.Via = c.unicast(raw.via)
	if raw.encap.given {
		t.Encap = c.oneOf(raw.encap, EncapNone, EncapIPIP, EncapVXLAN)
	}
	if c.err != nil {
		return
	}
	said := t.Encap == EncapIPIP || t.Encap == EncapVXLAN
	tunnel := said || t.Encap == "" && (c.mode == ModeAlways || c.mode == "")
	switch {
	case t.To.Addr().Is6() && t.Via.Is4() && !tunnel:
		c.fail(raw.to.place, "%v is IPv6, of which the next hop %v knows nothing but in a tunnel: add `encap: ipip` or `encap: vxlan`, or give an IPv6 next hop", t.To, t.Via)
	case said && t.Via.Is6() && t.Via.IsLinkLocalUnicast():
		c.fail(raw.via.place, "%v is a link-local address, which is no end of a tunnel: give one from another network", t.Via)
	}
}

// noNextHop refuses what a route that leads nowhere cannot use.
func (c *checker) noNextHop(raw *rawRoute, kind string) {
	if raw.via.given {
		c.fail(raw.via.place, "a %s route has no next hop: remove via, or the type", kind)
	}
	if raw.encap.given {
		c.fail(raw.encap.place, "a %s route sends nothing to encapsulate: remove encap, or the type", kind)
	}
}
