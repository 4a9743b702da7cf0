package guard

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

// The table is what nft(8) says it is, and its rules for IPv6 are there if the router speaks it, whether or not the host has an
// address of that family: it may unpack IPv6 out of IPv4.
func TestRulesOfTwoFamilies(t *testing.T) {
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "ens160"}}
	if err := netlink.LinkAdd(br); err != nil {
		t.Fatal(err)
	}
	var own []netip.Addr
	for _, a := range []string{"192.168.0.11", "fd00:192::11", "fe80::1", "fd00:192::11"} {
		own = append(own, netip.MustParseAddr(a))
	}
	const four, six = "meta pkttype host ip daddr != @own drop\n", "meta pkttype host ip6 daddr != fe80::/10 ip6 daddr != @own6 drop\n"
	const in4, in6 = "ip protocol ipencap drop\n", "ip protocol ipv6 drop\nip6 nexthdr ipencap drop\nip6 nexthdr ipv6 drop\n"
	const vxlan4, vxlan6 = "ip protocol udp udp dport 4789 drop\n", "ip6 nexthdr udp udp dport 4789 drop\n"
	for _, c := range []struct {
		own         []netip.Addr
		six         bool
		vxlan       uint16
		rules, sets string
	}{
		{own[:1], false, 0, four + in4, "elements = { 192.168.0.11 }\n"},
		{own[:1], true, 0, four + six + in4 + in6, "elements = { 192.168.0.11 }\n"},
		{own, true, 0, four + six + in4 + in6, "elements = { 192.168.0.11 }\nelements = { fd00:192::11,\nfe80::1 }\n"},
		{own[:1], false, 4789, four + in4 + vxlan4, "elements = { 192.168.0.11 }\n"},
		{own[1:], true, 4789, four + six + in4 + vxlan4 + in6 + vxlan6, "elements = { fd00:192::11,\nfe80::1 }\n"},
		{own[1:], true, 0, four + six + in4 + in6, "elements = { fd00:192::11,\nfe80::1 }\n"},
	} {
		if err := Set("ens160", "ens160", c.own, c.six, c.vxlan); err != nil {
			t.Fatal(err)
		}
		rules, sets := listed(t)
		if rules != c.rules || sets != c.sets {
			t.Errorf("for %v there is\n%s%s, want\n%s%s", c.own, sets, rules, c.sets, c.rules)
		}
		for _, other := range [][]netip.Addr{own[:1], own[:2], own, own[1:]} {
			ok, err := Intact("ens160", other, c.six, c.vxlan)
			if same := len(distinct(other)) == len(distinct(c.own)) && other[0] == c.own[0]; c.six && ok != same || err != nil {
				t.Errorf("set for %v, it is intact for %v: %v, %v", c.own, other, ok, err)
			}
		}
	}
	if ok, err := Intact("ens160", own[1:], false, 0); ok || err != nil {
		t.Errorf("with rules for IPv6 it is intact without: %v, %v", ok, err)
	}
	if err := Remove("ens160"); err != nil {
		t.Fatal(err)
	}
	if ok, err := Intact("ens160", own, true, 0); ok || err != nil {
		t.Errorf("removed, it is intact: %v, %v", ok, err)
	}
}

// listed are the rules and the elements of the sets, a line each.
func listed(t *testing.T) (rules, sets string) {
	t.Helper()
	out, err := exec.Command("nft", "list", "table", "netdev", "vrouter-ens160").CombinedOutput()
	if err != nil {
		t.Skipf("nft(8): %v: %s", err, out)
	}
	in := ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line) + "\n"
		switch {
		case strings.Contains(line, "drop"):
			rules += line
		case strings.HasPrefix(line, "elements"), in == "elements":
			sets += line
			in = "elements"
			if strings.Contains(line, "}") {
				in = ""
			}
		}
	}
	return rules, sets
}
