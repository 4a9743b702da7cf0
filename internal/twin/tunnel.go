package twin

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/packet"
)

// The twin's tunnels are VXLAN, for which more kernels have a device than for IP-in-IP. What is inside is the same.
const tunnelDevice = "vxlan0"

// UplinkMTU is what an uplink is to take, of a twin that has tunnels, where the other's takes so much: as much fits inside as with
// IP-in-IP.
func UplinkMTU(mtu int) int { return mtu + packet.VXLANLen }

// local is the uplink's IPv4 address.
func (h *Host) local() netip.Addr {
	for _, a := range h.Addresses {
		if a.Addr().Is4() {
			return a.Addr()
		}
	}
	return netip.Addr{}
}

// tunnelMAC is that of the tunnel's device on the host with an address.
func tunnelMAC(a netip.Addr) net.HardwareAddr {
	m := packet.VTEPMAC(a)
	return m[:]
}

// local6 is a next hop of IPv6 there.
func local6(a netip.Addr) netip.Addr {
	b := a.As4()
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 12: b[0], 13: b[1], 14: b[2], 15: b[3]})
}

// tunnel makes the device of all tunnels.
func (h *Host) tunnel(c *commands) {
	local, mtu := h.local(), h.MTU-packet.IPv4MinLen
	c.link(h.Uplink, UplinkMTU(h.MTU))
	c.add(func() error {
		l := &netlink.Vxlan{
			LinkAttrs: netlink.LinkAttrs{Name: tunnelDevice, MTU: mtu, HardwareAddr: tunnelMAC(local), TxQLen: 1000},
			VxlanId:   config.DefaultVNI, SrcAddr: local.AsSlice(), Port: packet.VXLANPort, TTL: 64, TOS: 1, // 1: of the packet inside
		}
		if err := netlink.LinkAdd(l); err != nil {
			return fmt.Errorf("%w: this kernel may have no VXLAN", err)
		}
		return nil
	}, "ip link add %s address %s mtu %d type vxlan id %d local %s dstport %d ttl 64 tos inherit nolearning", tunnelDevice, tunnelMAC(local), mtu, config.DefaultVNI, local, packet.VXLANPort)
	if h.six() {
		c.speaks6(tunnelDevice)
	}
	c.sysctl("ipv4.conf."+tunnelDevice+".send_redirects", "0")
	c.up(tunnelDevice)
}

func (c *commands) link(device string, mtu int) {
	c.add(func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		return netlink.LinkSetMTU(l, mtu)
	}, "ip link set %s mtu %d", device, mtu)
}

// peer enters the other end of a tunnel.
func (c *commands) peer(a netip.Addr, six bool) {
	neighbor := func(n netlink.Neigh) func() error {
		return func() error {
			l, err := netlink.LinkByName(tunnelDevice)
			if err != nil {
				return err
			}
			n.LinkIndex, n.HardwareAddr, n.State = l.Attrs().Index, tunnelMAC(a), netlink.NUD_PERMANENT
			return netlink.NeighSet(&n)
		}
	}
	c.add(neighbor(netlink.Neigh{Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF, IP: a.AsSlice()}), "bridge fdb add %s dev %s dst %s", tunnelMAC(a), tunnelDevice, a)
	hops := []netip.Addr{a}
	if six {
		hops = append(hops, local6(a))
	}
	for _, hop := range hops {
		c.add(neighbor(netlink.Neigh{IP: hop.AsSlice()}), "ip neigh add %s lladdr %s dev %s", hop, tunnelMAC(a), tunnelDevice)
	}
}
