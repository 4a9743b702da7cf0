package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// dumpLimit is how many addresses or routes of a namespace are looked at: whoever has more of them
// there has nobody wait for it.
const dumpLimit = 4096

// dump asks the kernel for a list, in the calling thread's network namespace, and reads it until it ends or
// each returns false. The library would read it to its end.
func dump(message uint16, header []byte, each func(body []byte) bool) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// With it the kernel lists only what the header asks for (Linux 4.20).
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	request := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(header)))
	request = binary.NativeEndian.AppendUint16(request, message)
	request = binary.NativeEndian.AppendUint16(request, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	request = append(append(request, make([]byte, 8)...), header...)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 1<<15)
	for {
		size, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:size])
		if err != nil {
			return err
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.NLMSG_DONE:
				return nil
			case unix.NLMSG_ERROR:
				return syscall.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
			}
			if !each(m.Data) {
				return nil
			}
		}
	}
}

// atMost ends a list after dumpLimit.
func atMost(each func([]byte) bool) func([]byte) bool {
	n := 0
	return func(body []byte) bool {
		n++
		return n <= dumpLimit && each(body)
	}
}

// addresses yields those of an interface, of a family.
func addresses(family uint8, index int, each func(netip.Prefix) bool) error {
	kind := uint16(unix.IFA_LOCAL)
	if family == unix.AF_INET6 { // where IFA_LOCAL is said of addresses with a peer alone
		kind = unix.IFA_ADDRESS
	}
	header := make([]byte, unix.SizeofIfAddrmsg)
	header[0] = family
	binary.NativeEndian.PutUint32(header[4:], uint32(index))
	return dump(unix.RTM_GETADDR, header, atMost(func(body []byte) bool {
		if len(body) < unix.SizeofIfAddrmsg || binary.NativeEndian.Uint32(body[4:]) != uint32(index) {
			return true
		}
		attrs, err := nl.ParseRouteAttr(body[unix.SizeofIfAddrmsg:])
		for _, a := range attrs {
			if ip, ok := netip.AddrFromSlice(a.Value); err == nil && ok && a.Attr.Type == kind {
				return each(netip.PrefixFrom(ip, int(body[1])))
			}
		}
		return true
	}))
}

// Route is a route of a main table as the kernel tells it, so that it can be entered again as it was.
type Route struct {
	Text string `json:"route"` // for people, in the words of ip-route(8)
	Raw  []byte `json:"raw"`   // struct rtmsg and its attributes

	prefix   netip.Prefix
	metric   uint32
	protocol uint8
	index    int
	gateway  netip.Addr
	source   netip.Addr
}

// parseRoute reads a route without a type of service of the main table.
func parseRoute(body []byte) (r Route, ok bool) {
	if len(body) < unix.SizeofRtMsg || body[0] != unix.AF_INET && body[0] != unix.AF_INET6 || body[3] != 0 {
		return r, false
	}
	any := netip.IPv4Unspecified()
	if body[0] == unix.AF_INET6 {
		any = netip.IPv6Unspecified()
	}
	r = Route{Raw: append([]byte(nil), body...), protocol: body[5], prefix: netip.PrefixFrom(any, int(body[1]))}
	table := uint32(body[4])
	attrs, err := nl.ParseRouteAttr(body[unix.SizeofRtMsg:])
	if err != nil {
		return r, false
	}
	for _, a := range attrs {
		addr, _ := netip.AddrFromSlice(a.Value)
		switch a.Attr.Type {
		case unix.RTA_DST:
			r.prefix = netip.PrefixFrom(addr, int(body[1]))
		case unix.RTA_GATEWAY:
			r.gateway = addr
		case unix.RTA_PREFSRC:
			r.source = addr
		case unix.RTA_OIF:
			r.index = int(binary.NativeEndian.Uint32(a.Value))
		case unix.RTA_PRIORITY:
			r.metric = binary.NativeEndian.Uint32(a.Value)
		case unix.RTA_TABLE:
			table = binary.NativeEndian.Uint32(a.Value)
		}
	}
	return r, table == unix.RT_TABLE_MAIN
}

// inWords is the route with its text, for which the kernel is asked for the name of its interface: not for
// each of a thousand routes that are looked at.
func (r Route) inWords() Route {
	s := "default"
	if r.prefix.Bits() > 0 {
		s = r.prefix.String()
	}
	if r.gateway.IsValid() {
		s += " via " + r.gateway.String()
	}
	if r.index != 0 {
		if l, err := netlink.LinkByIndex(r.index); err == nil {
			s += " dev " + l.Attrs().Name
		} else {
			s += " dev #" + strconv.Itoa(r.index)
		}
	}
	if r.metric != usualMetric(r.prefix.Addr()) {
		s += fmt.Sprintf(" metric %d", r.metric)
	}
	r.Text = s
	return r
}

