package node

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/capture"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/sketch"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/rib"
)

// stranger is the station that sends a packet without one to the uplink.
var stranger = packet.MAC{0x02, 0, 0, 0, 0, 0x01}

// Explained is what the router would do with a packet.
type Explained struct {
	Packets []trace.Packet // it, and those that the router would send because of it
	Why     []string       // it takes the way it takes
	Sent    []trace.Sent   // the frames that leave
}

// Explain says what the router would do with a packet described in one line.
func (n *Node) Explain(line string) (*Explained, error) {
	s, err := sketch.Parse(line)
	if err != nil {
		return nil, err
	}
	d := n.newDryRun(s.In)
	e, err := d.entrance(s.Src)
	if err != nil {
		return nil, err
	}
	f, err := s.Frame(e.src, e.dst)
	if err != nil {
		return nil, err
	}
	return d.explain(e, f)
}

// ExplainCaptured is the same for a packet that was kept.
func (n *Node) ExplainCaptured(c *capture.Packet, in string) (*Explained, error) {
	d := n.newDryRun(in)
	e, f, err := d.enter(c)
	if err != nil {
		return nil, err
	}
	x, err := d.explain(e, f)
	if err != nil || len(c.Frame) < packet.EthernetLen {
		return x, err
	}
	switch was := packet.MAC(c.Frame); {
	case was == e.dst || !was.IsUnicast():
	case c.Exact:
		x.Why = append(x.Why, fmt.Sprintf("the frame is for %s; the IP packet alone, without the first %d bytes, would be taken as one for this port", was, packet.EthernetLen))
	default:
		x.Why = append(x.Why, fmt.Sprintf("the frame was for %s; it is taken as one for this port", was))
	}
	return x, nil
}

// Addresses are all that the host has.
func (n *Node) Addresses() []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.uplink == nil {
		return nil
	}
	return slices.Clone(n.uplink.own)
}

// dryRun takes packets through the router as it is at one moment.
type dryRun struct {
	*engine.DryRun
	node      *Node
	in        string // the port by which all come in; "": as their source says
	entrances []entrance
}

// entrance is a port by which a packet may come in, and the stations that carry it
// there.
type entrance struct {
	port     string
	kind     forwarder.Kind
	src, dst packet.MAC
	mtu      int
	sources  []netip.Addr // the addresses behind it
}

func (n *Node) newDryRun(in string) *dryRun {
	d := &dryRun{DryRun: n.Router.DryRun(), node: n, in: in}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range d.Ports() {
		e := entrance{port: p.Name, kind: p.Kind, src: stranger, dst: p.MAC, mtu: p.MTU}
		switch {
		case p.Kind == forwarder.Workload:
			e.sources = p.Addresses
			if w := n.workloads[p.Name]; w != nil {
				e.src = w.mac
			}
		case p.Kind == forwarder.Host && n.host != nil:
			e.src, e.sources = n.host.mac, n.uplink.own
		}
		d.entrances = append(d.entrances, e)
	}
	return d
}

// entrance is where a packet from src comes in: by the port that was asked for, else
// by that of the workload or host with this address, else by the uplink.
func (d *dryRun) entrance(src netip.Addr) (*entrance, error) {
	var uplink *entrance
	for i := range d.entrances {
		e := &d.entrances[i]
		if d.in == e.port || d.in == "" && slices.Contains(e.sources, src) {
			return e, nil
		}
		if e.kind == forwarder.Uplink {
			uplink = e
		}
	}
	if d.in != "" {
		return nil, fmt.Errorf("no port %q; `vrouter show ports` lists them", d.in)
	}
	if uplink == nil {
		return nil, fmt.Errorf("the uplink is gone, and %s is behind no other port; name one with `in PORT`", src)
	}
	return uplink, nil
}

// enter makes a frame of a captured packet, and says where it comes in. What of it
// was not kept is zeros. A captured frame for another station is taken as one for the
// port: a capture of another machine, or of another day, has other MAC addresses.
func (d *dryRun) enter(c *capture.Packet) (*entrance, *packet.Frame, error) {
	bytes := c.Frame
	if bytes == nil {
		bytes = append(make([]byte, packet.EthernetLen, packet.EthernetLen+len(c.IP)), c.IP...)
	}
	if missing := c.Length - len(c.Frame) - len(c.IP); missing > 0 {
		bytes = append(slices.Clone(bytes), make([]byte, min(missing, packet.IPv4MaxLen))...)
	}
	f := packet.FrameOf(bytes[:min(len(bytes), packet.EthernetLen+packet.IPv4MaxLen)])
	e, err := d.entrance(source(f))
	if err != nil {
		return nil, nil, err
	}
	switch {
	case c.Frame == nil:
		f.SetEthernet(e.dst, e.src, etherType(c.IP))
	case f.Len >= packet.EthernetLen && !f.DstMAC().IsGroup() && !c.Exact: // zeros: its link does not say whom it was for
		f.SetEthernet(e.dst, f.SrcMAC(), f.EtherType())
	}
	return e, f, nil
}

