package forwarder

import (
	"fmt"
	"net/netip"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/internal/ndproxy"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// What is to be done because of a packet, besides sending it.
const (
	Send        Action = iota + 1 // it is sent by Out, cut into Bytes frames: not appended, as it follows from Pass
	Answer                        // say Frame, by Out or by the route to whom it is for
	Tell                          // tell the source what became of the packet
	Relay                         // the same about a packet in a tunnel, of which About is what is known
	Ask                           // who is at Addr, by Out
	WaitNext                      // keep it until Addr has answered, at Out
	WaitRest                      // keep it until the rest of its datagram has come
	Learn                         // that Addr is at MAC, on the port the packet came by
	Lower                         // the path MTU of Tunnel to Bytes, as Addr has told
	SendProbe                     // note that a packet of Bytes finds out what the path of Tunnel carries
	Doubt                         // count an error about Tunnel that quotes what nobody has sent
	Guess                         // the same, and whoever says so may be guessing
	LeaveToHost                   // nothing: the host's own stack has its copy
)

// Action is what a consequence is.
type Action uint8

// Consequence is one thing to be done because of a packet. A packet that is merely
// forwarded has none.
type Consequence struct {
	Action    Action
	Made      Origin          // Answer: what it is
	Why       arpproxy.Answer // Answer to a message of ARP or Neighbor Discovery: why, or that there is none
	Asked     bool            // Answer: to an ARP request
	Solicited bool            // Answer: to a neighbour solicitation; Learn: by an advertisement that was asked for
	Override  bool            // Learn: by an advertisement, whatever is known
	ByND      byte            // Learn: the type of the message that says so; 0: ARP
	Meaning   Meaning         // Tell, Relay
	// Withheld is why a source is not told what it should be told; 0: it is.
	Withheld Withheld
	Create   bool          // Learn: even of somebody who is not known yet
	MAC      packet.MAC    // Learn, Answer to ARP and ND: of Addr
	Bytes    int           // Tell: what fits, or where in the packet is what is told of; Lower
	Addr     netip.Addr    // Tell, Relay: whom; Ask, WaitNext, Learn: of whom; Lower: who says so; Answer to ARP and ND: who speaks
	Out      *Port         // Answer, Ask, WaitNext; nil: by route
	Frame    *packet.Frame // Answer; nil: nothing is said
	About    packet.IP     // Relay
	Less     bool          // Lower: they told less than is believed of any path
	Tunnel   *Tunnel       // Relay, Lower, SendProbe, Doubt, Guess
}

var actionWords = [...]string{
	Send: "send", Answer: "answer", Tell: "tell", Relay: "relay", Ask: "ask", WaitNext: "wait", WaitRest: "wait", Learn: "learn", Lower: "lower_mtu", SendProbe: "probe", Doubt: "doubt", Guess: "doubt", LeaveToHost: "host",
}

// String is the word of the trace.
func (a Action) String() string { return actionWords[a] }

// Said is what words of a consequence are made of: fixed memory, that a record keeps.
type Said struct {
	Action   Action
	Made     Origin
	Meaning  Meaning
	Withheld Withheld
	MAC      packet.MAC
	Bytes    int32
	Addr     netip.Addr
	Port     string
}

// Said is what is said of the consequence.
func (c *Consequence) Said() Said {
	s := Said{c.Action, c.Made, c.Meaning, c.Withheld, c.MAC, int32(c.Bytes), c.Addr, ""}
	if c.Out != nil {
		s.Port = c.Out.Name
	}
	return s
}

// String is the consequence in words.
func (c Said) String() (text string) {
	switch c.Action {
	case Send:
		text = fmt.Sprintf("sent by %s in %d frames", c.Port, c.Bytes)
	case Answer:
		text = "answers: " + c.Made.String()
		if c.Port != "" {
			text += " by " + c.Port
		}
	case Tell, Relay:
		text = fmt.Sprintf("tells %s: %s", c.Addr, c.Meaning)
		if c.Meaning == verdict.MeansTooBig {
			text += fmt.Sprintf(", %d fit", c.Bytes)
		}
		if c.Meaning == verdict.MeansBadField || c.Meaning == verdict.MeansBadOption {
			text += fmt.Sprintf(" at byte %d", c.Bytes)
		}
	case Ask:
		text = fmt.Sprintf("asks who has %s by %s", c.Addr, c.Port)
	case WaitNext:
		text = fmt.Sprintf("waits for %s to answer at %s", c.Addr, c.Port)
	case WaitRest:
		text = "waits for the rest of its datagram"
	case Learn:
		text = fmt.Sprintf("learns that %s is at %s", c.Addr, c.MAC)
		if c.MAC == (packet.MAC{}) {
			text = fmt.Sprintf("hears of %s", c.Addr)
		}
	case Lower:
		text = fmt.Sprintf("lowers the tunnel's path MTU to %d, as %s says", c.Bytes, c.Addr)
	case SendProbe:
		text = fmt.Sprintf("probes the tunnel's path with %d bytes", c.Bytes)
	case Doubt, Guess:
		text = "not believed: it quotes no packet that was lately sent"
	case LeaveToHost:
		text = "left to the host's own stack"
	}
	if c.Withheld != NotWithheld {
		text += " (withheld: " + c.Withheld.String() + ")"
	}
	return text
}

// Sent is the consequence of a packet that has passed all steps.
func (p *Packet) Sent() Consequence {
	return Consequence{Action: Send, Out: p.Out, Bytes: 1 + len(p.extra)}
}

// add appends a consequence: at its place, as it has many fields.
func (p *Packet) add() *Consequence {
	if p.consequences == nil {
		p.consequences = new([4]Consequence)
	}
	c := &p.consequences[p.due]
	p.due++
	*c = Consequence{}
	return c
}

// Consequences are what is to be done because of the packet, in this order. They hold
// until it runs again.
func (p *Packet) Consequences() []Consequence {
	if p.due == 0 {
		return nil
	}
	return p.consequences[:p.due]
}

// Due is the packet's consequence of a kind; nil if there is none.
func (p *Packet) Due(a Action) *Consequence {
	for i := range p.due {
		if c := &p.consequences[i]; c.Action == a {
			return c
		}
	}
	return nil
}

// Compose makes of q the packet that a consequence of p asks for, and says from which
// step on it goes its way: TX, if it is to be sent as it is; nil if there is nothing to
// be sent.
func (x *Path) Compose(q, p *Packet, c *Consequence) (from *Step) {
	switch {
	case c.Action == Ask && c.Withheld == 0:
		x.BeginRequest(q, c.Out, c.Addr, packet.Broadcast)
		return TX
	case c.Action == Answer && c.Frame != nil:
		if c.Out != nil {
			q.BeginOwn(c.Frame, c.Made, c.Out)
			return TX
		}
		q.BeginAnswer(c.Frame, c.Made, p.In)
		return Route
	case (c.Action == Tell || c.Action == Relay) && c.Withheld == 0:
		q.BeginAnswer(x.icmpError(p, c), ICMPError, p.In)
		return Route
	}
	return nil
}

// BeginRequest makes p an ARP request or a neighbour solicitation by a port: to everybody,
// or to the one station whose address is to be confirmed.
func (x *Path) BeginRequest(p *Packet, out *Port, target netip.Addr, to packet.MAC) {
	if target.Is6() {
		p.BeginOwn(x.solicitation(out, target, to), NDSolicitation, out)
		return
	}
	p.BeginOwn(x.request(out, target, to), ARPRequest, out)
}

// BeginAnnouncement makes p say to everybody on a port's link where an address of the router's is.
func (x *Path) BeginAnnouncement(p *Packet, out *Port, address netip.Addr) {
	f, made := x.Borrow(), ARPRequest
	if address.Is6() {
		made = NDAdvertisement
		ndproxy.PutAnnouncement(f, address, out.MAC)
	} else {
		arpproxy.PutAnnouncement(f, address, out.MAC)
	}
	p.BeginOwn(f, made, out)
}

func (x *Path) request(out *Port, target netip.Addr, to packet.MAC) *packet.Frame {
	f := x.Borrow()
	f.Reset(packet.EthernetLen + packet.ARPLen)
	f.SetEthernet(to, out.MAC, packet.EtherTypeARP)
	m := packet.ARPMessage{
		Op:        packet.ARPRequest,
		SenderMAC: out.MAC, SenderIP: x.sourceFor(target), TargetIP: target,
	}
	m.Put(f.Payload())
	return f
}

// solicitation asks the target's group, or itself (RFC 4861 7.2.2, 7.3.3), from an address
// of the port's own.
func (x *Path) solicitation(out *Port, target netip.Addr, to packet.MAC) *packet.Frame {
	f := x.Borrow()
	m := packet.ND{Type: packet.ICMPv6NeighborSolicitation, Src: out.LinkLocal, Dst: target, Target: target, MAC: out.MAC}
	if !m.Src.IsValid() {
		m.Src = x.sourceFor(target)
	}
	if to == packet.Broadcast {
		m.Dst, to = packet.SolicitedNode(target), packet.MAC{}
	}
	packet.PutND(f, &m, out.MAC, to)
	return f
}
