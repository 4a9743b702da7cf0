package forwarder

import (
	"net/netip"

	"github.com/vrouter/vrouter/internal/ipv6"
	"github.com/vrouter/vrouter/internal/packet"
)

// MinPathMTU in bytes: every link carries that much (RFC 791 3.2, RFC 1191 3).
// Settings may say that a path carries more.
const MinPathMTU = 68

// leastMTU in bytes is what every link on the way to an end carries (RFC 8200 5).
func leastMTU(end netip.Addr) int {
	if end.Is6() {
		return ipv6.MinMTU
	}
	return MinPathMTU
}

// Tunnel is IP-in-IP and VXLAN with one peer, in both directions, as it is at one moment. It
// never changes.
type Tunnel struct {
	Peer        netip.Addr
	MAC         packet.MAC // of its end of VXLAN
	Accept      bool       // IP-in-IP that comes from there is unpacked
	AcceptVXLAN bool       // the same of VXLAN
	Sent        bool       // something went there
	PathMTU     int        // bytes of the outer packet that the path carries, as routers on the way have told; 0: what the uplink does
	Less        bool       // they told less than is believed of any path: routers are to cut what is longer
	Probe       Probe
	Owner       any // what whoever runs the path has to do with it
}

// Probe is the state of one that finds out whether a path carries more by now.
type Probe uint8

const (
	NoProbe   Probe = iota
	ProbeDue        // the next packet that is longer goes
	ProbeSent       // one has gone
)

// limit is the largest outer packet that a tunnel takes, if the link carries mtu bytes.
func (t *Tunnel) limit(mtu int) int {
	if t.PathMTU != 0 {
		return min(mtu, t.PathMTU)
	}
	return mtu
}

// cuts says whether routers on the way are to cut an outer packet of a length, though
// its sender would rather hear that it is too long: of a path that carries less than is
// believed he would hear nothing. A probe is to be heard of.
func (t *Tunnel) cuts(length int) bool { return t != nil && t.Less && length <= t.PathMTU }
