package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vrouter/vrouter/rib"
)

// The advice about a drop names what it is about: which next hop, which route, which host.
func TestAdviceNamesWhatItIsAbout(t *testing.T) {
	inTime(t, "next hop", func(b *bed) {
		b.route(rib.Route{Prefix: prefix("10.70.9.0/24"), Via: addr("192.168.0.99"), Dev: "ens160", Port: b.uplinkID, Source: rib.Static})
		b.ns1.Send(ping("10.70.9.1"))
		pass(4 * time.Second)
		b.advised("is 192.168.0.99 up, and on this link?")
	})
	inTime(t, "route", func(b *bed) {
		b.route(rib.Route{Prefix: prefix("10.70.9.0/24"), Type: rib.Blackhole, Port: rib.NoPort, Source: rib.Static})
		b.ns1.Send(ping("10.70.9.1"))
		b.advised("remove the route `blackhole 10.70.9.0/24")
	})
	inTime(t, "host", func(b *bed) {
		b.resolve()
		tunnel(b)
		b.uplink.Send(ipip("192.168.0.66", hostIP, fromPeer(), nil))
		b.advised("add 192.168.0.66 to `ipip.peers`")
	})
}

func (b *bed) advised(want string) {
	b.t.Helper()
	if all := b.kept(false); len(all) != 1 || !strings.Contains(all[0], want) {
		b.t.Errorf("%q is not in\n%s", want, strings.Join(all, "\n"))
	}
}
