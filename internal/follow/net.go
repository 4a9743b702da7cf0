package follow

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/vrouter/vrouter/internal/capture"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/walk"
)

// Net asks all routers at once who they are, so that packets can be taken along over them. A host whose router
// does not answer is in it, with the addresses that its source names.
func Net(ctx context.Context, sources []Source) *walk.Net {
	hosts, around := make([]*walk.Host, len(sources)), make([][]netip.Addr, len(sources))
	var group sync.WaitGroup
	for i, s := range sources {
		group.Go(func() {
			h := &walk.Host{Name: s.Name, Addresses: s.Addresses}
			if h.Err = s.describe(ctx, h, &around[i]); h.Err != nil {
				for name, list := range s.Workloads {
					h.Ports = append(h.Ports, walk.Port{Name: name, Addresses: list})
				}
			}
			hosts[i] = h
		})
	}
	group.Wait()
	n := &walk.Net{Hosts: hosts}
	for _, list := range around {
		n.Others = append(n.Others, list...)
	}
	n.Others = slices.DeleteFunc(n.Others, func(a netip.Addr) bool {
		return slices.ContainsFunc(hosts, func(h *walk.Host) bool { return slices.Contains(h.Addresses, a) })
	})
	return n
}

// describe fills in what a router says of itself, and who is there besides.
func (s *Source) describe(ctx context.Context, h *walk.Host, others *[]netip.Addr) error {
	var v control.Version
	var ports []control.Port
	var neighbors []control.Neighbor
	var workloads []control.Workload
	if err := s.Client.Get(ctx, "/v1/version", &v); err != nil {
		return err
	}
	if err := s.Client.Get(ctx, "/v1/ports", &ports); err != nil {
		return err
	}
	if err := s.Client.Get(ctx, "/v1/neighbors", &neighbors); err != nil {
		return err
	}
	if err := s.Client.Get(ctx, "/v1/workloads", &workloads); err != nil {
		return err
	}
	h.Name, h.Addresses = v.Node, v.Addresses
	uplinks := map[string]bool{}
	for _, p := range ports {
		port, err := portOf(&p)
		if err != nil {
			return err
		}
		for _, w := range workloads {
			if w.Name == p.Port {
				port.Addresses = addressesOf(w.Addresses)
			}
		}
		h.Ports = append(h.Ports, port)
		uplinks[p.Port] = port.Uplink
	}
	for _, n := range neighbors {
		if a, err := netip.ParseAddr(n.Address); err == nil && uplinks[n.Port] && n.MAC != "" && n.State != "failed" {
			*others = append(*others, a)
		}
	}
	h.Ask = s.ask
	return nil
}

func portOf(p *control.Port) (walk.Port, error) {
	port := walk.Port{Name: p.Port, Uplink: p.Kind == "uplink", MTU: p.MTU}
	mac, err := net.ParseMAC(p.MAC)
	if err != nil || len(mac) != len(port.MAC) {
		return port, fmt.Errorf("port %s has the hardware address %q", p.Port, p.MAC)
	}
	port.MAC = packet.MAC(mac)
	return port, nil
}

// addressesOf are those of ADDRESS/LENGTH.
func addressesOf(prefixes []string) (list []netip.Addr) {
	for _, text := range prefixes {
		if p, err := netip.ParsePrefix(text); err == nil {
			list = append(list, p.Addr())
		}
	}
	return list
}

func (s *Source) ask(ctx context.Context, q walk.Question) (*walk.Answer, error) {
	e := control.Explain{Packet: q.Line, In: q.In, Frames: true}
	if q.Line == "" {
		e.Captured = &capture.Packet{Frame: q.Frame, IP: q.IP, Exact: true}
	}
	var x control.Explanation
	if err := s.Client.Post(ctx, "/v1/explain", e, &x); err != nil {
		return nil, err
	}
	return &walk.Answer{Packets: x.Packets, Why: x.Why, Sent: x.Sent}, nil
}
