package walk

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
)

// slack is how many bytes more than its MTU a port receives: Linux leaves room for a VLAN's tag.
const slack = 4

// sent follows a frame that a host sends, or would send as soon as its next hop has
// answered; on says that somebody has it.
func (w *walker) sent(h *Host, s trace.Sent, part string) (ends []End, on bool, err error) {
	p := h.port(s.Port)
	if p == nil { // it has just gone
		return []End{{Outcome: Left, Host: h.Name, Port: s.Port}}, false, nil
	}
	f := packet.FrameOf(s.Frame)
	ip := packet.IP(f.Payload())
	if !p.Uplink {
		e := End{Outcome: Delivered, Host: h.Name, Port: p.Name, TTL: int(ip.HopLimit()), frame: s.Frame}
		if !slices.Contains(p.Addresses, ip.Dst()) {
			e.Outcome, e.Detail = Left, fmt.Sprintf("%s is not %s's own address: what it does with the packet is not known", ip.Dst(), p.Name)
		}
		return []End{e}, true, nil
	}
	to, in, end := w.receiver(h, p, f, s)
	if end != nil {
		return []End{*end}, to != nil, nil
	}
	hop := Hop{Part: part, From: h.Name}
	if to.Err == nil && !(slices.Contains(to.Addresses, s.NextHop) || s.NextHop == netip.Addr{}) {
		hop.Via = s.NextHop.String()
	}
	ends, err = w.ask(to, Question{In: in.Name, Frame: f.Bytes()}, hop)
	return ends, true, err
}

// receiver is the host that a frame comes to, by an uplink, and how the frame is when it
// comes there; or how its way ends before.
func (w *walker) receiver(h *Host, p *Port, f *packet.Frame, s trace.Sent) (*Host, *Port, *End) {
	ip := packet.IP(f.Payload())
	end := &End{Outcome: Lost, Host: h.Name, Port: p.Name, Next: s.NextHop.String()}
	next := w.owner(s.NextHop, h)
	to, in := next, (*Port)(nil)
	if to != nil {
		in = to.uplink()
	}
	if !s.Waits {
		if at, port := w.station(f.DstMAC(), h); at != nil {
			to, in = at, port
		} else if to != nil && to.Err == nil {
			end.Reason, end.Next = StaleNeighbor, to.Name
			end.Detail = fmt.Sprintf("%s takes %s for %s, but %s has %s", h.Name, s.NextHop, f.DstMAC(), to.Name, in.MAC)
			return to, nil, end
		}
	}
	if to == nil {
		if to = w.owner(ip.Dst(), h); to == nil || s.Waits && !w.reachable(s.NextHop) {
			return nil, nil, unknown(end, s)
		}
		// Somebody between the subnets takes it along.
		if in = to.uplink(); ip.HopLimit() <= 1 {
			end.Reason, end.Detail = "ttl_exceeded", fmt.Sprintf("its time to live runs out at %s, which is no vrouter", s.NextHop)
			return nil, nil, end
		}
		ip.SetHopLimit(ip.HopLimit() - 1)
	}
	if to.Err != nil {
		end.Reason, end.Next, end.Detail = NoRouter, to.Name, fmt.Sprintf("the router of %s does not answer: %v", to.Name, to.Err)
		return to, nil, end
	}
	if n := ip.Len(); n > in.MTU+slack {
		end.Reason, end.Next = CableMTU, to.Name
		end.Detail = fmt.Sprintf("%s of %s takes %d bytes, %s of %s sends %d", in.Name, to.Name, in.MTU, p.Name, h.Name, n)
		return to, nil, end
	}
	f.SetEthernet(in.MAC, p.MAC, f.EtherType())
	return to, in, nil
}

// unknown is the end of what goes to somebody who cannot be asked.
func unknown(end *End, s trace.Sent) *End {
	end.Outcome, end.Detail = Left, fmt.Sprintf("%s is no vrouter that was asked: what it does with the packet is not known", s.NextHop)
	if s.Waits {
		end.Outcome, end.Reason = trace.Waits, NobodyThere
		end.Detail = fmt.Sprintf("nobody has answered for %s, and no host that was asked has that address", s.NextHop)
	}
	return end
}

// owner is the host that has an address, other than h.
func (w *walker) owner(a netip.Addr, h *Host) *Host {
	for _, o := range w.Hosts {
		if o != h && slices.Contains(o.Addresses, a) {
			return o
		}
	}
	return nil
}

// reachable says whether somebody between the hosts has an address, as far as is known.
func (w *walker) reachable(a netip.Addr) bool { return slices.Contains(w.Others, a) }

// station is the host whose uplink has a hardware address, other than h.
func (w *walker) station(mac packet.MAC, h *Host) (*Host, *Port) {
	for _, o := range w.Hosts {
		for i := range o.Ports {
			if p := &o.Ports[i]; o != h && p.Uplink && p.MAC == mac {
				return o, p
			}
		}
	}
	return nil, nil
}
