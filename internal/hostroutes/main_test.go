package hostroutes

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/sandbox"
)

// TestMain runs the tests in a network namespace of their own: they ask its kernel.
func TestMain(m *testing.M) {
	status, err := 1, error(nil)
	if !sandbox.Inside() {
		status, err = sandbox.Run(context.Background())
	} else if err = build(); err == nil {
		status = m.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: these tests cannot run here:", err)
	}
	os.Exit(status)
}

// The host: an uplink and another interface, each with a cable that leads to nobody.
var uplink, other int

func build() error {
	if err := netlink.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "lo"}}); err != nil { // blackholes need it
		return err
	}
	for _, l := range []struct {
		name, address, address6 string
		index                   *int
	}{{"ens160", "192.168.0.11/24", "fd00:192::11/64", &uplink}, {"eth1", "172.16.0.11/24", "fd00:172::11/64", &other}} {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: l.name}, PeerName: l.name + "-cable"}
		peer := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: l.name + "-cable"}}
		address, err := netlink.ParseAddr(l.address)
		address6, err6 := netlink.ParseAddr(l.address6)
		if err6 == nil {
			address6.Flags = unix.IFA_F_NODAD
		}
		if err := errors.Join(err, err6, netlink.LinkAdd(veth), netlink.AddrAdd(veth, address), netlink.AddrAdd(veth, address6), netlink.LinkSetUp(veth), netlink.LinkSetUp(peer)); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		i, err := net.InterfaceByName(l.name)
		if err != nil {
			return err
		}
		*l.index = i.Index
	}
	return nil
}

// tell sends a request with attributes behind a fixed header, and returns what the kernel says.
func tell(kind, flags int, header []byte, attrs ...[]byte) error {
	for _, a := range attrs {
		header = append(header, a...)
	}
	req := nl.NewNetlinkRequest(kind, flags|unix.NLM_F_ACK)
	req.AddRawData(header)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func attr(kind int, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, uint16(kind)), value...)
	return append(b, make([]byte, aligned(len(b))-len(b))...)
}

func u32(n int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }

func ip(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

// rtmsg is the header of a route to a prefix.
func rtmsg(to netip.Prefix, protocol, kind byte, tos byte) []byte {
	family := byte(unix.AF_INET)
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	return []byte{family, byte(to.Bits()), 0, tos, unix.RT_TABLE_MAIN, protocol, unix.RT_SCOPE_UNIVERSE, kind, 0, 0, 0, 0}
}

func nhmsg(family byte) []byte { return []byte{family, 0, unix.RTPROT_ZEBRA, 0, 0, 0, 0, 0} }

// gateway is a nexthop object with a next hop.
func gateway(id int, via string, link int) error {
	family := byte(unix.AF_INET)
	if netip.MustParseAddr(via).Is6() {
		family = unix.AF_INET6
	}
	return tell(unix.RTM_NEWNEXTHOP, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, nhmsg(family),
		attr(unix.NHA_ID, u32(id)), attr(unix.NHA_GATEWAY, ip(via)), attr(unix.NHA_OIF, u32(link)))
}

func blackhole(id int, family byte) error {
	return tell(unix.RTM_NEWNEXTHOP, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, nhmsg(family), attr(unix.NHA_ID, u32(id)), attr(unix.NHA_BLACKHOLE, nil))
}

// group is one of several objects, the i-th with weight i+1.
func group(id int, members ...int) error {
	var b []byte
	for i, m := range members {
		b = append(append(b, u32(m)...), byte(i), 0, 0, 0)
	}
	return tell(unix.RTM_NEWNEXTHOP, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, nhmsg(unix.AF_UNSPEC), attr(unix.NHA_ID, u32(id)), attr(unix.NHA_GROUP, b))
}

func removeObject(id int) error {
	return tell(unix.RTM_DELNEXTHOP, 0, make([]byte, unix.SizeofNhmsg), attr(unix.NHA_ID, u32(id)))
}
