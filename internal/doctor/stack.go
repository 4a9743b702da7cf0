package doctor

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/guard"
)

// setting is a file under /proc/sys.
type setting string

func interfaceSetting(ifname, key string) setting {
	return setting("/proc/sys/net/ipv4/conf/" + ifname + "/" + key)
}

func interfaceSetting6(ifname, key string) setting {
	return setting("/proc/sys/net/ipv6/conf/" + ifname + "/" + key)
}

// value is 0 where the kernel has no such setting.
func (s setting) value() int {
	b, err := os.ReadFile(string(s))
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return n
}

// mend is the finding's command and its doing.
func (s setting) mend(f Finding, value int) Finding {
	f.Mend = fmt.Sprintf("echo %d > %s", value, s)
	f.fix = func() error { return os.WriteFile(string(s), []byte(strconv.Itoa(value)), 0) }
	return f
}

// forwards says whether the host forwards what comes in by the uplink: that
// interface's own setting decides, not ip_forward, which only sets all of them.
func (h *Host) forwards() setting { return interfaceSetting(h.Config.Uplink.Interface, "forwarding") }

func ipForward(h *Host) ([]Finding, error) {
	if _, err := h.link(); err != nil {
		return nil, err
	}
	if h.Config.Kernel.Guard {
		return nil, nil
	}
	var found []Finding
	if h.forwards().value() != 0 {
		found = append(found, h.forwards().mend(Finding{
			State: Fail, Means: "the host's own stack forwards what comes in by " + h.Config.Uplink.Interface + ", and kernel.guard is false: packets it has a route for are sent twice",
		}, 0))
	}
	if h.forwards6() {
		found = append(found, interfaceSetting6("all", "forwarding").mend(Finding{
			State: Fail, Means: "the host's own stack forwards IPv6, and kernel.guard is false: packets it has a route for are sent twice",
		}, 0))
	}
	return found, nil
}

// forwards6 says whether the host forwards IPv6 beside a router that does.
func (h *Host) forwards6() bool {
	return h.speaksIPv6() && guard.Needed6(h.Config.Uplink.Interface)
}

// ipv6 is whether the host's own stack lets the uplink have its addresses and routes of that family.
func ipv6(h *Host) (found []Finding, err error) {
	l, err := h.link()
	if err != nil || !h.speaksIPv6() || h.tunnelsIPv6() {
		return nil, err
	}
	name := h.Config.Uplink.Interface
	if disabled := interfaceSetting6(name, "disable_ipv6"); disabled.value() != 0 {
		found = append(found, disabled.mend(Finding{
			State: Fail, Means: "IPv6 is disabled on " + name + ": it has no address of it, and no neighbour is found there",
		}, 0))
		return found, nil
	}
	on, err := subnets(l)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(on, func(s subnet) bool { return s.own.Is6() && s.own.IsLinkLocalUnicast() }) {
		found = append(found, Finding{
			State: Fail, Means: name + " has no link-local IPv6 address that is in use: Neighbor Discovery has none to ask from",
			Mend: "ip -6 addr show dev " + name + "   # tentative, or dadfailed, it is another station's too; else: ip link set " + name + " addrgenmode eui64",
		})
	}
	// RFC 4861 6.2.1: a router takes no advertisements, unless it is told to.
	const always = 2
	if ra := interfaceSetting6(name, "accept_ra"); ra.value() == 1 && interfaceSetting6(name, "forwarding").value() != 0 {
		found = append(found, ra.mend(Finding{
			State: Warn, Means: "the host forwards IPv6 on " + name + ", so it takes no router advertisements there: addresses and routes that it had by them expire",
		}, always))
	}
	return found, nil
}

func guardInPlace(h *Host) ([]Finding, error) {
	name := h.Config.Uplink.Interface
	if !h.Config.Kernel.Guard {
		return unguardedTunnels(h)
	}
	worst := Warn
	if h.forwards().value() != 0 || h.forwards6() || h.Config.Tunnels() {
		worst = Fail
	}
	guarded, err := guard.Interfaces()
	if err != nil {
		return []Finding{{State: worst, Means: fmt.Sprintf("nftables cannot be used, so nothing keeps the host's own stack out: %v", err), Mend: "modprobe nf_tables   # or run as root"}}, nil
	}
	if h.Router == nil || slices.Contains(guarded, name) {
		return nil, nil
	}
	return []Finding{{
		State: worst, Means: "the router runs without its guard on " + name + ": the host's own stack may forward, or answer, what the router handles",
		Mend: "vrouter --socket " + h.Socket + " reload", fix: h.reload,
	}}, nil
}

func (h *Host) reload() error {
	client := control.NewClient(h.Socket)
	defer client.Close()
	return client.Post(context.Background(), "/v1/reload", struct{}{}, &struct{}{})
}

// unguardedTunnels: without the guard the host answers IP-in-IP, or VXLAN, that it has no
// tunnel for, and the other end takes the answer for the truth (RFC 2003 4).
func unguardedTunnels(h *Host) ([]Finding, error) {
	says := func(has, answer string) []Finding {
		return []Finding{{
			State: Fail, Means: "kernel.guard is false and the host has no " + has + ": its own stack answers each packet of a tunnel with " + answer,
			Mend: "set kernel.guard: true, then: vrouter --socket " + h.Socket + " reload",
		}}
	}
	if tunnels, err := ipipLinks(); err != nil || len(tunnels) == 0 && h.Config.TunnelsBy(config.EncapIPIP) {
		return says("IP-in-IP", "Protocol Unreachable"), err
	}
	if devices, err := vxlanLinks(h.Config.VXLAN.Port); err != nil || len(devices) == 0 && h.Config.TunnelsBy(config.EncapVXLAN) {
		return says("vxlan device", "Port Unreachable"), err
	}
	return nil, nil
}

