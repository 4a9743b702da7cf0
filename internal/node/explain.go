package node

import (
	"fmt"
	"slices"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/sketch"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// stranger is the station that sends a sketched packet to the uplink.
var stranger = packet.MAC{0x02, 0, 0, 0, 0, 0x01}

// Explain says what the router would do with a packet described in one line, and
// why it would take the way it takes.
func (n *Node) Explain(line string) (packets []trace.Packet, why []string, err error) {
	s, err := sketch.Parse(line)
	if err != nil {
		return nil, nil, err
	}
	port, src, dst := n.entrance(s)
	f, err := s.Frame(src, dst)
	if err != nil {
		return nil, nil, err
	}
	why = []string{}
	if !s.ARP {
		why = n.whyRoute(s, packet.IPv4(f.Payload()))
	}
	records, err := n.Router.Explain(port, f)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range records {
		packets = append(packets, r.View(n.Config().Node))
	}
	return packets, why, nil
}

// entrance is where a packet comes in, and the stations that carry it there: by
// the port it names, else from the workload that has its source address, or the
// host, if it has a port, else by the uplink.
func (n *Node) entrance(s *sketch.Packet) (port string, src, dst packet.MAC) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, w := range n.workloads {
		if s.In == name || s.In == "" && w.Address.Addr() == s.Src {
			return name, w.MAC, packet.MAC(n.config.Gateway.MAC)
		}
	}
	if n.host != nil && (s.In == config.HostInterface || s.In == "" && slices.Contains(n.uplink.own, s.Src)) {
		return config.HostInterface, n.host.mac, packet.MAC(n.config.Gateway.MAC)
	}
	if s.In != "" {
		return s.In, stranger, n.uplink.mac
	}
	return n.config.Uplink.Interface, stranger, n.uplink.mac
}

// whyRoute names the route that wins for the packet, those that lose, which of
// several next hops it takes, and the reason of its encapsulation with what then
// fits.
func (n *Node) whyRoute(s *sketch.Packet, ip packet.IPv4) []string {
	n.mu.Lock()
	mtu := n.uplink.mtu
	n.mu.Unlock()
	why := []string{}
	for i, r := range n.RIB.Candidates(s.Dst) {
		switch {
		case i > 0:
			why = append(why, "not by "+r.String())
		case r.Type != rib.Unicast:
			why = append(why, "by "+r.String())
		default:
			why = append(why, "by "+r.String()+": the longest prefix")
			if r.Multipath != nil {
				if r = n.Router.Way(ip); r == nil || r.Weight() == 0 {
					continue // it has just changed
				}
				why = append(why, "this flow by "+r.String()+", by the hash of addresses, protocol and ports")
			}
			why = append(why, n.WhyEncap(r))
			if r.Encap == rib.IPIP {
				why = append(why, fmt.Sprintf("mtu %d - %d for the outer header = %d", mtu, packet.IPv4MinLen, mtu-packet.IPv4MinLen))
			}
		}
	}
	return why
}
