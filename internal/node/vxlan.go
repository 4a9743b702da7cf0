package node

import (
	"net/netip"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/packet"
)

// vxlanPort is the UDP port at which the router speaks VXLAN; 0: neither the configuration nor a route does.
func (n *Node) vxlanPort() uint16 {
	encap, mode := n.config.Mode()
	speaks := encap == config.EncapVXLAN && mode != config.ModeNever || len(n.config.VXLAN.Peers) > 0
	for h := range n.statics.hops {
		speaks = speaks || encapWords[h.encap] == config.EncapVXLAN
	}
	if !speaks {
		return 0
	}
	return uint16(n.config.VXLAN.Port)
}

// vxlan is how the router speaks VXLAN: not at all where neither the configuration nor a
// route does.
func (n *Node) vxlan() forwarder.VXLAN {
	c, port := &n.config.VXLAN, n.vxlanPort()
	if port == 0 {
		return forwarder.VXLAN{}
	}
	all, _, ends := n.hops()
	v := forwarder.VXLAN{Port: port, VNI: uint32(c.VNI), Peers: all, Ends: ends}
	if c.Peers != nil {
		v.Peers, v.MACs = nil, map[netip.Addr]packet.MAC{}
		for _, p := range c.Peers {
			v.Peers = append(v.Peers, p.Address)
			if p.MAC != nil {
				v.MACs[p.Address] = packet.MAC(p.MAC)
			}
		}
	}
	return v
}