// vxlanLinks are the host's own devices that are up and take what comes at a UDP port.
func vxlanLinks(port int) (up []*netlink.Vxlan, err error) {
	list, err := netlink.LinkList()
	for _, l := range list {
		if v, ok := l.(*netlink.Vxlan); ok && v.Port == port && v.Flags&net.FlagUp != 0 {
			up = append(up, v)
		}
	}
	return up, err
}

func kernelVXLAN(h *Host) (found []Finding, err error) {
	if !h.Config.TunnelsBy(config.EncapVXLAN) {
		return nil, nil
	}
	list, err := vxlanLinks(h.Config.VXLAN.Port)
	for _, v := range list {
		f := Finding{Mend: "ip link set " + v.Name + " down"}
		switch {
		case h.Config.Kernel.Guard:
			// Without a fix: it may be somebody's, by another interface.
			f.State, f.Means = Warn, fmt.Sprintf("%s is up at UDP port %d, the host's own VXLAN; the guard cuts it off from %s", v.Name, v.Port, h.Config.Uplink.Interface)
		case v.VxlanId == h.Config.VXLAN.VNI || v.FlowBased:
			f.State, f.Means = Fail, fmt.Sprintf("%s is up at UDP port %d and kernel.guard is false: the host's own stack unpacks the VXLAN that the router unpacks, and what is in it may arrive twice", v.Name, v.Port)
			f.fix = func() error { return netlink.LinkSetDown(v) }
		default:
			continue
		}
		found = append(found, f)
	}
	return found, err
}

// ipipLinks are the host's own tunnels that are up, tunl0 among them.
func ipipLinks() (up []netlink.Link, err error) {
	list, err := netlink.LinkList()
	for _, l := range list {
		if (l.Type() == "ipip" || l.Attrs().Name == "tunl0") && l.Attrs().Flags&net.FlagUp != 0 {
			up = append(up, l)
		}
	}
	return up, err
}

func kernelTunnels(h *Host) (found []Finding, err error) {
	list, err := ipipLinks()
	for _, l := range list {
		name := l.Attrs().Name
		f := Finding{Mend: "ip link set " + name + " down"}
		switch {
		case h.Config.Kernel.Guard:
			// Without a fix: it may be somebody's, by another interface.
			f.State, f.Means = Warn, fmt.Sprintf("%s is up, the host's own IP-in-IP; the guard cuts it off from %s", name, h.Config.Uplink.Interface)
		case h.Config.TunnelsBy(config.EncapIPIP):
			f.State, f.Means = Fail, name+" is up and kernel.guard is false: the host's own stack unpacks the IP-in-IP that the router unpacks, and what is in it arrives twice"
			f.fix = func() error { return netlink.LinkSetDown(l) }
		default:
			continue
		}
		found = append(found, f)
	}
	return found, err
}

// rpFilter: the packet socket sees a packet before the reverse path filter does, so that
// what is forwarded does not meet it. What the other hosts' workloads send to this
// host itself does.
func rpFilter(h *Host) ([]Finding, error) {
	name := h.Config.Uplink.Interface
	l, err := h.link()
	if err != nil {
		return nil, err
	}
	const strict, loose = 1, 2 // RFC 3704; the greater of the two settings holds
	own := interfaceSetting(name, "rp_filter")
	_, mode := h.Config.Mode()
	if max(own.value(), interfaceSetting("all", "rp_filter").value()) != strict || mode == config.ModeAlways {
		return nil, nil
	}
	for r := range h.Config.Routes.All {
		if r.Type != config.RouteUnicast || r.Encap == config.EncapIPIP || r.Encap == config.EncapVXLAN || r.To.Bits() == 0 {
			continue
		}
		back, err := netlink.RouteGet(r.To.Addr().AsSlice())
		if err != nil || len(back) == 0 || back[0].LinkIndex == l.Attrs().Index {
			continue
		}
		return []Finding{own.mend(Finding{
			State: Warn, Means: fmt.Sprintf("the host's own route to %s does not leave by %s, and rp_filter is strict: what comes from there for this host itself is dropped", r.To, name),
		}, loose)}, nil
	}
	return nil, nil
}

const (
	bridgeCalls  = setting("/proc/sys/net/bridge/bridge-nf-call-iptables")
	bridgeCalls6 = setting("/proc/sys/net/bridge/bridge-nf-call-ip6tables")
)

// bridgeFilter: a bridge with br_netfilter runs iptables' PREROUTING, connection tracking
// and reassembly on frames before they come to the packet socket on the bridge.
func bridgeFilter(h *Host) ([]Finding, error) {
	l, err := h.link()
	if err != nil || l.Type() != "bridge" {
		return nil, err
	}
	var found []Finding
	for _, of := range []struct {
		setting
		program string
		matters bool
	}{{bridgeCalls, "iptables", true}, {bridgeCalls6, "ip6tables", h.speaksIPv6()}} {
		if of.matters && of.value() != 0 {
			found = append(found, of.mend(Finding{
				State: Warn, Means: h.Config.Uplink.Interface + " is a bridge and br_netfilter is on: " + of.program + " may change, reassemble or drop packets before the router reads them",
			}, 0))
		}
	}
	return found, nil
}
