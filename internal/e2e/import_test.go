package e2e

import (
	"net"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/control"
)

// The host's own `ip route add`, typed as the tutorial has it, is followed at
// once; its next hop is a peer, as one of the configuration would be.
func TestKernelRoutesAreFollowed(t *testing.T) {
	text := strings.NewReplacer("    routes: [{to: 10.70.2.1, via: 192.168.0.12}]\n", "", "    routes: [{to: 10.70.1.1, via: 192.168.0.11}]\n", "").
		Replace(twoHosts("    ipip: {mode: always}\n    kernel: {import: [static]}\n"))
	hosts := labUp(t, text)
	wantEcho(t, hosts[0].ns1, there, 0)
	for i, r := range []struct{ to, via string }{{there, "192.168.0.12"}, {here, "192.168.0.11"}} {
		route := &netlink.Route{Dst: &net.IPNet{IP: net.ParseIP(r.to), Mask: net.CIDRMask(32, 32)}, Gw: net.ParseIP(r.via)}
		in(t, hosts[i].ns, func() error { return netlink.RouteAdd(route) })
		eventually(t, "the route is there", func() bool {
			return strings.Contains(hosts[i].ask(t, "route", "list").wantOK(t), r.to+"/32 via "+r.via+" dev ens160 proto boot encap ipip")
		})
	}
	wantEcho(t, hosts[0].ns1, there, 62)
	tunnels := decode[[]control.Tunnel](t, hosts[0].ask(t, "show", "tunnels", "-o", "json").wantOK(t))
	if len(tunnels) != 1 || tunnels[0].Peer != "192.168.0.12" || tunnels[0].Mode != "both" || tunnels[0].TxPackets == 0 || tunnels[0].RxPackets == 0 {
		t.Errorf("tunnels %+v", tunnels)
	}
	in(t, hosts[0].ns, func() error {
		return netlink.RouteDel(&netlink.Route{Dst: &net.IPNet{IP: net.ParseIP(there), Mask: net.CIDRMask(32, 32)}, Gw: net.ParseIP("192.168.0.12")})
	})
	eventually(t, "the route goes", func() bool { return !strings.Contains(hosts[0].ask(t, "route", "list").wantOK(t), there) })
	wantEcho(t, hosts[0].ns1, there, 0)
}
