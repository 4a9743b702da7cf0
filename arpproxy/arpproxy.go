// Package arpproxy decides what a router answers to an ARP request on a
// workload's port. It is a pure function: request and facts in, answer out.
//
// A workload's whole world is one link route to the gateway 169.254.1.1, which
// no interface has. Linux answers for it by proxy_arp, if a route to it happens
// to exist; here the gateway is an address that the router owns, and answers for
// at once, whatever routes there are.
package arpproxy

import (
	"net/netip"

	"github.com/vrouter/vrouter/internal/packet"
)

// Names by which those outside of this module speak of what is asked and answered.
type (
	Message = packet.ARPMessage
	Frame   = packet.Frame
	MAC     = packet.MAC
)

// Request is the operation of a message that asks.
const Request = packet.ARPRequest

// Parse reads the payload of an ARP frame; not ok if it is no well-formed message.
func Parse(b []byte) (Message, bool) { return packet.ParseARP(b) }

// Answer is why a request is answered, or that it is not. Neighbor Discovery has the same ones.
type Answer uint8

const (
	Ignored  Answer = iota // silence
	Gateway                // for the gateway address
	Own                    // for an address of the host
	Proxy                  // for an address behind another port (RFC 1027)
	Conflict               // the sender claims an address of the router's own, which is defended (RFC 5227 2.4)
	numAnswers
)

// NumAnswers is the number of answers.
const NumAnswers = int(numAnswers)

var words = [NumAnswers]string{Ignored: "ignored", Gateway: "gateway", Own: "own", Proxy: "proxy", Conflict: "conflict"}

// String is the word of the metrics.
func (a Answer) String() string { return words[a] }

// Facts are what the answer depends on besides the request.
type Facts struct {
	Gateway netip.Addr
	Own     bool // the target is an address of the host
	Claimed bool // another station says that it has an address of the router's
	Leaves  bool // a unicast route to the target leaves by another port than the asking one
}

// Decide says how to answer a well-formed message.
func Decide(m *Message, f Facts) Answer {
	return f.Decide(m.Op == packet.ARPRequest, m.TargetIP, m.IsProbe() || m.TargetIP == m.SenderIP)
}

// Decide says how to answer who asks for a target, or says that he is there; alone: who
// asks for what nobody else has, an address that he is going to have, or has.
//
// A claim to an address of the router's own, be it a request or a reply, gets no
// reply: the router stays who it is, and says so to all now and then.
// A probe, whose sender has no address yet, asks whether anybody owns the
// target: only an owner may answer (RFC 5227 2.1.1). For the rest a proxy reply
// is right if the packet that follows could be forwarded, and leaves by another
// port (RFC 1027 2.3, as Linux does it); so a workload never hears a claim to
// its own address or to one on its own link.
func (f Facts) Decide(asks bool, target netip.Addr, alone bool) Answer {
	switch {
	case f.Claimed:
		return Conflict
	case !asks:
		return Ignored
	case target == f.Gateway:
		return Gateway
	case f.Own:
		return Own
	case alone, !f.Leaves:
		return Ignored
	}
	return Proxy
}

// PutReply writes the answer to m as an Ethernet frame into f: unicast, from and
// about the hardware address mac.
func PutReply(f *Frame, m *Message, mac MAC) {
	f.Reset(packet.EthernetLen + packet.ARPLen)
	f.SetEthernet(m.SenderMAC, mac, packet.EtherTypeARP)
	reply := packet.ARPMessage{
		Op:        packet.ARPReply,
		SenderMAC: mac, SenderIP: m.TargetIP,
		TargetMAC: m.SenderMAC, TargetIP: m.SenderIP,
	}
	reply.Put(f.Payload())
}

// PutAnnouncement writes a defence of an address into f, as RFC 5227 2.4 has it: one
// announcement to everybody on the link that the address is at the hardware address mac.
func PutAnnouncement(f *Frame, address netip.Addr, mac MAC) {
	f.Reset(packet.EthernetLen + packet.ARPLen)
	f.SetEthernet(packet.Broadcast, mac, packet.EtherTypeARP)
	m := packet.ARPMessage{Op: packet.ARPRequest, SenderMAC: mac, SenderIP: address, TargetIP: address}
	m.Put(f.Payload())
}