// usualMetric is that of a route of which nobody has said one: a family's routes have none, or IP6_RT_PRIO_USER of
// linux/ipv6_route.h.
func usualMetric(family netip.Addr) uint32 {
	if family.Is4() {
		return 0
	}
	return 1024
}

// routes yields the routes of the main table: those of IPv4 by their addresses, of IPv6 the longer prefixes first.
func routes(family uint8, each func(Route) bool) error {
	header := make([]byte, unix.SizeofRtMsg)
	header[0], header[4] = family, unix.RT_TABLE_MAIN
	return dump(unix.RTM_GETROUTE, header, atMost(func(body []byte) bool {
		r, ok := parseRoute(body)
		return !ok || each(r)
	}))
}

// routesOut yields those that lead out of an interface, all of them.
func routesOut(family uint8, index int, each func(Route)) error {
	header := make([]byte, unix.SizeofRtMsg)
	header[0], header[4] = family, unix.RT_TABLE_MAIN
	header = binary.NativeEndian.AppendUint16(header, 8)
	header = binary.NativeEndian.AppendUint16(header, unix.RTA_OIF)
	header = binary.NativeEndian.AppendUint32(header, uint32(index))
	return dump(unix.RTM_GETROUTE, header, func(body []byte) bool {
		if r, ok := parseRoute(body); ok && r.index == index {
			each(r)
		}
		return true
	})
}

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

var families = []uint8{unix.AF_INET, unix.AF_INET6}

// routeTo is the route that the kernel would take to an address.
func routeTo(a netip.Addr) (r Route, ok bool) {
	header := make([]byte, unix.SizeofRtMsg)
	header[0], header[1] = familyOf(a), uint8(a.BitLen())
	binary.NativeEndian.PutUint32(header[8:], unix.RTM_F_FIB_MATCH|unix.RTM_F_LOOKUP_TABLE)
	header = binary.NativeEndian.AppendUint16(header, uint16(unix.SizeofRtAttr+a.BitLen()/8))
	header = binary.NativeEndian.AppendUint16(header, unix.RTA_DST)
	header = append(header, a.AsSlice()...)
	request := nl.NewNetlinkRequest(unix.RTM_GETROUTE, 0)
	request.AddRawData(header)
	answer, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE)
	if err != nil || len(answer) == 0 {
		return r, false
	}
	return parseRoute(answer[0])
}

// replace remembers a route in whose place the router puts one of its own.
func (e *Entry) replace(r Route) {
	e.Replaced = append(slices.DeleteFunc(slices.Clone(e.Replaced), func(o Route) bool {
		was, ok := parseRoute(o.Raw)
		return ok && was.prefix == r.prefix && was.metric == r.metric
	}), r)
}

// putBack enters what had the place of the router's route to a prefix.
func (e *Entry) putBack(p netip.Prefix) error {
	var errs []error
	left := e.Replaced[:0:0]
	for _, r := range e.Replaced {
		was, ok := parseRoute(r.Raw)
		if !ok || was.prefix != p {
			left = append(left, r)
			continue
		}
		errs = append(errs, r.enter())
	}
	e.Replaced, e.line = left, nil
	return errors.Join(errs...)
}

func (e *Entry) putBackAll() error {
	var errs []error
	for _, r := range e.Replaced {
		errs = append(errs, r.enter())
	}
	return errors.Join(errs...)
}

// enter puts a route into the table as it was, if there is none in its place. One whose interface, or
// whose next hop's subnet, is gone would have gone with that.
func (r *Route) enter() error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	request.AddRawData(cleared(r.Raw))
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	if err != nil && !slices.ContainsFunc([]error{unix.EEXIST, unix.ENODEV, unix.ENETUNREACH, unix.EHOSTUNREACH}, func(e error) bool { return errors.Is(err, e) }) {
		return fmt.Errorf("putting back the route %s: %w", r.Text, err)
	}
	return nil
}

// cleared is a route without what the kernel alone says of it: that its link is down, or dead.
func cleared(raw []byte) []byte {
	b := append([]byte(nil), raw...)
	flags := binary.NativeEndian.Uint32(b[8:])
	binary.NativeEndian.PutUint32(b[8:], flags&unix.RTNH_F_ONLINK)
	return b
}
