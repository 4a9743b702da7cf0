package config

import (
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/internal/impair"
)

func (c *checker) lab(raw *rawLab) Lab {
	if len(raw.hosts) == 0 {
		c.fail(place{"hosts", 1, 1}, "missing: list at least one host, with its node and uplink.address")
		return Lab{}
	}
	var lab Lab
	nodes := claims{}
	for i := range raw.hosts {
		h := c.labHost(&raw.hosts[i])
		c.claim(nodes, h.Node, raw.hosts[i].node.place, "give each host its own name")
		lab.Hosts = append(lab.Hosts, h)
	}
	c.checkBlocks(raw.hosts, lab.Hosts)
	if slices.ContainsFunc(raw.hosts, func(h rawHost) bool { return h.blocks != nil }) {
		for i := range lab.Hosts {
			lab.Hosts[i].Derived = raw.hosts[i].routes.list == nil
		}
	}
	for i := range raw.links {
		lab.Links = append(lab.Links, c.link(&raw.links[i], len(raw.links) > 1, firstSubnet(lab.Hosts)))
	}
	c.apart(raw.links, lab.Links)
	for i := range lab.Hosts {
		for j, s := range raw.hosts[i].uplink.addresses.all(c.report) {
			c.joined(s.place, &lab, i, j)
		}
	}
	return lab
}

// firstSubnet is that of the first address of the first host.
func firstSubnet(hosts []Host) netip.Prefix {
	if len(hosts[0].Uplink.Addresses) == 0 {
		return netip.Prefix{}
	}
	return hosts[0].Uplink.Addresses[0].Masked()
}

// labHost is a host whose uplink the lab makes, so that the file gives its address.
func (c *checker) labHost(raw *rawHost) Host {
	if !raw.node.given {
		c.fail(raw.node.place, "missing: a lab has many hosts on one machine; name each of them")
	}
	addresses := raw.uplink.addresses.all(c.report)
	if len(addresses) == 0 {
		c.fail(raw.uplink.addresses.one.place, "missing: give the address of the uplink, such as 192.168.0.11/24")
	}
	raw.uplink.iface = raw.uplink.iface.or(DefaultLabUplinkInterface)
	var uplink []netip.Prefix
	for _, s := range addresses {
		a := c.hostAddress(s)
		c.claim(c.addresses, a.Addr().String(), s.place, "give each host its own address")
		uplink = append(uplink, a)
	}
	h := c.host(raw)
	h.Uplink.Addresses = uplink
	h.Blocks = c.blocks(raw.blocks)
	return h
}

func (c *checker) link(raw *rawLink, gatewayNeeded bool, all netip.Prefix) Link {
	link := Link{Impair: c.impairment(raw)}
	switch {
	case raw.subnet.given:
		link.Subnet = c.prefix(raw.subnet)
	case link.Impair != nil && !gatewayNeeded:
		link.Subnet = all // it is the only one
	default:
		c.fail(raw.subnet.place, "missing: give the subnet of this link, such as 192.168.0.0/24")
	}
	if c.err == nil && (link.Subnet.Bits() == 0 || link.Subnet.IsSingleIP()) {
		c.fail(raw.subnet.place, "%v is not a subnet with hosts: write a prefix length from 1 to %d", link.Subnet, link.Subnet.Addr().BitLen()-1)
	}
	if !raw.gateway.given {
		if gatewayNeeded {
			c.fail(raw.gateway.place, "missing: with more than one link, each needs a gateway to lead to the others")
		}
		return link
	}
	link.Gateway = c.linkGateway(raw.gateway, link.Subnet)
	return link
}

// impairment reads what the link does to packets, in the words of tc-netem(8).
func (c *checker) impairment(raw *rawLink) (i *impair.Impairment) {
	for n, key := range impair.Keys {
		s := raw.impair[n]
		if !s.given {
			continue
		}
		if i == nil {
			i = &impair.Impairment{}
		}
		if err := i.Set(key, s.text); err != nil {
			c.fail(s.place, "%v", err)
		}
	}
	if i == nil {
		return nil
	}
	if err := i.Check(); err != nil && c.err == nil {
		c.fail(raw.impair[slices.Index(impair.Keys, "reorder")].place, "%v", err)
	}
	return i
}

func (c *checker) linkGateway(s scalar, subnet netip.Prefix) netip.Addr {
	gateway := c.unicast(s)
	if c.err != nil {
		return netip.Addr{}
	}
	if !subnet.Contains(gateway) {
		c.fail(s.place, "%v is not in %v, the subnet of this link: give one of its addresses", gateway, subnet)
	}
	c.refuseEnds(s.place, gateway, subnet)
	c.claim(c.addresses, gateway.String(), s.place, "give the gateway its own address")
	return gateway
}

// apart refuses links that share addresses: a host's link is found by its address.
func (c *checker) apart(raw []rawLink, links []Link) {
	for i := range links {
		for j := range i {
			if links[i].Subnet.Overlaps(links[j].Subnet) {
				first := raw[j].subnet.place
				c.fail(raw[i].subnet.place, "%v overlaps %v of %s in line %d: give each link its own addresses",
					links[i].Subnet, links[j].Subnet, first.key, first.line)
			}
		}
	}
}

// joined refuses an address of a host by which it would reach none of the others: a host's first one says on which
// link it is, and others are of another family there.
func (c *checker) joined(at place, lab *Lab, i, j int) {
	if c.err != nil {
		return
	}
	address := lab.Hosts[i].Uplink.Addresses[j]
	if len(lab.Links) == 0 {
		if first, whose := lab.firstOf(address.Addr()); address.Masked() != first {
			c.fail(at, "%v is not in %v, the subnet of %s: give all hosts addresses of one subnet, or list the subnets in links",
				address, first, whose)
		}
		return
	}
	if j > 0 {
		return
	}
	for _, link := range lab.Links {
		if !link.Subnet.Contains(address.Addr()) {
			continue
		}
		if address.Bits() != link.Subnet.Bits() {
			c.fail(at, "%v has another prefix length than its link %v: write %v/%d",
				address, link.Subnet, address.Addr(), link.Subnet.Bits())
		}
		return
	}
	c.fail(at, "%v is in none of the links: give it an address of one, or add a link for its subnet", address)
}

// firstOf is the subnet of the first address of a family, and the host that has it.
func (l *Lab) firstOf(family netip.Addr) (netip.Prefix, string) {
	for _, h := range l.Hosts {
		for _, a := range h.Uplink.Addresses {
			if a.Addr().Is4() == family.Is4() {
				return a.Masked(), h.Node
			}
		}
	}
	return netip.Prefix{}, ""
}
