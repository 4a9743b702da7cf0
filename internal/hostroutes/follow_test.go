package hostroutes

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

var (
	prefixes  = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.1.2.0/24"), netip.MustParsePrefix("0.0.0.0/0")}
	prefixes6 = []netip.Prefix{netip.MustParsePrefix("fd00:1::/32"), netip.MustParsePrefix("fd00:1:2::/64"), netip.MustParsePrefix("::/0")}
	markers   int // so far
)

// text is the table in words: by key, its routes in their order.
func (t *Table) text() map[Key]string {
	all := map[Key]string{}
	for k := range t.Keys {
		for _, r := range t.At(k) {
			v := r.Value()
			all[k] += fmt.Sprintf("proto %d type %d mtu %d", v.Protocol, t.Type(&v), v.MTU)
			if t.Type(&v) == unix.RTN_UNICAST {
				for _, h := range t.Hops(&v) {
					all[k] += fmt.Sprintf(" via %s dev %d weight %d %v", h.Via, h.Link, h.Weight, h.Fault)
				}
			}
			all[k] += "; "
		}
	}
	return all
}

// hear reads what the kernel has told so far: up to a route that is added and deleted for it.
func hear(t *rapid.T, s *Subscription) (changes []Change) {
	markers++
	to := netip.MustParsePrefix("203.0.113.0/24")
	words := [][]byte{attr(unix.RTA_DST, to.Addr().AsSlice()), attr(unix.RTA_PRIORITY, u32(markers))}
	head := rtmsg(to, unix.RTPROT_STATIC, unix.RTN_BLACKHOLE, 0)
	if err := errors.Join(tell(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, head, words...), tell(unix.RTM_DELROUTE, 0, head, words...)); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := s.Read()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range n.Changes {
			if c.object == nil && c.Key == KeyOf(to, uint32(markers)) {
				if c.op == removed {
					return changes
				}
				continue
			}
			changes = append(changes, c)
		}
	}
}

// something is a random command of ip-route(8) or ip-nexthop(8); the kernel may refuse it.
func something(t *rapid.T) error {
	objects, ids := rapid.IntRange(1, 3), []int{1, 2, 3, 11, 12, 13}
	family, here, there := byte(unix.AF_INET), "192.168.0.1", "172.16.0.1"
	six := rapid.Bool().Draw(t, "six")
	if six {
		family, here, there = unix.AF_INET6, rapid.SampledFrom([]string{"fd00:192::1", "fe80::1"}).Draw(t, "net"), "fd00:172::1"
		objects, ids = rapid.IntRange(21, 23), []int{21, 22, 23, 31, 32, 33}
	}
	neighbor := func() string { return here + fmt.Sprint(rapid.IntRange(1, 3).Draw(t, "via")) }
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 0:
		return blackhole(objects.Draw(t, "id"), family)
	case 1, 2:
		via, link := neighbor(), uplink
		if rapid.IntRange(0, 3).Draw(t, "other") == 0 {
			via, link = there+fmt.Sprint(rapid.IntRange(1, 3).Draw(t, "via")), other
		}
		return gateway(objects.Draw(t, "id"), via, link)
	case 3:
		return group(10+objects.Draw(t, "id"), rapid.SliceOfNDistinct(objects, 1, 3, rapid.ID).Draw(t, "members")...)
	case 4:
		return removeObject(rapid.SampledFrom(ids).Draw(t, "id"))
	}
	to := rapid.SampledFrom(prefixes).Draw(t, "to")
	if six {
		to = rapid.SampledFrom(prefixes6).Draw(t, "to6")
	}
	words := [][]byte{attr(unix.RTA_DST, to.Addr().AsSlice()), attr(unix.RTA_PRIORITY, u32(rapid.IntRange(1, 2).Draw(t, "metric")))}
	protocol := rapid.SampledFrom([]byte{unix.RTPROT_BIRD, unix.RTPROT_STATIC}).Draw(t, "protocol")
	head := rtmsg(to, protocol, unix.RTN_UNICAST, 0)
	way := rapid.IntRange(0, 3).Draw(t, "way")
	if rapid.Bool().Draw(t, "several") {
		way = 4
	}
	if six && way != 1 && way != 4 { // the kernel's list hides what has the key of one with several next hops, and is none itself
		words[1] = attr(unix.RTA_PRIORITY, u32(rapid.IntRange(3, 4).Draw(t, "metric6")))
	}
	switch way {
	case 4: // several next hops, or the second of several
		var hops []byte
		n := rapid.IntRange(1, 3).Draw(t, "hops")
		for range n {
			via := attr(unix.RTA_GATEWAY, ip(neighbor()))
			weight := byte(rapid.IntRange(0, 2).Draw(t, "weight"))
			if n == 1 && !six {
				weight = 0 // the kernel does not tell that of an only hop, and so two such routes apart
			}
			hops = append(binary.NativeEndian.AppendUint16(hops, uint16(unix.SizeofRtNexthop+len(via))), 0, weight)
			hops = append(append(hops, u32(uplink)...), via...)
		}
		words = append(words, attr(unix.RTA_MULTIPATH, hops))
	case 0:
		head[7] = rapid.SampledFrom([]byte{unix.RTN_BLACKHOLE, unix.RTN_PROHIBIT, unix.RTN_THROW}).Draw(t, "type")
	case 1:
		words = append(words, attr(unix.RTA_GATEWAY, ip(neighbor())), attr(unix.RTA_OIF, u32(uplink)))
	default:
		words = append(words, attr(rtaNexthopID, u32(rapid.SampledFrom(ids).Draw(t, "nhid"))))
	}
	if rapid.Bool().Draw(t, "mtu") {
		words = append(words, attr(unix.RTA_METRICS, attr(unix.RTAX_MTU, u32(1400))))
	}
	switch rapid.IntRange(0, 5).Draw(t, "del") {
	case 0:
		return tell(unix.RTM_DELROUTE, 0, head[:12], words[0], words[1])
	case 1: // of IPv6 one next hop of several, perhaps
		return tell(unix.RTM_DELROUTE, 0, head, words...)
	}
	flags := rapid.SampledFrom([]int{unix.NLM_F_EXCL, unix.NLM_F_APPEND, unix.NLM_F_REPLACE, 0}).Draw(t, "flags")
	return tell(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|flags, head, words...)
}

