package e2e

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/workload"
)

// X4: a kernel's vxlan device at the other end: pings and
// TCP, with superframes, both ways, of both families.
func TestKernelVXLAN(t *testing.T) {
	hosts := labUp(t, read(t, "../../examples/lab-vxlan.yaml"))
	h, far := hosts[0], hosts[1]
	far.killRouter(t, syscall.SIGTERM)
	kernelVTEP(t, far.ns)
	for _, to := range []string{there, there6} {
		wantEcho(t, h.ns1, to, 63) // the kernel is the end
		a, b := connect(t, h.ns1, far.ns, to)
		exchange(t, a, b, 8<<20)
	}
	nothingDropped(t, hosts[:1])
}

func kernelVTEP(t *testing.T, ns workload.Namespace) {
	t.Helper()
	mac := func(last byte) net.HardwareAddr { return net.HardwareAddr{0x02, 0x76, 192, 168, 0, last} }
	in(t, ns, func() error {
		dev := &netlink.Vxlan{
			LinkAttrs: netlink.LinkAttrs{Name: "vxlan0", HardwareAddr: mac(12), MTU: 1450},
			VxlanId:   4096, Port: 4789, SrcAddr: net.IPv4(192, 168, 0, 12), Learning: false,
		}
		if err := errors.Join(netlink.LinkAdd(dev), os.WriteFile("/proc/sys/net/ipv6/conf/vxlan0/disable_ipv6", []byte("0"), 0o644), netlink.LinkSetUp(dev)); err != nil {
			return err
		}
		all := []error{netlink.NeighAppend(&netlink.Neigh{
			LinkIndex: dev.Index, Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT, Flags: netlink.NTF_SELF,
			IP: net.IPv4(192, 168, 0, 11).To4(), HardwareAddr: mac(11),
		})}
		for own, other := range map[string]string{there + "/32": "10.70.1.1", there6 + "/128": "fd00:70:1::1"} {
			address, err := netlink.ParseAddr(own)
			if err != nil {
				return err
			}
			address.Flags = unix.IFA_F_NODAD
			to := net.ParseIP(other)
			if v4 := to.To4(); v4 != nil {
				to = v4
			}
			all = append(all, netlink.AddrAdd(dev, address),
				netlink.NeighSet(&netlink.Neigh{LinkIndex: dev.Index, State: netlink.NUD_PERMANENT, IP: to, HardwareAddr: mac(11)}),
				netlink.RouteAdd(&netlink.Route{LinkIndex: dev.Index, Scope: netlink.SCOPE_LINK, Dst: &net.IPNet{IP: to, Mask: net.CIDRMask(8*len(to), 8*len(to))}}))
		}
		return errors.Join(all...)
	})
}