// etherType of a bare IP packet, by its version.
func etherType(ip []byte) uint16 {
	if len(ip) > 0 && ip[0]>>4 == 6 {
		return packet.EtherTypeIPv6
	}
	return packet.EtherTypeIPv4
}

// source is the sender's address of IP or ARP; invalid if there is none.
func source(f *packet.Frame) netip.Addr {
	if f.Len < packet.EthernetLen+packet.IPv4MinLen {
		return netip.Addr{}
	}
	if f.EtherType() == packet.EtherTypeARP {
		m, _ := packet.ParseARP(f.Payload())
		return m.SenderIP
	}
	switch ip := packet.IP(f.Payload()); {
	case ip.Version() == 4, ip.Version() == 6 && len(ip) >= packet.IPv6MinLen:
		return ip.Src()
	}
	return netip.Addr{}
}

func (d *dryRun) explain(e *entrance, f *packet.Frame) (*Explained, error) {
	before := f.Clone()
	records, err := d.Explain(e.port, f)
	if err != nil {
		return nil, err
	}
	x := &Explained{Why: []string{}, Sent: d.Sent()}
	for _, r := range records {
		p := r.View(d.node.Config().Node)
		r.AddFrames(&p)
		x.Packets = append(x.Packets, p)
	}
	if ip := ipOf(before); ip != nil {
		x.Why = d.why(x.Packets[0].Dst, ip)
	}
	return x, nil
}

// ipOf is the packet in a frame, nil if there is none with a whole header.
func ipOf(f *packet.Frame) packet.IP {
	least := packet.EthernetLen + packet.IPv4MinLen
	switch {
	case f.Len >= packet.EthernetLen && f.EtherType() == packet.EtherTypeIPv6:
		least = packet.EthernetLen + packet.IPv6MinLen
	case f.Len < packet.EthernetLen || f.EtherType() != packet.EtherTypeIPv4:
		return nil
	}
	if f.Len < least {
		return nil
	}
	return packet.IP(f.Payload())
}

// why names the route that wins for a packet to an address, those that lose and why,
// which of several next hops it takes, and the reason of its encapsulation with
// what then fits.
func (d *dryRun) why(to string, ip packet.IP) []string {
	dst, err := netip.ParseAddr(to)
	if err != nil {
		return []string{}
	}
	n, why := d.node, []string{}
	var won *rib.Route
	for i, r := range n.RIB.Candidates(dst) {
		switch {
		case i > 0:
			why = append(why, fmt.Sprintf("not by %s: %s", r, r.LosesTo(won)))
			continue
		case r.Type != rib.Unicast:
			why = append(why, fmt.Sprintf("by %s: the longest prefix (RFC 1812 5.2.4.3)", r))
		default:
			why = append(why, fmt.Sprintf("by %s: the longest prefix (RFC 1812 5.2.4.3)", r))
			why = append(why, d.whyNextHop(r, ip)...)
		}
		won = r
	}
	if won == nil {
		why = append(why, fmt.Sprintf("none of %d routes contains %s", n.RIB.FIB().Size(), dst))
	}
	return why
}

func (d *dryRun) whyNextHop(r *rib.Route, ip packet.IP) (why []string) {
	n := d.node
	if r.Multipath != nil {
		if r = n.Router.RouteOf(ip); r == nil || r.Weight() == 0 {
			return nil // it has just changed
		}
		why = append(why, "this flow by "+r.String()+", by the hash of addresses, protocol and ports")
	}
	why = append(why, n.WhyEncap(r))
	if r.Encap != rib.None {
		why = append(why, d.whyTunnel(r)...)
	}
	if r.MTU != 0 {
		why = append(why, fmt.Sprintf("mtu %d: the route says so", r.MTU))
	}
	return why
}

// whyTunnel says where the outer header comes from, how it gets to the other end, and what fits
// behind it.
func (d *dryRun) whyTunnel(r *rib.Route) (why []string) {
	if source := d.node.Config().IPIP.Source.Of(r.Via); source.IsValid() {
		why = append(why, fmt.Sprintf("from %s: ipip.source says so", source))
	}
	if cut := d.node.CutBecause(r); cut == "" {
		why = append(why, "superframes leave whole, and the kernel cuts them")
	} else {
		why = append(why, "superframes are cut here: "+cut)
	}
	end := d.node.RIB.FIB().Lookup(r.Via)
	if end == nil {
		return append(why, fmt.Sprintf("none of %d routes contains %s, the tunnel's other end: the host itself has no way there by the uplink", d.node.RIB.FIB().Size(), r.Via))
	}
	if end.Via.IsValid() {
		why = append(why, fmt.Sprintf("to the tunnel's other end by %s", end))
	}
	for _, e := range d.entrances {
		if e.kind != forwarder.Uplink {
			continue
		}
		mtu := e.mtu
		if end.MTU != 0 {
			mtu = min(mtu, int(end.MTU))
		}
		outer := forwarder.OuterLen(r.Encap, r.Via)
		why = append(why, fmt.Sprintf("mtu %d - %d for the outer header = %d", mtu, outer, mtu-outer))
	}
	return why
}
