package forwarder

import (
	"fmt"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// TTL lowers the time to live by one, once a router, and only when it forwards
// (RFC 1812 5.3.1). The host and its router are one router: what passes between
// them is not forwarded.
var TTL = &Step{
	Word: "ttl", Help: "the time to live, or hop limit, is lowered by one", RFC: "RFC 1812 5.3.1", RFC6: "RFC 8200 3",
	run: (*Path).ttl, say: saysTTL,
}

func (x *Path) ttl(p *Packet) Verdict {
	if p.Origin != Received || p.In.Kind == Host || p.Out.Kind == Host {
		return pass
	}
	hops := &p.IP[8]
	if p.six {
		hops = &p.IP[7]
	}
	if *hops <= 1 {
		return verdict.Dropped(verdict.TTLExceeded)
	}
	if p.lowered = true; p.six {
		*hops--
	} else {
		packet.IPv4(p.IP).SetTTL(*hops - 1)
	}
	return edit
}

func saysTTL(o *Seen) string {
	b, a := header(o.Before), header(o.After)
	switch {
	case o.Kind == verdict.Drop:
		return ""
	case o.Kind == verdict.Pass && o.In == "":
		return "the router's own packet"
	case o.Kind == verdict.Pass:
		return "between the host and its router"
	case a == nil || b == nil:
		return ""
	}
	if a.Version() == 6 {
		return fmt.Sprintf("hop limit %d > %d", b.HopLimit(), a.HopLimit())
	}
	was, is := packet.IPv4(b), packet.IPv4(a)
	return fmt.Sprintf("ttl %d > %d, checksum %04x > %04x", was.TTL(), is.TTL(), was.HeaderChecksum(), is.HeaderChecksum())
}
