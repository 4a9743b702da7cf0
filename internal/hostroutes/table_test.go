package hostroutes

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unique"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func viaHost(last byte) Shared {
	h := Hop{Link: 2, Via: netip.AddrFrom4([4]byte{192, 168, 0, last}), Weight: 1}
	return unique.Make(Route{Protocol: unix.RTPROT_BIRD, rtype: unix.RTN_UNICAST, hops: hopList(appendHop(nil, &h))})
}

// The table follows `ip route add`, `append`, `replace` and `del` as the kernel's
// own does, and does not mind what it has seen already.
func TestApply(t *testing.T) {
	key := KeyOf(netip.MustParsePrefix("10.70.2.0/24"), 0)
	a, b, c := viaHost(12), viaHost(13), viaHost(14)
	for _, test := range []struct {
		name  string
		have  []Shared
		op    op
		route Shared
		want  []Shared
	}{
		{"added", nil, prepended, a, []Shared{a}},
		{"added in front", []Shared{a}, prepended, b, []Shared{b, a}},
		{"added, seen already", []Shared{a, b}, prepended, b, []Shared{a, b}},
		{"appended", []Shared{a}, appended, b, []Shared{a, b}},
		{"appended, seen already", []Shared{a, b}, appended, a, []Shared{a, b}},
		{"replaced the first", []Shared{a, b}, replaced, c, []Shared{c, b}},
		{"replaced nothing", nil, replaced, a, []Shared{a}},
		{"replaced, seen already", []Shared{a, b}, replaced, a, []Shared{a, b}},
		{"replaced a by b, of which b was seen", []Shared{a, b}, replaced, b, []Shared{b}},
		{"removed", []Shared{a, b}, removed, a, []Shared{b}},
		{"removed the last", []Shared{a}, removed, a, nil},
		{"removed, seen already", []Shared{a}, removed, b, []Shared{a}},
	} {
		table := NewTable()
		for _, r := range test.have {
			table.Apply([]Change{{Key: key, route: r, op: appended}})
		}
		touched, sure := table.Apply([]Change{{Key: key, route: test.route, op: test.op}})
		if got := table.At(key); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
		if _, ok := touched[key]; !sure || ok == slices.Equal(test.have, test.want) {
			t.Errorf("%s: touched %v, sure %v", test.name, touched, sure)
		}
		if want := min(1, len(test.want)); table.Len() != want {
			t.Errorf("%s: %d keys, want %d", test.name, table.Len(), want)
		}
	}
}

