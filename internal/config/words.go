package config

import (
	"fmt"
	"net/netip"
	"slices"
)

// RouteWords is a route as a command says it; what is "" was not said.
type RouteWords struct{ To, Via, Type, Encap, Metric, Proto string }

// CheckRoute makes a route of what was said, by the rules of a file. The error is a
// *FieldError.
func CheckRoute(w RouteWords) (Route, error) {
	c := checker{report: &report{}}
	t := c.route(w.raw())
	return t, c.err
}

// CheckPattern makes of what was said the route to look for: only the destination
// must be there. Its type is "" if none was said. The error is a *FieldError.
func CheckPattern(w RouteWords) (Route, error) {
	c := checker{report: &report{}}
	raw := w.raw()
	if !raw.to.given {
		c.fail(raw.to.place, "missing: give the destination, such as 10.70.2.0/24")
	}
	t := Route{To: c.prefix(raw.to)}
	if raw.kind.given {
		t.Type = c.routeType(raw.kind)
	}
	if raw.via.given {
		t.Via = c.unicast(raw.via)
	}
	if raw.encap.given {
		t.Encap = c.oneOf(raw.encap, EncapNone, EncapIPIP, EncapVXLAN)
	}
	c.rank(raw, &t)
	return t, c.err
}

func (w RouteWords) raw() *rawRoute {
	return &rawRoute{
		to: said("to", w.To), via: said("via", w.Via), kind: said("type", w.Type),
		encap: said("encap", w.Encap), metric: said("metric", w.Metric), proto: said("proto", w.Proto),
	}
}

func said(key, text string) scalar { return scalar{place{key: key}, text, text != ""} }

// WorkloadWords is a workload as a command says it; what is "" was not said.
type WorkloadWords struct {
	Name, Interface, Namespace, MTU string
	Addresses                       []string
}

// CheckWorkload makes a workload of what was said, by the rules of a file. The
// error is a *FieldError.
func CheckWorkload(w WorkloadWords) (Workload, error) {
	c := checker{report: &report{}}
	raw := &rawWorkload{
		name: said("name", w.Name), iface: said("interface", w.Interface),
		namespace: said("namespace", w.Namespace), mtu: said("mtu", w.MTU),
	}
	raw.addresses.one = said("address", "")
	for _, a := range w.Addresses {
		raw.addresses.list = append(raw.addresses.list, scalar{place{key: "address"}, a, true})
	}
	v := c.workload(raw)
	for i, a := range v.Addresses {
		if slices.ContainsFunc(v.Addresses[:i], func(o netip.Prefix) bool { return o.Addr() == a.Addr() }) && c.err == nil {
			c.fail(place{key: "address"}, "%v is said twice: leave one of them out", a.Addr())
		}
	}
	return v, c.err
}

// Admits says whether a host can have this workload beside those that it has. The
// error is a *FieldError.
func (h *Host) Admits(w Workload) error {
	switch {
	case w.Name == h.Uplink.Interface:
		return &FieldError{"name", fmt.Sprintf("%s is the uplink's name: give the workload another one", quote(w.Name))}
	case w.Name == HostInterface:
		return &FieldError{"name", fmt.Sprintf("%s is the name of the host's own port: give the workload another one", quote(w.Name))}
	case w.Has(h.Gateway.Address):
		return &FieldError{"address", fmt.Sprintf("%v is the address of the gateway: give the workload another one", h.Gateway.Address)}
	}
	for _, o := range h.Workloads {
		shared := slices.IndexFunc(w.Addresses, func(p netip.Prefix) bool { return o.Has(p.Addr()) })
		switch {
		case o.Name == w.Name:
			return &FieldError{"name", fmt.Sprintf("there is a workload %s: give this one another name, or delete that one first", w.Name)}
		case shared >= 0:
			return &FieldError{"address", fmt.Sprintf("%v is already taken by workload %s: give this one another address", w.Addresses[shared].Addr(), o.Name)}
		case o.Interface == w.Interface && h.namespace(o) == h.namespace(w):
			return &FieldError{"interface", fmt.Sprintf("%s in %s is already taken by workload %s: give this one another interface or namespace", w.Interface, h.namespace(w), o.Name)}
		}
	}
	return nil
}

func (h *Host) namespace(w Workload) string {
	path, _ := h.NamespaceOf(&w)
	return path
}

// With is the host with one workload more.
func (h *Host) With(w Workload) *Host {
	next := *h
	next.Workloads = append(slices.Clone(h.Workloads), w)
	return &next
}

// Without is the host without the workload of that name.
func (h *Host) Without(name string) *Host {
	next := *h
	next.Workloads = slices.DeleteFunc(slices.Clone(h.Workloads), func(w Workload) bool { return w.Name == name })
	return &next
}