// The table that follows what the kernel tells is the table that is listed, whatever is done with
// routes and nexthop objects; and what is another than before has been touched.
func TestFollowsTheKernel(t *testing.T) {
	s, err := Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	table, kernel := NewTable(), NewTable()
	table.IPv6, kernel.IPv6 = true, true
	if _, err := table.List(); err != nil {
		t.Fatal(err)
	}
	done, doubts := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(1, 8).Draw(rt, "batches") {
			before := table.text()
			for range rapid.IntRange(1, 5).Draw(rt, "commands") {
				if something(rt) == nil {
					done++
				}
			}
			heard := hear(rt, s)
			touched, sure := table.Apply(heard)
			if !sure {
				doubts++
				more, err := table.List()
				if err != nil {
					rt.Fatal(err)
				}
				maps.Copy(touched, more)
			}
			if _, err := kernel.List(); err != nil {
				rt.Fatal(err)
			}
			after, want := table.text(), kernel.text()
			if !maps.Equal(after, want) {
				for k := range merged(after, want) {
					if after[k] != want[k] {
						rt.Errorf("%s metric %d: before   %s\n  the table has  %s\n  and the kernel %s", k.Prefix(), k.Metric, before[k], after[k], want[k])
					}
				}
				for _, c := range heard {
					rt.Logf("heard %s metric %d: %v %+v", c.Prefix(), c.Metric, c.op, c.route)
				}
				rt.FailNow()
			}
			for k := range merged(before, after) {
				if _, ok := touched[k]; before[k] != after[k] && !ok {
					rt.Fatalf("%s was %q and is %q, and was not touched", k.Prefix(), before[k], after[k])
				}
			}
			table.wantUsers(rt)
		}
	})
	t.Logf("%d commands that the kernel took; listed again %d times", done, doubts)
}

func merged(a, b map[Key]string) map[Key]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// wantUsers counts anew what the table counts as it goes along.
func (t *Table) wantUsers(rt *rapid.T) {
	users, over := map[Shared]int{}, map[uint32]int{}
	for k := range t.Keys {
		for _, r := range t.At(k) {
			users[r]++
			over[r.Value().nexthop]++
		}
	}
	if !maps.Equal(users, t.users) {
		rt.Fatalf("users are %v, counted %v", users, t.users)
	}
	for id, o := range t.objects {
		if o.users != over[id] || o.gone || o.id != id {
			rt.Fatalf("object %d: %+v, and %d routes lead over it", id, *o, over[id])
		}
	}
}

// Close ends a Read that waits.
func TestCloseEndsRead(t *testing.T) {
	s, err := Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		for {
			if _, err := s.Read(); err != nil {
				ended <- err
				return
			}
		}
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; errors.Is(err, ErrOverrun) {
		t.Errorf("Read ended with %v", err)
	}
}