// What a group's weights are, of a kernel that has eight bits for them and of one that has 16.
func TestGroupWeights(t *testing.T) {
	b := []byte{}
	for _, m := range [][8]byte{{1, 0, 0, 0, 0}, {2, 0, 0, 0, 255}, {3, 0, 0, 0, 0x0f, 0x27}} {
		if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
			m[0], m[3] = m[3], m[0]
		}
		b = append(b, m[:]...)
	}
	want := []member{{1, 1}, {2, 256}, {3, 10000}}
	if d := cmp.Diff(want, readGroup(b), cmp.AllowUnexported(member{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// What only the kernel can do is told from what another router can, and why.
func TestUsable(t *testing.T) {
	const dst = "10.1.0.0/16"
	to := netip.MustParsePrefix(dst)
	via6 := attr(unix.RTA_VIA, append([]byte{unix.AF_INET6, 0}, ip("fe80::1")...))
	encap := attr(unix.RTA_ENCAP_TYPE, []byte{2, 0}) // LWTUNNEL_ENCAP_IP, which no library need know
	hop := func(link int, more byte, attrs ...[]byte) []byte {
		body := slices.Concat(attrs...)
		b := binary.NativeEndian.AppendUint16(nil, uint16(8+len(body)))
		return append(append(append(b, 0, more), u32(link)...), body...)
	}
	for _, test := range []struct {
		name  string
		kind  byte
		tos   byte
		attrs [][]byte
		hops  string
		why   string
	}{
		{"gateway", unix.RTN_UNICAST, 0, [][]byte{attr(unix.RTA_GATEWAY, ip("192.168.0.12")), attr(unix.RTA_OIF, u32(uplink))}, "192.168.0.12*1", ""},
		{"blackhole", unix.RTN_BLACKHOLE, 0, nil, "", ""},
		{"by another interface", unix.RTN_UNICAST, 0, [][]byte{attr(unix.RTA_OIF, u32(other))}, "", "leaves by eth1, not by ens160"},
		{"by one that is gone", unix.RTN_UNICAST, 0, [][]byte{attr(unix.RTA_OIF, u32(77))}, "", "leaves by interface 77, not by ens160"},
		{"inet6", unix.RTN_UNICAST, 0, [][]byte{via6, attr(unix.RTA_OIF, u32(uplink))}, "fe80::1*1", ""},
		{"of another family", unix.RTN_UNICAST, 0, [][]byte{attr(unix.RTA_VIA, []byte{28, 0, 0, 1, 2, 3, 4, 5, 6}), attr(unix.RTA_OIF, u32(uplink))}, "", "has a next hop that is neither IPv4 nor IPv6"},
		{"encap", unix.RTN_UNICAST, 0, [][]byte{encap, attr(unix.RTA_OIF, u32(uplink))}, "", "has the kernel encapsulate what goes there"},
		{"throw", unix.RTN_THROW, 0, nil, "", "is of type throw"},
		{"new type", 99, 0, nil, "", "is of type 99"},
		{"service", unix.RTN_UNICAST, 16, [][]byte{attr(unix.RTA_OIF, u32(uplink))}, "", "is for one type of service alone"},
		{"some of several", unix.RTN_UNICAST, 0, [][]byte{attr(unix.RTA_MULTIPATH, slices.Concat(
			hop(uplink, 2, attr(unix.RTA_GATEWAY, ip("192.168.0.12"))), hop(uplink, 0, via6), hop(uplink, 4, attr(unix.RTA_GATEWAY, ip("192.168.0.13")))))},
			"192.168.0.12*3 fe80::1*1 192.168.0.13*5", ""},
		{"object", unix.RTN_UNICAST, 0, [][]byte{attr(rtaNexthopID, u32(9))}, "", "leads over a nexthop object that is gone"},
	} {
		head := rtmsg(to, unix.RTPROT_BIRD, test.kind, test.tos)
		c, ok := readChange(&message{kind: unix.RTM_NEWROUTE, body: append(head, slices.Concat(append(test.attrs, attr(unix.RTA_DST, to.Addr().AsSlice()))...)...)})
		if !ok || c.Prefix() != to {
			t.Errorf("%s: read %v, prefix %v", test.name, ok, c.Prefix())
			continue
		}
		table := NewTable()
		table.Apply([]Change{c})
		r := table.At(c.Key)[0].Value()
		hops, why := table.Usable(&r, uplink)
		var words []string
		for _, h := range hops {
			words = append(words, h.Via.String()+"*"+string('0'+rune(h.Weight)))
		}
		if got := strings.Join(words, " "); got != test.hops || why != test.why {
			t.Errorf("%s: hops %q, %q; want %q, %q", test.name, got, why, test.hops, test.why)
		}
	}
}

// A table that was large takes no memory for that any more.
func TestSlim(t *testing.T) {
	table, a := NewTable(), viaHost(12)
	const many = 100_000
	key := func(i int) Key {
		return KeyOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)}), 32), 0)
	}
	for _, op := range []op{appended, removed} {
		changes := make([]Change, many)
		for i := range changes {
			changes[i] = Change{Key: key(i), route: a, op: op}
		}
		table.Apply(changes)
	}
	if table.most != 0 || table.Len() != 0 {
		t.Errorf("after a flush it is made for %d, and has %d", table.most, table.Len())
	}
}
