package node

import (
	"net/netip"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/packet"
)

// vxlan is how the router speaks VXLAN: not at all where neither the configuration nor a
// route does.
func (n *Node) vxlan() forwarder.VXLAN {
	c := &n.config.VXLAN
	all, _, ends := n.hops()
	if encap, mode := n.config.Mode(); (encap != config.EncapVXLAN || mode == config.IPIPNever) && len(c.Peers) == 0 && len(ends) == 0 {
		return forwarder.VXLAN{}
	}
	v := forwarder.VXLAN{Port: uint16(c.Port), VNI: uint32(c.VNI), Peers: all, Ends: ends}
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
