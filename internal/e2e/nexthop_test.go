package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/doctor"
	"github.com/vrouter/vrouter/internal/workload"
)

// rtaNexthopID is RTA_NH_ID of linux/rtnetlink.h.
const rtaNexthopID = 30

// rtnetlink sends a request that the netlink package has no words for.
func rtnetlink(kind, flags int, header []byte, attrs ...*nl.RtAttr) error {
	req := nl.NewNetlinkRequest(kind, flags|unix.NLM_F_ACK)
	for _, a := range attrs {
		header = append(header, a.Serialize()...)
	}
	req.AddRawData(header)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// object is `ip nexthop replace id ID …`.
func object(id int, attrs ...*nl.RtAttr) error {
	family := byte(unix.AF_INET)
	if attrs[0].Type == unix.NHA_GROUP {
		family = unix.AF_UNSPEC
	}
	return rtnetlink(unix.RTM_NEWNEXTHOP, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, []byte{family, 0, unix.RTPROT_ZEBRA, 0, 0, 0, 0, 0},
		append(attrs, nl.NewRtAttr(unix.NHA_ID, nl.Uint32Attr(uint32(id))))...)
}

func deleteObject(id int) error {
	return rtnetlink(unix.RTM_DELNEXTHOP, 0, make([]byte, unix.SizeofNhmsg), nl.NewRtAttr(unix.NHA_ID, nl.Uint32Attr(uint32(id))))
}

// gateway is `via ADDRESS dev ens160`.
func gateway(id int, via string) error {
	l, err := netlink.LinkByName(uplink)
	if err != nil {
		return err
	}
	return object(id, nl.NewRtAttr(unix.NHA_GATEWAY, net.ParseIP(via).To4()), nl.NewRtAttr(unix.NHA_OIF, nl.Uint32Attr(uint32(l.Attrs().Index))))
}

func blackhole(id int) error { return object(id, nl.NewRtAttr(unix.NHA_BLACKHOLE, nil)) }

// group is `group ID,WEIGHT/…`, with the weights in turn.
func group(id int, members ...int) error {
	var b []byte
	for i := 0; i < len(members); i += 2 {
		b = append(binary.NativeEndian.AppendUint32(b, uint32(members[i])), byte(members[i+1]-1), 0, 0, 0)
	}
	return object(id, nl.NewRtAttr(unix.NHA_GROUP, b))
}

// over is `ip route add PREFIX nhid ID proto bird`.
func over(prefix string, id int) error {
	p := netip.MustParsePrefix(prefix)
	return rtnetlink(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL,
		[]byte{unix.AF_INET, byte(p.Bits()), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BIRD, 0, unix.RTN_UNICAST, 0, 0, 0, 0},
		nl.NewRtAttr(unix.RTA_DST, p.Addr().AsSlice()), nl.NewRtAttr(rtaNexthopID, nl.Uint32Attr(uint32(id))))
}

// agrees says whether the router sends packets to an address where the kernel sends its own, which
// it asks as `ip route get` does.
func agrees(t *testing.T, ns workload.Namespace, to string) bool {
	t.Helper()
	l := decode[control.Lookup](t, vrouter(t, "route", "get", to, "-o", "json").out)
	var kernel []netlink.Route
	var err error
	in(t, ns, func() error { kernel, err = netlink.RouteGet(net.ParseIP(to)); return nil })
	switch {
	case errors.Is(err, unix.ENETUNREACH):
		return l.Route == nil
	case errors.Is(err, unix.EINVAL): // of a blackhole
		return l.Route != nil && l.Route.Type == "blackhole"
	case err != nil || len(kernel) != 1:
		t.Fatalf("the kernel's route to %s: %v, %v", to, kernel, err)
	}
	via := kernel[0].Gw.String()
	return l.NextHop == via || slices.ContainsFunc(l.NextHops, func(h control.Hop) bool { return h.NextHop == via })
}

// Routes over nexthop objects, as FRR enters them, go where the kernel has them go: when an object is
// deleted or replaced, is one of a group, or goes with its interface. Of none of that the kernel tells for each
// route; nor need it tell at all where they lead, without nexthop_compat_mode.
func TestNexthopObjects(t *testing.T) {
	for _, compat := range []string{"1", "0"} {
		t.Run("compat_mode "+compat, func(t *testing.T) {
			ns, _ := importing(t)
			in(t, ns, func() error {
				return errors.Join(set("ipv4/nexthop_compat_mode", compat)(), setUp("lo"), setUp("cable"))
			})
			via := func(to, hop string) string { return to + " via 192.168.0." + hop + " dev ens160 proto bird" }
			both := "10.2.0.0/16 proto bird nexthop via 192.168.0.1%s dev ens160 weight 3 nexthop via 192.168.0.13 dev ens160 weight 7"
			for _, step := range []struct {
				name string
				do   func() error
				want []string
			}{
				{"made", func() error {
					return errors.Join(gateway(1, "192.168.0.12"), gateway(2, "192.168.0.13"), blackhole(3), group(10, 1, 3, 2, 7),
						over("10.1.0.0/16", 1), over("10.2.0.0/16", 10), over("10.3.0.0/16", 3))
				}, []string{via("10.1.0.0/16", "12"), fmt.Sprintf(both, "2"), "blackhole 10.3.0.0/16 proto bird"}},
				{"replaced", func() error { return gateway(1, "192.168.0.14") },
					[]string{via("10.1.0.0/16", "14"), fmt.Sprintf(both, "4"), "blackhole 10.3.0.0/16 proto bird"}},
				{"a blackhole no more", func() error { return gateway(3, "192.168.0.15") },
					[]string{via("10.1.0.0/16", "14"), fmt.Sprintf(both, "4"), via("10.3.0.0/16", "15")}},
				{"a blackhole again", func() error { return blackhole(3) },
					[]string{via("10.1.0.0/16", "14"), fmt.Sprintf(both, "4"), "blackhole 10.3.0.0/16 proto bird"}},
				{"one of the group deleted", func() error { return deleteObject(2) },
					[]string{via("10.1.0.0/16", "14"), via("10.2.0.0/16", "14"), "blackhole 10.3.0.0/16 proto bird"}},
				{"the other one deleted", func() error { return deleteObject(1) }, []string{"blackhole 10.3.0.0/16 proto bird"}},
				{"deleted, and another one with its ID", func() error {
					return errors.Join(gateway(1, "192.168.0.12"), over("10.1.0.0/16", 1), deleteObject(1), gateway(1, "192.168.0.13"), over("10.2.0.0/16", 1))
				}, []string{via("10.2.0.0/16", "13"), "blackhole 10.3.0.0/16 proto bird"}},
				{"the uplink down", func() error { return withLink(uplink, netlink.LinkSetDown) }, []string{"blackhole 10.3.0.0/16 proto bird"}},
			} {
				in(t, ns, step.do)
				out := ""
				eventually(t, step.name, func() bool {
					out = vrouter(t, "route", "list").wantOK(t)
					lines := slices.DeleteFunc(strings.Split(out, "\n"), func(l string) bool { return !strings.Contains(l, "proto bird") })
					slices.Sort(lines)
					want := slices.Sorted(slices.Values(step.want))
					return slices.Equal(lines, want)
				})
				for _, to := range []string{"10.1.0.1", "10.2.0.1", "10.3.0.1"} {
					if !agrees(t, ns, to) {
						t.Errorf("%s: the kernel sends to %s elsewhere; the router:\n%s", step.name, to, out)
					}
				}
			}
		})
	}
}

// What is there when the router starts leads over objects too, and what changes while it is stopped.
func TestNexthopObjectsAreListed(t *testing.T) {
	ns := newHost(t)
	in(t, ns, func() error {
		return errors.Join(setUp("cable"), gateway(1, "192.168.0.12"), gateway(2, "192.168.0.13"), group(10, 1, 1, 2, 1), over("10.1.0.0/16", 10))
	})
	r := startRouter(t, ns, "/run/vrouter/vrouter.sock", hostConfig+"kernel: {import: [bird]}\n")
	routeList(t, true, "10.1.0.0/16 proto bird nexthop via 192.168.0.12 dev ens160 weight 1 nexthop via 192.168.0.13 dev ens160 weight 1")
	r.send(t, syscall.SIGSTOP)
	in(t, ns, func() error { return errors.Join(deleteObject(2), gateway(1, "192.168.0.14")) })
	r.send(t, syscall.SIGCONT)
	routeList(t, true, "10.1.0.0/16 via 192.168.0.14 dev ens160 proto bird")
}

// Routes to import that only the kernel can go by are left out, and said to be: in the log, once for each
// reason however many there are, and by doctor.
func TestRoutesLeftOutAreSaid(t *testing.T) {
	p := newPatient(t, hostConfig+"kernel: {import: [bird]}\n")
	in(t, p.ns, func() error { return errors.Join(addBridge("other"), up("other", "172.16.0.1/24")) })
	r := startRouter(t, p.ns, "/run/vrouter/vrouter.sock", read(t, p.config))
	index := 0
	in(t, p.ns, func() error {
		return withLink(uplink, func(l netlink.Link) error { index = l.Attrs().Index; return nil })
	})
	raw := func(prefix string, tos, kind byte, attrs ...*nl.RtAttr) error {
		to := netip.MustParsePrefix(prefix)
		return rtnetlink(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, []byte{unix.AF_INET, byte(to.Bits()), 0, tos, unix.RT_TABLE_MAIN, unix.RTPROT_BIRD, 0, kind, 0, 0, 0, 0},
			append(attrs, nl.NewRtAttr(unix.RTA_DST, to.Addr().AsSlice()))...)
	}
	oif := nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index)))
	via := nl.NewRtAttr(unix.RTA_GATEWAY, net.ParseIP("192.168.0.12").To4())
	for _, c := range []struct {
		why string
		do  func() error
	}{
		{"leaves by other, not by ens160", func() error {
			return netlink.RouteAdd(&netlink.Route{Dst: ipNet("10.72.1.0/24"), Gw: net.ParseIP("172.16.0.2"), Protocol: unix.RTPROT_BIRD})
		}},
		{"is for one type of service alone", func() error { return raw("10.72.3.0/24", 0x10, unix.RTN_UNICAST, via) }},
		{"is of type throw", func() error { return raw("10.72.4.0/24", 0, unix.RTN_THROW) }},
		{"has the kernel encapsulate what goes there", func() error { // encap ip id 7 dst 192.168.0.12: LWTUNNEL_ENCAP_IP, LWTUNNEL_IP_ID, LWTUNNEL_IP_DST
			encap := nl.NewRtAttr(unix.RTA_ENCAP, nil)
			encap.AddRtAttr(1, []byte{0, 0, 0, 0, 0, 0, 0, 7})
			encap.AddRtAttr(2, net.ParseIP("192.168.0.12").To4())
			return raw("10.72.6.0/24", 0, unix.RTN_UNICAST, oif, nl.NewRtAttr(unix.RTA_ENCAP_TYPE, nl.Uint16Attr(2)), encap)
		}},
	} {
		said := func() int {
			return strings.Count(read(t, r.errors), `msg="a route of the host is not used, and others like it" protocol=bird reason="`+c.why+`"`)
		}
		var err error
		in(t, p.ns, func() error { err = c.do(); return nil })
		if err != nil {
			t.Logf("the kernel refuses one that %s: %v", c.why, err)
			continue
		}
		eventually(t, "the log says that it "+c.why, func() bool { return said() == 1 })
		if found := p.examine(t, "import"); !slices.ContainsFunc(found, func(f doctor.Finding) bool {
			return f.State == doctor.Warn && strings.Contains(f.Means, "proto bird "+c.why+": it is not imported")
		}) {
			t.Errorf("doctor does not say that one %s: %+v", c.why, found)
		}
	}
	// An IPv6 next hop is a neighbour like any other (RFC 8950).
	in(t, p.ns, func() error {
		return errors.Join(set("ipv6/conf/ens160/disable_ipv6", "0")(),
			raw("10.72.5.0/24", 0, unix.RTN_UNICAST, oif, nl.NewRtAttr(unix.RTA_VIA, append([]byte{unix.AF_INET6, 0}, net.ParseIP("fe80::12")...))))
	})
	routeList(t, true, "10.72.5.0/24 via fe80::12 dev ens160 proto bird")
	// One more of the same kind is not said again, and what is used is not complained of.
	in(t, p.ns, func() error {
		return errors.Join(netlink.RouteAdd(&netlink.Route{Dst: ipNet("10.72.2.0/24"), Gw: net.ParseIP("172.16.0.2"), Protocol: unix.RTPROT_BIRD}),
			netlink.RouteAdd(&netlink.Route{Dst: ipNet("10.73.0.0/16"), Gw: net.ParseIP("192.168.0.12"), Protocol: unix.RTPROT_BIRD}))
	})
	routeList(t, true, "10.73.0.0/16 via 192.168.0.12 dev ens160 proto bird")
	if log := read(t, r.errors); strings.Count(log, "leaves by other") != 1 || strings.Count(log, "10.73.0.0") != 0 {
		t.Errorf("the log:\n%s", log)
	}
	if found := p.examine(t, "import"); !slices.ContainsFunc(found, func(f doctor.Finding) bool { return strings.Contains(f.Means, "so it is with 2 routes") }) {
		t.Errorf("doctor does not count them: %+v", found)
	}
}

