// Package ndproxy decides what a router answers to a message of Neighbor Discovery on a
// workload's port. It is a pure function: message and facts in, answer out. It is to IPv6
// what arpproxy is to IPv4.
//
// A workload's whole world is one default route to the gateway fe80::ecee:eeff:feee:eeee,
// which no interface has: there is no kernel at the router's end of a workload's port that
// would answer for it.
package ndproxy

import (
	"net/netip"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/internal/packet"
)

// Decide says how to answer a well-formed message.
//
// A claim to an address of the router's own, be it a solicitation or an advertisement,
// gets no answer: the router stays who it is, and says so to all now and then.
// A probe, whose sender has no address yet, asks whether anybody owns the
// target: only an owner may answer (RFC 4862 5.4.3). For the rest a proxy's answer
// is right if the packet that follows could be forwarded, and leaves by another
// port (RFC 4861 7.2.8, as Linux does it); so a workload never hears a claim to
// its own address or to one on its own link, be it link-local or not.
func Decide(m *packet.ND, f arpproxy.Facts) arpproxy.Answer {
	return f.Decide(m.Type == packet.ICMPv6NeighborSolicitation, m.Target, m.IsProbe() || m.Target == m.Src || m.Target.IsLinkLocalUnicast())
}

// PutReply writes the answer to m, which to sent, as an Ethernet frame into f, from and
// about the hardware address mac. An owner speaks as the address itself, a proxy by the
// router's own, and lets any other answer stand (RFC 4861 7.2.8). To who has no address
// yet it goes by way of all (7.2.4).
func PutReply(f *packet.Frame, m *packet.ND, to packet.MAC, why arpproxy.Answer, own netip.Addr, mac packet.MAC) {
	reply := packet.ND{
		Type: packet.ICMPv6NeighborAdvertisement, Src: m.Target, Dst: m.Src, Target: m.Target, MAC: mac,
		Router: true, Solicited: true, Override: true,
	}
	if why == arpproxy.Proxy {
		reply.Src, reply.Override = own, false
	}
	if m.IsProbe() {
		reply.Dst, reply.Solicited, to = packet.AllNodes, false, packet.MAC{}
	}
	packet.PutND(f, &reply, mac, to)
}

// PutAnnouncement writes a defence of an address into f: one advertisement to everybody
// on the link that the address is at the hardware address mac (RFC 4861 7.2.6).
func PutAnnouncement(f *packet.Frame, address netip.Addr, mac packet.MAC) {
	m := packet.ND{
		Type: packet.ICMPv6NeighborAdvertisement, Src: address, Dst: packet.AllNodes, Target: address, MAC: mac,
		Router: true, Override: true,
	}
	packet.PutND(f, &m, mac, packet.MAC{})
}
