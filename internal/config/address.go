package config

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
)

// special is what no host has for its address. RFC 6890 lists it.
var special = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "means this network"},
	{netip.MustParsePrefix("127.0.0.0/8"), "is a loopback address"},
	{netip.MustParsePrefix("224.0.0.0/4"), "is a multicast address"},
	{netip.MustParsePrefix("255.255.255.255/32"), "is the broadcast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "is a reserved address"},
	{netip.MustParsePrefix("::/128"), "means that there is no address"},
	{netip.MustParsePrefix("::1/128"), "is a loopback address"},
	{netip.MustParsePrefix("ff00::/8"), "is a multicast address"},
}

func (c *checker) addr(s scalar) netip.Addr {
	addr, err := netip.ParseAddr(s.text)
	if err != nil {
		c.fail(s.place, "%s is not an IP address: write it like 192.168.0.12 or fd00:192::12", quote(s.text))
		return netip.Addr{}
	}
	return c.oneSpelling(s, addr)
}

// oneSpelling refuses what could be written in another way, and is another thing then to who compares.
func (c *checker) oneSpelling(s scalar, addr netip.Addr) netip.Addr {
	switch {
	case addr.Is4In6():
		c.fail(s.place, "%s is an IPv4 address in the form of IPv6: write %v", quote(s.text), addr.Unmap())
	case addr.Zone() != "":
		c.fail(s.place, "%s names an interface: leave out what follows the %%", quote(s.text))
	default:
		return addr
	}
	return netip.Addr{}
}

func (c *checker) unicast(s scalar) netip.Addr {
	addr := c.addr(s)
	c.refuseSpecial(s.place, addr)
	return addr
}

// routed is an address that others than neighbours know.
func (c *checker) routed(s scalar) netip.Addr {
	addr := c.unicast(s)
	if addr.Is6() && addr.IsLinkLocalUnicast() {
		c.fail(s.place, "%v is a link-local address, which means something else on each link: give one from another network", addr)
	}
	return addr
}

func (c *checker) refuseSpecial(at place, addr netip.Addr) {
	for _, block := range special {
		if block.prefix.Contains(addr) {
			c.fail(at, "%v %s: give the address of one host", addr, block.what)
		}
	}
}

// prefix is a destination: a network, or a bare address for a single host.
func (c *checker) prefix(s scalar) netip.Prefix {
	if !strings.Contains(s.text, "/") {
		return c.single(s)
	}
	p := c.withLength(s)
	if p != p.Masked() {
		c.fail(s.place, "%v has bits set after its first %d: did you mean %v, or %v for one host?",
			p, p.Bits(), p.Masked(), p.Addr())
	}
	return p
}

func (c *checker) single(s scalar) netip.Prefix {
	addr, err := netip.ParseAddr(s.text)
	if err != nil {
		c.fail(s.place, "%s is not an IP network or address: write it like 10.70.2.0/24 or fd00:70:2::/64; all destinations are 0.0.0.0/0 and ::/0", quote(s.text))
		return netip.Prefix{}
	}
	if !c.oneSpelling(s, addr).IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(addr, addr.BitLen())
}

func (c *checker) withLength(s scalar) netip.Prefix {
	p, err := netip.ParsePrefix(s.text)
	if err != nil {
		c.fail(s.place, "%s is not an IP address with a prefix length: write it like 10.70.2.0/24 or fd00:70:2::/64", quote(s.text))
		return netip.Prefix{}
	}
	if !c.oneSpelling(s, p.Addr()).IsValid() {
		return netip.Prefix{}
	}
	return p
}

// hostAddress is the address of an interface, with the length of its subnet.
func (c *checker) hostAddress(s scalar) netip.Prefix {
	if addr, err := netip.ParseAddr(s.text); err == nil {
		c.oneSpelling(s, addr)
		usual := 24
		if addr.Is6() {
			usual = 64
		}
		c.fail(s.place, "%v has no prefix length: write %v/%d, or /%d for an address without a subnet", addr, addr, usual, addr.BitLen())
		return netip.Prefix{}
	}
	p := c.withLength(s)
	if !p.IsValid() {
		return p
	}
	if p.Bits() == 0 {
		c.fail(s.place, "%v has prefix length 0: write one from 1 to %d, such as %v/%d", p, p.Addr().BitLen(), p.Addr(), p.Addr().BitLen()*3/4)
	}
	c.refuseSpecial(s.place, p.Addr())
	if p.Addr().IsLinkLocalUnicast() {
		c.fail(s.place, "%v is a link-local address, which is never routed: give one from another network", p.Addr())
	}
	c.refuseEnds(s.place, p.Addr(), p)
	return p
}

// refuseEnds refuses the addresses that a subnet keeps for itself; RFC 3021 frees those of a /31, RFC 6164 those of a /127.
func (c *checker) refuseEnds(at place, addr netip.Addr, subnet netip.Prefix) {
	first := subnet.Masked().Addr()
	switch {
	case subnet.Bits() >= subnet.Addr().BitLen()-1:
	case addr.Is6() && addr == first: // RFC 4291 2.6.1
		c.fail(at, "%v is the anycast address of all routers in %v: give another address of that subnet, such as %v", addr, subnet.Masked(), addr.Next())
	case addr.Is6():
	case addr == first:
		c.fail(at, "%v is the network address of %v: give another address of that subnet, such as %v", addr, subnet.Masked(), addr.Next())
	case addr == Broadcast(subnet):
		c.fail(at, "%v is the broadcast address of %v: give another address of that subnet, such as %v", addr, subnet.Masked(), addr.Prev())
	}
}

// Broadcast is the last address of an IPv4 subnet, for all that are in it (RFC 922 7).
func Broadcast(subnet netip.Prefix) netip.Addr {
	ip := subnet.Addr().As4()
	last := binary.BigEndian.Uint32(ip[:]) | uint32(1<<(32-subnet.Bits())-1)
	binary.BigEndian.PutUint32(ip[:], last)
	return netip.AddrFrom4(ip)
}

func (c *checker) mac(s scalar) net.HardwareAddr {
	mac, err := net.ParseMAC(s.text)
	if err != nil || len(mac) != 6 {
		c.fail(s.place, "%s is not a MAC address of 6 bytes: write it like %s", quote(s.text), DefaultGatewayMAC)
		return nil
	}
	if mac[0]&1 != 0 { // the group bit, IEEE 802.3 3.2.3
		c.fail(s.place, "%v is a multicast or broadcast address: make its first byte even", mac)
	}
	if mac.String() == "00:00:00:00:00:00" {
		c.fail(s.place, "%v is no address: write it like %s", mac, DefaultGatewayMAC)
	}
	return mac
}
