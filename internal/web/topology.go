package web

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/lab"
)

// Topology is the picture: what there is, and where it is drawn.
type Topology struct {
	Title    string    `json:"title"`
	Kind     string    `json:"kind"`
	Write    bool      `json:"write"`
	Version  string    `json:"version"`
	Width    int       `json:"width"`
	Height   int       `json:"height"`
	Hosts    []*Host   `json:"hosts"`
	Cables   []*Cable  `json:"cables"`
	Gateways []Gateway `json:"gateways"`
	Twin     bool      `json:"twin"` // the lab has kernels beside its routers
}

// Host is one of them.
type Host struct {
	Name string `json:"name"`
	Box
	Addresses []string   `json:"addresses"`
	Uplink    string     `json:"uplink"`
	Router    Box        `json:"router"`
	Workloads []Workload `json:"workloads"`
	Routes    []NextHop  `json:"routes"`

	link string  // that its uplink is on
	plug []point // line of its uplink
}

// Workload is one of a host, or stands for several.
type Workload struct {
	Name string `json:"name"`
	Box
	Addresses []string `json:"addresses"`
	Folded    []string `json:"folded,omitempty"` // the names of those that it stands for
	Note      string   `json:"note,omitempty"`   // why it is not as it was set up
}

// NextHop is a route by another router.
type NextHop struct {
	Prefix string `json:"prefix"`
	Via    string `json:"via"`
	Dev    string `json:"dev"`
	Encap  string `json:"encap"`
	Text   string `json:"text"`
}

// Cable is a line of the picture: from a router to a workload, from a router to a link, or the link.
type Cable struct {
	ID     string    `json:"id"`
	Kind   string    `json:"kind"` // workload, uplink or link
	Host   string    `json:"host,omitempty"`
	Port   string    `json:"port,omitempty"`
	To     string    `json:"to,omitempty"` // workload, or link
	Subnet string    `json:"subnet,omitempty"`
	MTU    int       `json:"mtu,omitempty"` // of what is between the hosts
	Hosts  []string  `json:"hosts,omitempty"`
	Path   []point   `json:"path"`
	More   [][]point `json:"more,omitempty"`
	// Changeable says whether it can be made lossy or slow.
	Changeable bool `json:"changeable,omitempty"`
}

const linkCable = "link"

// Gateway is what routes between links, and is no vrouter.
type Gateway struct {
	Addresses []string `json:"addresses"`
	Box
}

const (
	// maxNextHops of a host are told, of the first maxRoutes of its table.
	maxNextHops = 50
	maxRoutes   = 2000
)

// known is what a router has last said of itself.
type known struct {
	name      string
	addresses []string
	uplink    string
	subnet    string // of the uplink
	workloads []Workload
	routes    []NextHop
}

// before is what is known of a host that has not been asked.
func before(s *follow.Source) *known {
	k := &known{name: s.Name, addresses: texts(s.Addresses)}
	for name, addresses := range s.Workloads {
		k.workloads = append(k.workloads, Workload{Name: name, Addresses: texts(addresses)})
	}
	k.sort()
	return k
}

func (k *known) sort() {
	slices.SortFunc(k.workloads, func(a, b Workload) int { return compareNames(a.Name, b.Name) })
}

// compareNames has ns2 before ns10.
func compareNames(a, b string) int {
	ra, rb := strings.TrimRight(a, "0123456789"), strings.TrimRight(b, "0123456789")
	if ra == rb {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	}
	return cmp.Compare(a, b)
}

func texts[T fmt.Stringer](list []T) []string {
	all := []string{}
	for _, v := range list {
		all = append(all, v.String())
	}
	return all
}

// ask asks a router who it is.
func ask(ctx context.Context, c *control.Client) (*known, error) {
	var v control.Version
	var ports []control.Port
	var workloads []control.Workload
	if err := c.Get(ctx, "/v1/version", &v); err != nil {
		return nil, err
	}
	if err := c.Get(ctx, "/v1/ports", &ports); err != nil {
		return nil, err
	}
	if err := c.Get(ctx, "/v1/workloads", &workloads); err != nil {
		return nil, err
	}
	k := &known{name: v.Node, addresses: texts(v.Addresses)}
	for _, p := range ports {
		if p.Kind == "uplink" {
			k.uplink = p.Port
		}
	}
	for _, w := range workloads {
		k.workloads = append(k.workloads, Workload{Name: w.Name, Addresses: withoutLengths(w.Addresses), Note: cmp.Or(w.Waits, w.Note)})
	}
	k.sort()
	n := 0
	err := c.EachRoute(ctx, func(r control.Route) bool {
		k.take(&r)
		n++
		return n < maxRoutes
	})
	return k, err
}

// take learns from a route which subnet the uplink is on, and of a next hop.
func (k *known) take(r *control.Route) {
	p, err := netip.ParsePrefix(r.Prefix)
	switch {
	case err != nil || r.Type != "unicast":
	case r.Via == "" && r.Dev == k.uplink && !p.IsSingleIP() && !p.Addr().IsLinkLocalUnicast() && (k.subnet == "" || p.Addr().Is4()):
		k.subnet = r.Prefix
	case (r.Via != "" || r.Paths != nil) && len(k.routes) < maxNextHops:
		k.routes = append(k.routes, NextHop{r.Prefix, r.Via, r.Dev, r.Encap, r.Text})
	}
}

func withoutLengths(prefixes []string) []string {
	list := []string{}
	for _, text := range prefixes {
		address, _, _ := strings.Cut(text, "/")
		list = append(list, address)
	}
	return list
}

// drawing is the picture of what is known.
func drawing(o *Options, all []*known) *Topology {
	t := &Topology{Title: o.Title, Kind: o.Kind, Write: o.Write, Version: o.Version, Hosts: []*Host{}, Cables: []*Cable{}, Gateways: []Gateway{}}
	for _, k := range all {
		h := &Host{Name: k.name, Addresses: k.addresses, Uplink: k.uplink, Workloads: slices.Clone(k.workloads), Routes: slices.Concat([]NextHop{}, k.routes), link: cmp.Or(k.subnet, "elsewhere")}
		if h.Workloads == nil {
			h.Workloads = []Workload{}
		}
		t.Hosts = append(t.Hosts, h)
	}
	if o.Lab != nil {
		t.linksOf(o.Lab)
		t.Twin = len(o.Lab.Twins) > 0
	}
	for _, h := range t.Hosts {
		t.link(h.link).Hosts = append(t.link(h.link).Hosts, h.Name)
	}
	t.layout()
	return t
}

// linksOf says which links a lab has.
func (t *Topology) linksOf(l *lab.Lab) {
	middles, _ := l.Middles() // none while it is taken down
	for _, m := range middles {
		c := t.link(m.Subnet)
		c.MTU = m.MTU
		for _, h := range t.Hosts {
			if slices.Contains(m.Hosts, h.Name) {
				h.link = m.Subnet
			}
		}
	}
	for _, k := range l.Links {
		t.link(k.Subnet).Changeable = true
	}
	if around, _ := l.Gateways(); len(around) > 0 && len(middles) > 1 {
		t.Gateways = []Gateway{{Addresses: texts(around)}}
	}
}

// link is the one of a subnet.
func (t *Topology) link(subnet string) *Cable {
	for _, c := range t.Cables {
		if c.ID == subnet {
			return c
		}
	}
	c := &Cable{ID: subnet, Kind: linkCable, Subnet: subnet, Hosts: []string{}}
	t.Cables = append(t.Cables, c)
	return c
}
