package cni

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"log/slog"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/host"
)

// patience is how long the router may take for one request.
const patience = 30 * time.Second

// router is the one that runs on this host, or the one that did.
type router struct {
	*control.Client
	socket string
}

func newRouter(socket string) *router { return &router{control.NewClient(socket), socket} }

func inTime() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

func (r *router) get(path string, v any) error {
	ctx, cancel := inTime()
	defer cancel()
	return r.Get(ctx, path, v)
}

func (r *router) post(path string, q, v any) error {
	ctx, cancel := inTime()
	defer cancel()
	return r.Post(ctx, path, q, v)
}

func (r *router) answers() error { return r.get("/v1/version", &control.Version{}) }

func (r *router) add(w control.NewWorkload) (*control.Workload, error) {
	var made control.Workload
	return &made, r.post("/v1/workloads", w, &made)
}

// gateway is what the router is to the containers.
func (r *router) gateway() (*config.Gateway, error) {
	var v control.Version
	if err := r.get("/v1/version", &v); err != nil {
		return nil, err
	}
	four, err := netip.ParseAddr(v.Gateway)
	six, err6 := netip.ParseAddr(v.Gateway6)
	return &config.Gateway{Address: four, Address6: six}, errors.Join(err, err6)
}

// containers are those of a network; where no router answers, those that the last one has left.
func (r *router) containers(network string) (all []control.Workload, err error) {
	var list []control.Workload
	switch err := r.get("/v1/workloads", &list); {
	case err != nil && isAnswer(err):
		return nil, err
	case err != nil:
		return r.remains(network)
	}
	for _, w := range list {
		if w.Container != nil && w.Container.Network == network {
			all = append(all, w)
		}
	}
	return all, nil
}

func isAnswer(err error) bool {
	var f *control.Failure
	return errors.As(err, &f)
}

// remove takes an interface away, if it is there.
func (r *router) remove(network, id, ifname string) error {
	list, err := r.containers(network)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(w control.Workload) bool { return w.Container.ID == id && w.Interface == ifname })
	if i < 0 {
		return nil
	}
	ctx, cancel := inTime()
	defer cancel()
	err = r.Delete(ctx, "/v1/workloads/"+url.PathEscape(list[i].Name))
	if err == nil || isAnswer(err) {
		return err
	}
	return r.removeRemains(network, id, ifname)
}

// record is that of the router with this socket, nil if there is none.
func (r *router) record() (*host.Record, error) {
	all, err := host.Records()
	for _, record := range all {
		if record.Owner.Socket == r.socket {
			return record, nil
		}
	}
	return nil, err
}

// remains are the interfaces of containers that a router has left that runs no longer: the next one takes them over.
func (r *router) remains(network string) (all []control.Workload, err error) {
	record, err := r.record()
	if err != nil || record == nil {
		return nil, err
	}
	for _, e := range record.Objects {
		if c := e.Container; c != nil && c.Network == network {
			all = append(all, control.Workload{Name: e.Workload, Interface: e.Name, Container: &control.Container{Network: c.Network, ID: c.ID}})
		}
	}
	return all, nil
}

func (r *router) removeRemains(network, id, ifname string) error {
	record, err := r.record()
	if err != nil || record == nil {
		return err
	}
	_, err = host.TakeBack(record.Owner.Uplink, func(e *host.Entry) bool {
		return e.Container != nil && e.Container.Network == network && e.Container.ID == id && e.Name == ifname
	}, slog.New(slog.DiscardHandler))
	if busy := (*host.Busy)(nil); errors.As(err, &busy) {
		return failure(types.ErrTryAgainLater, "wait until it answers at "+r.socket, "the router runs, and does not answer yet")
	}
	return err
}

// uplink is the name of the port to the other hosts.
func (r *router) uplink() (string, error) {
	var ports []control.Port
	if err := r.get("/v1/ports", &ports); err != nil {
		return "", err
	}
	for _, p := range ports {
		if p.Kind == "uplink" {
			return p.Port, nil
		}
	}
	return "", errors.New("the uplink is gone")
}

// remote are addresses of a family on other hosts: one by each next hop, up to most.
func (r *router) remote(six bool, most int) (all []netip.Addr, err error) {
	ctx, cancel := inTime()
	defer cancel()
	hops := map[string]bool{}
	err = r.EachRoute(ctx, func(t control.Route) bool {
		p, err := netip.ParsePrefix(t.Prefix)
		if err != nil || t.Via == "" || !t.Used || t.Type != config.RouteUnicast || hops[t.Via] || p.Addr().Is6() != six {
			return true
		}
		hops[t.Via] = true
		all = append(all, within(p))
		return len(all) < most
	})
	return all, err
}

// within is the address of a host in a prefix.
func within(p netip.Prefix) netip.Addr {
	switch {
	case p.Bits() == 0 && p.Addr().Is4():
		return netip.AddrFrom4([4]byte{1, 1, 1, 1})
	case p.Bits() == 0:
		return netip.MustParseAddr("2606:4700::1111")
	case p.IsSingleIP():
		return p.Addr()
	}
	return p.Addr().Next()
}

func (r *router) explain(packet string) (*control.Explanation, error) {
	var e control.Explanation
	if err := r.post("/v1/explain", control.Explain{Packet: packet}, &e); err != nil {
		return nil, fmt.Errorf("%s: %w", packet, err)
	}
	return &e, nil
}
