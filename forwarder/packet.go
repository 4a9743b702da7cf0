package forwarder

import (
	"net/netip"

	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// Names by which those outside of this module speak of what the path works with.
type (
	Frame    = packet.Frame
	MAC      = packet.MAC
	IP       = packet.IP
	IPv4     = packet.IPv4
	Neighbor = neigh.Neighbor
	Verdict  = verdict.Verdict
	Reason   = verdict.Reason
	Meaning  = verdict.Meaning
)

// FrameOf copies bytes that start at the Ethernet header into a new frame.
func FrameOf(b []byte) *Frame { return packet.FrameOf(b) }

// Origin says who made a packet.
type Origin uint8

const (
	Received   Origin = iota // read from a port
	ARPRequest               // the rest is made by the router
	ARPReply
	EchoReply
	ICMPError
	NDSolicitation
	NDAdvertisement
	numOrigins
)

// NumOrigins counts Received too.
const NumOrigins = int(numOrigins)

var originWords = [NumOrigins]string{
	Received: "received", ARPRequest: "arp_request", ARPReply: "arp_reply", EchoReply: "echo_reply", ICMPError: "icmp_error",
	NDSolicitation: "nd_solicitation", NDAdvertisement: "nd_advertisement",
}

// String is the word of the metrics.
func (o Origin) String() string { return originWords[o] }

// Packet is a frame on its way, with what the path knows of it.
type Packet struct {
	known
	extra []*packet.Frame // besides Frame, from the step on that cut it

	// Valid as far as the steps say so, and not cleared for the next packet.
	note         string          // once arp, check, decap, nd or local took or refused it: why; a constant
	tells        Meaning         // once local, or check, refused it for its headers: what its source is told of that
	why          string          // once encap cut a superframe: why here
	consequences *[4]Consequence // of them, the first due; nil: it has had none
}

// known is what there is to know of a packet, all of it cleared for the next one.
type known struct {
	Frame    *packet.Frame // as the last step left it; of several, the first
	In       *Port         // it came by; nil: the router made it
	IP       packet.IP     // from check on: in Frame, less the outer header that encap puts in front
	Route    *rib.Route    // from route on
	toEnd    *rib.Route    // from mtu on: to the other end of the tunnel that Route puts it into; nil: there is none
	Out      *Port         // from route on
	NextHop  netip.Addr    // from route on; through a tunnel, from encap on that of the outer packet
	Neighbor *Neighbor     // from neigh on
	From     *Tunnel       // from decap on: that it came out of
	Into     *Tunnel       // from encap on
	Watch    Observer      // nil: nobody wants to know what the steps do
	Edited   StepSet       // the steps that have changed it so far
	Origin   Origin
	Cut      Cut   // from encap on
	six      bool  // from arp on: it is IPv6
	lies     bool  // it is too short, or its offload header speaks of another frame (Frame.Admit)
	Waited   bool  // from neigh on: for its next hop, which has answered
	lowered  bool  // from ttl on: the TTL was
	outer    uint8 // from encap on: bytes of outer header in front of IP
	at       uint8 // the step at which its way ended, or at which it waits
	due      uint8 // consequences
	pieces   int32 // from mtu on: how many it was cut into; 0: none
	limit    int32 // from mtu on: bytes of IP that fit through the next link; once local refused it: where in the packet is what it cannot follow
	size     int32 // from mtu on: bytes of IP that came there, of the largest segment
}

// Cut says where a superframe that goes into a tunnel is cut.
type Cut uint8

const (
	NoCut       Cut = iota // it is no superframe
	CutByKernel            // it leaves whole
	CutHere
	numCuts
)

// NumCuts counts NoCut too.
const NumCuts = int(numCuts)

var cutWords = [NumCuts]string{NoCut: "none", CutByKernel: "kernel", CutHere: "router"}

// String is the word of the metrics.
func (c Cut) String() string { return cutWords[c] }

// Observer is told what each step did, while the packet is as the step left it. stop says that
// a packet which goes on is to wait before the next step.
type Observer interface {
	Judged(p *Packet, s *Step, v Verdict) (stop bool)
}

// Begin makes p a frame that came in by a port, and says whether what is said of its
// offloads is true of it.
func (p *Packet) Begin(f *packet.Frame, in *Port) (honest bool) {
	honest = f.Admit()
	p.known = known{} // and not a value with three fields, which would be made elsewhere and copied
	p.Frame, p.In, p.lies = f, in, !honest
	p.extra = p.extra[:0]
	return honest
}

// BeginOwn makes p a frame of the router's own, which is sent by out as it is.
func (p *Packet) BeginOwn(f *packet.Frame, o Origin, out *Port) {
	p.known = known{Frame: f, Origin: o, Out: out}
	p.extra = p.extra[:0]
}

// BeginAnswer makes p a packet of the router's own that goes through the steps from Route
// on. Who is on the link by which a packet came, and nowhere else, is told so by.
func (p *Packet) BeginAnswer(f *packet.Frame, o Origin, by *Port) {
	p.BeginOwn(f, o, by)
	p.setIP(f.Payload())
	f.SetEthernet(packet.MAC{}, packet.MAC{}, etherTypeOf(p.IP)) // to be written by neigh
}

// Replace goes on with the whole datagram in place of a fragment of it.
func (p *Packet) Replace(whole *packet.Frame) {
	p.Frame = whole
	p.setIP(whole.Payload())
}

func (p *Packet) setIP(ip packet.IP) { p.IP, p.six = ip, ip.Version() == 6 }

// Keep copies the packet for as long as it has to wait: its buffers are the reader's
// again as soon as the batch is written.
func (p *Packet) Keep() Packet {
	q := Packet{known: p.known, note: p.note, why: p.why}
	q.due, q.Watch = 0, nil
	q.Frame = p.Frame.Clone()
	q.IP = packet.IP(q.Frame.Payload())[q.outer:]
	for _, f := range p.extra {
		q.extra = append(q.extra, f.Clone())
	}
	return q
}

// Family tells IPv4 from IPv6: an index.
type Family uint8

const (
	FamilyIPv4 Family = iota
	FamilyIPv6
	numFamilies
)

// NumFamilies is the number of families.
const NumFamilies = int(numFamilies)

var familyWords = [NumFamilies]string{"ipv4", "ipv6"}

// String is the word of the metrics.
func (f Family) String() string { return familyWords[f] }

// FamilyOf is that of an address.
func FamilyOf(a netip.Addr) Family {
	if a.Is6() {
		return FamilyIPv6
	}
	return FamilyIPv4
}

// etherTypeOf is the Ethernet type of a packet.
func etherTypeOf(ip packet.IP) uint16 {
	if ip.Version() == 6 {
		return packet.EtherTypeIPv6
	}
	return packet.EtherTypeIPv4
}

// headerLen is the length in bytes of the shortest header of a packet's family.
func headerLen(ip packet.IP) int {
	if ip.Version() == 6 {
		return packet.IPv6MinLen
	}
	return packet.IPv4MinLen
}

// Because notes why a packet that waits is refused: a constant.
func (p *Packet) Because(why string) { p.note = why }

// At is the step at which the packet's way ended, or at which it waits.
func (p *Packet) At() *Step { return steps[p.at] }

// Extra is what the packet was cut into besides Frame.
func (p *Packet) Extra() []*packet.Frame { return p.extra }

// Pieces is into how many fragments mtu cut the packet; 0: it did not.
func (p *Packet) Pieces() int { return int(p.pieces) }

// Forget lets go of the frames that a packet was cut into.
func (p *Packet) Forget() { p.extra = nil }
