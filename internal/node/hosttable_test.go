package node

import (
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func viaHost(last byte) hostRoute {
	return hostRoute{protocol: unix.RTPROT_BIRD, kind: unix.RTN_UNICAST,
		hops: []hostHop{{link: 2, via: netip.AddrFrom4([4]byte{192, 168, 0, last}), weight: 1}}}
}

// The table follows `ip route add`, `append`, `replace` and `del` as the kernel's
// own does, and does not mind what it has seen already.
func TestHostTableApply(t *testing.T) {
	key := hostKey{prefix: netip.MustParsePrefix("10.70.2.0/24")}
	a, b, c := viaHost(12), viaHost(13), viaHost(14)
	for _, test := range []struct {
		name  string
		have  []hostRoute
		how   change
		route hostRoute
		want  []hostRoute
	}{
		{"added", nil, prepended, a, []hostRoute{a}},
		{"added in front", []hostRoute{a}, prepended, b, []hostRoute{b, a}},
		{"added, seen already", []hostRoute{a, b}, prepended, b, []hostRoute{a, b}},
		{"appended", []hostRoute{a}, appended, b, []hostRoute{a, b}},
		{"appended, seen already", []hostRoute{a, b}, appended, a, []hostRoute{a, b}},
		{"replaced the first", []hostRoute{a, b}, replaced, c, []hostRoute{c, b}},
		{"replaced nothing", nil, replaced, a, []hostRoute{a}},
		{"replaced, seen already", []hostRoute{a, b}, replaced, a, []hostRoute{a, b}},
		{"replaced a by b, of which b was seen", []hostRoute{a, b}, replaced, b, []hostRoute{b}},
		{"removed", []hostRoute{a, b}, removed, a, []hostRoute{b}},
		{"removed the last", []hostRoute{a}, removed, a, nil},
		{"removed, seen already", []hostRoute{a}, removed, b, []hostRoute{a}},
	} {
		table := hostTable{}
		if test.have != nil {
			table[key] = slices.Clone(test.have)
		}
		table.apply(hostChange{key, test.route, test.how})
		if got := table[key]; !slices.EqualFunc(got, test.want, func(x, y hostRoute) bool { return x.equal(&y) }) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
		if _, ok := table[key]; ok != (test.want != nil) {
			t.Errorf("%s: the key is there: %v", test.name, ok)
		}
	}
}
