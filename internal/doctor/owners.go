package doctor

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/config"
)

// owners says by an interface's name whose it usually is.
var owners = []struct{ prefix, program string }{
	{"cali", "Calico"}, {"tunl", "Calico, or a tunnel made by hand"}, {"vxlan.calico", "Calico"},
	{"flannel", "flannel"}, {"cni", "a CNI plug-in"}, {"docker", "Docker"}, {"br-", "Docker"}, {"cilium", "Cilium"},
	{"virbr", "libvirt"}, {"veth", "a container, or a test by hand"}, {"wg", "WireGuard"},
}

func owner(ifname string) string {
	for _, o := range owners {
		if strings.HasPrefix(ifname, o.prefix) {
			return o.program
		}
	}
	return "another program"
}

// addresses of the host that are a workload's, or the gateway's: the host's own
// stack would take what is for them.
func addresses(h *Host) (found []Finding, err error) {
	whose := map[netip.Addr]string{h.Config.Gateway.Address: "the gateway"}
	for _, w := range h.Config.Workloads {
		for _, a := range w.Addresses {
			whose[a.Addr()] = "workload " + w.Name
		}
	}
	list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	for _, a := range list {
		ip, _ := netip.AddrFromSlice(a.IP)
		ip = ip.Unmap()
		l, lerr := netlink.LinkByIndex(a.LinkIndex)
		if whose[ip] == "" || lerr != nil {
			continue
		}
		found = append(found, Finding{
			State: Fail, Means: fmt.Sprintf("%s of this host has %s, the address of %s: the host's own stack takes its packets", l.Attrs().Name, ip, whose[ip]),
			Mend: h.mendAddress(whose[ip], a.IPNet.String(), l),
		})
	}
	return found, err
}

// mendAddress gives the command, which is nobody's to type but who has that address. The uplink's is the host's own.
func (h *Host) mendAddress(whose, address string, l netlink.Link) string {
	if l.Attrs().Name == h.Config.Uplink.Interface {
		return "give " + whose + " another address"
	}
	return fmt.Sprintf("ip addr del %s dev %s", address, l.Attrs().Name)
}

// routes of the host's main table that lead the workloads' addresses, of this host or
// others, out by something else than the uplink.
func routes(h *Host) (found []Finding, err error) {
	l, err := h.link()
	if err != nil {
		return nil, err
	}
	list, err := mainTable()
	for _, r := range list {
		prefix := prefixOf(r.Dst, r.Family)
		out, lerr := netlink.LinkByIndex(r.LinkIndex)
		exported := lerr == nil && h.Config.Kernel.Export && out.Attrs().Name == config.HostInterface // the router's own (kernel.export)
		if lerr != nil || r.Type != unix.RTN_UNICAST || r.LinkIndex == l.Attrs().Index || prefix.Bits() == 0 || exported {
			continue
		}
		if f, ok := h.claimed(prefix, out.Attrs().Name); ok {
			found = append(found, mendRoute(f, r, prefix, out))
		}
	}
	return found, err
}

// claimed says what it means that the host has a route to prefix by another interface.
func (h *Host) claimed(prefix netip.Prefix, out string) (Finding, bool) {
	for _, w := range h.Config.Workloads {
		for _, a := range w.Addresses {
			if prefix.Contains(a.Addr()) {
				return Finding{State: Fail, Means: fmt.Sprintf("the host's own table leads %s, workload %s, by %s (%s): somebody else has that address, and the host's own packets for it go there",
					a.Addr(), w.Name, out, owner(out))}, true
			}
		}
	}
	for r := range h.Config.Routes.All {
		if r.To.Bits() > 0 && r.To.Overlaps(prefix) {
			return Finding{State: Warn, Means: fmt.Sprintf("the host's own table leads %s by %s (%s), the router by %s: the host's own packets go another way",
				prefix, out, owner(out), h.Config.Uplink.Interface)}, true
		}
	}
	return Finding{}, false
}

// mendRoute gives the command: a route that the router has not made is not its own to delete. The subnet of an interface is that interface's; whether
// somebody needs it a person has to say.
func mendRoute(f Finding, r netlink.Route, prefix netip.Prefix, out netlink.Link) Finding {
	if r.Protocol == unix.RTPROT_KERNEL {
		f.State = Warn
		own := r.Src
		if own == nil { // IPv6's do not say of which address they are
			own = prefix.Addr().AsSlice()
		}
		f.Mend = fmt.Sprintf("ip addr del %s/%d dev %s   # if nothing needs it; else give the workloads other addresses", own, prefix.Bits(), out.Attrs().Name)
		return f
	}
	f.Mend = fmt.Sprintf("ip route del %s dev %s", prefix, out.Attrs().Name)
	return f
}

func mainTable() (all []netlink.Route, err error) {
	for _, family := range families {
		list, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return all, err
		}
		for _, r := range list {
			if family == unix.AF_INET || !prefixOf(r.Dst, family).Addr().IsLinkLocalUnicast() {
				all = append(all, r)
			}
		}
	}
	return all, nil
}
