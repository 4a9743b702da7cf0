package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// LoadNode reads the file of all hosts, and returns the one that is called node, with its routes to the others. "": it is the
// file of one host.
func LoadNode(file, node string) (*Host, error) {
	if node == "" {
		return Load(file)
	}
	l, err := loadHosts(file)
	if err != nil {
		return nil, err
	}
	return l.host(file, node)
}

// ParseNode is LoadNode for a file that was read already; errors call it name.
func ParseNode(name, node string, data []byte) (*Host, error) {
	if node == "" {
		return Parse(name, data)
	}
	l, err := parseLab(name, string(data))
	if err != nil {
		return nil, err
	}
	return l.host(name, node)
}

// host is the one of that name, with its routes to the others.
func (l *Lab) host(file, node string) (*Host, error) {
	i := slices.IndexFunc(l.Hosts, func(h Host) bool { return h.Node == node })
	if i < 0 {
		var names []string
		for _, h := range l.Hosts[:min(len(l.Hosts), 8)] {
			names = append(names, h.Node)
		}
		more := ""
		if len(l.Hosts) > len(names) {
			more = fmt.Sprintf(" and %d others", len(l.Hosts)-len(names))
		}
		return nil, fmt.Errorf("%s: no host is called %s: it has %s%s; give one of them as --node", file, quote(node), strings.Join(names, ", "), more)
	}
	l.enterRoutes(i)
	return &l.Hosts[i], nil
}

// blocks are the addresses that a host's workloads come from: others have one route to each.
func (c *checker) blocks(raw []scalar) (all []netip.Prefix) {
	for _, s := range raw {
		b := c.destination(s)
		if c.err == nil && b.Bits() == 0 {
			c.fail(s.place, "%v is every address: give the block that this host's workloads come from, such as 10.70.1.0/24", b)
		}
		all = append(all, b)
	}
	return all
}

// taken is a block, and where it stands.
type taken struct {
	netip.Prefix
	place
}

// checkBlocks refuses blocks that share addresses, or have a host's in them: a packet could not tell to whom it is to go.
func (c *checker) checkBlocks(raw []rawHost, hosts []Host) {
	var all []taken
	for i := range hosts {
		for j, b := range hosts[i].Blocks {
			all = append(all, taken{b, raw[i].blocks[j].place})
		}
	}
	if c.err != nil || len(all) == 0 {
		return
	}
	slices.SortStableFunc(all, func(a, b taken) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	for i := 1; i < len(all); i++ { // an overlap of others is one of neighbours too
		a, b := all[i-1], all[i]
		if a.Overlaps(b.Prefix) {
			if b.line < a.line {
				a, b = b, a
			}
			c.fail(b.place, "%v overlaps %v of %s in line %d: give each host blocks of its own", b.Prefix, a.Prefix, a.key, a.line)
			return
		}
	}
	for i := range hosts {
		for j, s := range raw[i].uplink.addresses.all(c.report) {
			a := hosts[i].Uplink.Addresses[j].Addr()
			k, _ := slices.BinarySearchFunc(all, a, func(t taken, a netip.Addr) int { return cmp.Or(t.Addr().Compare(a), -1) })
			if k > 0 && all[k-1].Contains(a) {
				c.fail(s.place, "%v is in %v, the block of %s in line %d: the hosts' own addresses are for none of their workloads", a, all[k-1].Prefix, all[k-1].key, all[k-1].line)
				return
			}
		}
	}
	for i := range hosts {
		c.checkReach(raw, hosts, i)
	}
	c.checkVXLAN(raw, hosts)
}

// checkVXLAN refuses hosts that would not understand each other's VXLAN.
func (c *checker) checkVXLAN(raw []rawHost, hosts []Host) {
	first := -1
	for i := range hosts {
		v := &hosts[i].VXLAN
		if raw[i].routes.list != nil || v.Mode == ModeNever {
			continue
		}
		if first < 0 {
			first = i
			continue
		}
		o := &hosts[first]
		if v.VNI != o.VXLAN.VNI {
			c.fail(raw[i].vxlan.vni.place, "%s has the network identifier %d and %s %d, so neither takes what the other sends: give all hosts one", hosts[i].Node, v.VNI, o.Node, o.VXLAN.VNI)
		}
		if v.Port != o.VXLAN.Port {
			c.fail(raw[i].vxlan.port.place, "%s has port %d and %s %d, so neither takes what the other sends: give all hosts one", hosts[i].Node, v.Port, o.Node, o.VXLAN.Port)
		}
	}
}

// checkReach refuses a block that others have no next hop for.
func (c *checker) checkReach(raw []rawHost, hosts []Host, i int) {
	h := &hosts[i]
	six := slices.ContainsFunc(h.Uplink.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() })
	if six || c.err != nil {
		return
	}
	_, mode := h.Mode()
	for j, b := range h.Blocks {
		if b.Addr().Is6() && mode == ModeNever {
			c.fail(raw[i].blocks[j].place, "%v is IPv6, and the uplink of %s has no IPv6 address by which others reach it: give it one, or set ipip.mode or vxlan.mode to always", b, h.Node)
		}
	}
}

// enterRoutes gives a host its routes to the others, unless the file does.
func (l *Lab) enterRoutes(i int) {
	h := &l.Hosts[i]
	if !h.Derived {
		return
	}
	for j := range l.Hosts {
		o := &l.Hosts[j]
		if j == i {
			continue
		}
		for _, b := range o.Blocks {
			h.enterRoute(b, o)
		}
		for _, w := range o.Workloads {
			for _, a := range w.Addresses {
				if !o.hasBlock(a.Addr()) {
					h.enterRoute(netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), o)
				}
			}
		}
	}
	if h.VXLAN.Mode == ModeNever && h.VXLAN.Peers == nil {
		h.hearVXLAN(l.Hosts)
	}
}

// hearVXLAN has a host that sends none take that of others who do.
func (h *Host) hearVXLAN(hosts []Host) {
	for i := range hosts {
		o := &hosts[i]
		if !o.Derived || o.VXLAN.Mode == ModeNever {
			continue
		}
		h.VXLAN.VNI, h.VXLAN.Port = o.VXLAN.VNI, o.VXLAN.Port
		for _, a := range o.Uplink.Addresses {
			h.VXLAN.Peers = append(h.VXLAN.Peers, VTEP{Address: a.Addr()})
		}
	}
}

func (h *Host) hasBlock(a netip.Addr) bool {
	return slices.ContainsFunc(h.Blocks, func(b netip.Prefix) bool { return b.Contains(a) })
}

// enterRoute is the route to what another host has, by its uplink's address of that family: one on a common subnet, if
// there is one. IPv6 goes to a host without such an address in a tunnel.
func (h *Host) enterRoute(to netip.Prefix, o *Host) {
	t := Route{To: to, Type: RouteUnicast}
	best := 0
	for _, p := range o.Uplink.Addresses {
		rank := 1
		if p.Addr().Is6() == to.Addr().Is6() {
			rank = 2
			if slices.ContainsFunc(h.Uplink.Addresses, func(own netip.Prefix) bool { return own.Contains(p.Addr()) }) {
				rank = 3
			}
		}
		if rank > best {
			best, t.Via = rank, p.Addr()
		}
	}
	if to.Addr().Is6() && t.Via.Is4() {
		t.Encap, _ = h.Mode()
	}
	h.Routes.append(t)
}