// An imported route's MTU, locked or not, is what packets are held to, and is shown.
func TestImportedRouteMTU(t *testing.T) {
	ns, _ := importing(t)
	for i, lock := range []bool{false, true} {
		prefix := fmt.Sprintf("10.7%d.0.0/16", 4+i)
		in(t, ns, func() error {
			return netlink.RouteAdd(&netlink.Route{Dst: ipNet(prefix), Gw: net.ParseIP("192.168.0.12"), Protocol: unix.RTPROT_BIRD, MTU: 1400, MTULock: lock})
		})
		routeList(t, true, prefix+" via 192.168.0.12 dev ens160 proto bird mtu 1400")
		out := vrouter(t, "explain", "icmp 10.70.1.1 > "+strings.Replace(prefix, ".0.0/16", ".0.1", 1)+" length 1500 df").wantOK(t)
		for _, want := range []string{"mtu_exceeded: 1500 bytes, by the mtu of the route 1400 fit", "why: mtu 1400: the route says so"} {
			if !strings.Contains(out, want) {
				t.Errorf("explain does not say %q:\n%s", want, out)
			}
		}
	}
}

// The kernel takes routes away with an address that they are sent from, whichever interface has it,
// and with an interface, and tells of neither; the router's go too, and no others.
func TestRoutesThatGoWithoutAWord(t *testing.T) {
	ns, r := importing(t)
	in(t, ns, func() error {
		return errors.Join(addBridge("other"), up("other", "172.16.0.1/24"), addBridge("third"), up("third", "172.17.0.1/24"))
	})
	add := func(to, via, src string) {
		in(t, ns, func() error {
			return netlink.RouteAdd(&netlink.Route{Dst: ipNet(to), Gw: net.ParseIP(via), Src: net.ParseIP(src), Protocol: unix.RTPROT_BIRD})
		})
	}
	line := func(to string) string { return to + " via 192.168.0.12 dev ens160 proto bird" }
	add("10.75.1.0/24", "192.168.0.12", "172.16.0.1")
	add("10.75.2.0/24", "192.168.0.12", "172.17.0.1")
	add("10.75.3.0/24", "192.168.0.12", "")
	add("10.75.4.0/24", "172.16.0.2", "") // first of its key: by an interface that will go
	in(t, ns, func() error {
		return netlink.RouteAppend(&netlink.Route{Dst: ipNet("10.75.4.0/24"), Gw: net.ParseIP("192.168.0.12"), Protocol: unix.RTPROT_BIRD})
	})
	routeList(t, true, line("10.75.1.0/24"), line("10.75.2.0/24"), line("10.75.3.0/24"), line("10.75.4.0/24"))
	in(t, ns, func() error { return withLink("third", flush) })
	routeList(t, false, line("10.75.2.0/24"))
	in(t, ns, func() error { return withLink("other", netlink.LinkDel) })
	routeList(t, false, line("10.75.1.0/24"))
	// What is replaced now is the first that the kernel has, not one that is gone.
	in(t, ns, func() error {
		return netlink.RouteReplace(&netlink.Route{Dst: ipNet("10.75.4.0/24"), Gw: net.ParseIP("192.168.0.13"), Protocol: unix.RTPROT_BIRD})
	})
	routeList(t, true, "10.75.4.0/24 via 192.168.0.13 dev ens160 proto bird")
	in(t, ns, func() error {
		return netlink.RouteDel(&netlink.Route{Dst: ipNet("10.75.4.0/24"), Gw: net.ParseIP("192.168.0.13")})
	})
	eventually(t, "no route is left", func() bool { return !strings.Contains(vrouter(t, "route", "list").wantOK(t), "10.75.4.0") })
	routeList(t, true, line("10.75.3.0/24"))
	if strings.Contains(read(t, r.errors), "lost track") {
		t.Errorf("the log:\n%s", read(t, r.errors))
	}
}
