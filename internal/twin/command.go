package twin

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/workload"
)

// localPatience is how long a link may take to give itself its link-local address.
const localPatience = 5 * time.Second

// Command is one that a person would type.
type Command struct {
	in    workload.Namespace
	words string
	run   func() error
}

// String is the command as it is typed, on the machine.
func (c Command) String() string {
	name := filepath.Base(string(c.in))
	if rest, ok := strings.CutPrefix(c.words, "ip "); ok {
		return "ip -n " + name + " " + rest
	}
	return "ip netns exec " + name + " " + c.words
}

// Run carries commands out, up to the first that fails.
func Run(list []Command) error {
	rooms := map[workload.Namespace]*workload.Room{}
	defer func() {
		for _, r := range rooms {
			r.Leave()
		}
	}()
	for _, c := range list {
		if rooms[c.in] == nil {
			r, err := c.in.Enter()
			if err != nil {
				return err
			}
			rooms[c.in] = r
		}
		if err := rooms[c.in].Do(c.run); err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
	}
	return nil
}

// commands are some for one namespace.
type commands struct {
	in   workload.Namespace
	list []Command
}

func (c *commands) add(run func() error, format string, args ...any) {
	c.list = append(c.list, Command{c.in, fmt.Sprintf(format, args...), run})
}

// sysctl sets what the host's kernel goes by; as with sysctl(8), a dot in an interface's name is a slash.
func (c *commands) sysctl(name, value string) {
	file := "/proc/sys/net/" + strings.NewReplacer(".", "/", "/", ".").Replace(name)
	c.add(func() error { return os.WriteFile(file, []byte(value), 0o644) }, "sysctl -qw net.%s=%s", name, value)
}

// veth makes one end here, and the workload's.
func (c *commands) veth(w *Workload, mac string) {
	words := fmt.Sprintf("ip link add %s", w.Veth)
	if mac != "" {
		words += " address " + mac
	}
	mtu := ""
	if w.MTU != 0 {
		mtu = fmt.Sprintf(" mtu %d", w.MTU)
	}
	words += fmt.Sprintf("%s type veth peer name %s%s netns %s", mtu, w.Interface, mtu, filepath.Base(string(w.Namespace)))
	c.add(func() error {
		ns, err := os.Open(string(w.Namespace))
		if err != nil {
			return err
		}
		defer ns.Close()
		v := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: w.Veth, MTU: w.MTU, TxQLen: 1000},
			PeerName:  w.Interface, PeerMTU: uint32(w.MTU), PeerNamespace: netlink.NsFd(ns.Fd()),
		}
		if mac != "" {
			if v.HardwareAddr, err = net.ParseMAC(mac); err != nil {
				return err
			}
		}
		return netlink.LinkAdd(v)
	}, "%s", words)
}

// speaks6 lets an interface have IPv6, without waiting for anybody else's addresses.
func (c *commands) speaks6(device string) {
	for _, setting := range []string{"accept_ra", "accept_dad", "disable_ipv6"} {
		c.sysctl("ipv6.conf."+strings.ReplaceAll(device, ".", "/")+"."+setting, "0")
	}
}

func (c *commands) up(device string) {
	c.add(func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(l)
	}, "ip link set %s up", device)
}

// awaitLocal waits until a link has given itself its link-local address, which is made of its MAC: it does some time after it is up.
func (c *commands) awaitLocal(device string) {
	c.add(func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		for deadline := time.Now().Add(localPatience); ; time.Sleep(time.Millisecond) {
			list, err := netlink.AddrList(l, unix.AF_INET6)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(list, func(a netlink.Addr) bool { return a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 }) {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s has no link-local address", device)
			}
		}
	}, "ip -6 addr show dev %s scope link", device)
}

func (c *commands) address(device string, a netip.Prefix) {
	c.add(func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		x := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			x.Flags = unix.IFA_F_NODAD
		}
		return netlink.AddrAdd(l, x)
	}, "ip addr add %s dev %s", a, device)
}

var kinds = map[string]int{"": unix.RTN_UNICAST, "unicast": unix.RTN_UNICAST, "blackhole": unix.RTN_BLACKHOLE, "unreachable": unix.RTN_UNREACHABLE, "prohibit": unix.RTN_PROHIBIT}

func (c *commands) route(r Route) {
	words := []string{"ip route add"}
	if kinds[r.Type] != unix.RTN_UNICAST {
		words = append(words, r.Type)
	}
	switch {
	case r.To.Bits() == 0:
		if r.To.Addr().Is6() {
			words[0] = "ip -6 route add"
		}
		words = append(words, "default")
	case r.To.IsSingleIP():
		words = append(words, r.To.Addr().String())
	default:
		words = append(words, r.To.String())
	}
	switch {
	case r.Via.Is6() && r.To.Addr().Is4(): // RFC 8950
		words = append(words, "via inet6 "+r.Via.String())
	case r.Via.IsValid():
		words = append(words, "via "+r.Via.String())
	}
	if r.Dev != "" {
		words = append(words, "dev "+r.Dev)
	}
	if r.Onlink {
		words = append(words, "onlink")
	}
	if r.link() {
		words = append(words, "scope link")
	}
	if r.Metric != 0 {
		words = append(words, fmt.Sprintf("metric %d", r.Metric))
	}
	c.add(r.add, "%s", strings.Join(words, " "))
}

// link says whether the destination itself is on the device. IPv6 has no such scope.
func (r *Route) link() bool { return r.Dev != "" && !r.Via.IsValid() && r.To.Addr().Is4() }

func (r *Route) add() error {
	k := netlink.Route{Dst: ipNet(r.To), Type: kinds[r.Type], Protocol: unix.RTPROT_BOOT, Priority: r.Metric}
	if r.Dev != "" {
		l, err := netlink.LinkByName(r.Dev)
		if err != nil {
			return err
		}
		k.LinkIndex = l.Attrs().Index
	}
	if r.link() {
		k.Scope = netlink.SCOPE_LINK
	}
	switch {
	case r.Via.Is6() && r.To.Addr().Is4():
		k.Via = &netlink.Via{AddrFamily: unix.AF_INET6, Addr: r.Via.AsSlice()}
	case r.Via.IsValid():
		k.Gw = r.Via.AsSlice()
	}
	if r.Onlink {
		k.Flags = int(netlink.FLAG_ONLINK)
	}
	return netlink.RouteAdd(&k)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
