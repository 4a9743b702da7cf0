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
}

var linkLocal = netip.MustParsePrefix("169.254.0.0/16")

func (c *checker) addr(s scalar) netip.Addr {
	addr, err := netip.ParseAddr(s.text)
	if err != nil {
		c.fail(s.place, "%s is not an IPv4 address: write it like 192.168.0.12", quote(s.text))
		return netip.Addr{}
	}
	return c.ipv4(s, addr)
}

func (c *checker) ipv4(s scalar, addr netip.Addr) netip.Addr {
	if !addr.Is4() {
		c.fail(s.place, "%s is IPv6, and vrouter forwards IPv4: give an IPv4 address", quote(s.text))
		return netip.Addr{}
	}
	return addr
}

func (c *checker) unicast(s scalar) netip.Addr {
	addr := c.addr(s)
	c.refuseSpecial(s.place, addr)
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
		c.fail(s.place, "%s is not an IPv4 network or address: write it like 10.70.2.0/24; all destinations are 0.0.0.0/0", quote(s.text))
		return netip.Prefix{}
	}
	if !c.ipv4(s, addr).IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(addr, addr.BitLen())
}

func (c *checker) withLength(s scalar) netip.Prefix {
	p, err := netip.ParsePrefix(s.text)
	if err != nil {
		c.fail(s.place, "%s is not an IPv4 address with a prefix length: write it like 10.70.2.0/24", quote(s.text))
		return netip.Prefix{}
	}
	if !c.ipv4(s, p.Addr()).IsValid() {
		return netip.Prefix{}
	}
	return p
}

// hostAddress is the address of an interface, with the length of its subnet.
func (c *checker) hostAddress(s scalar) netip.Prefix {
	if addr, err := netip.ParseAddr(s.text); err == nil {
		c.ipv4(s, addr)
		c.fail(s.place, "%v has no prefix length: write %v/24, or /32 for an address without a subnet", addr, addr)
		return netip.Prefix{}
	}
	p := c.withLength(s)
	if !p.IsValid() {
		return p
	}
	if p.Bits() == 0 {
		c.fail(s.place, "%v has prefix length 0: write one from 1 to 32, such as %v/24", p, p.Addr())
	}
	c.refuseSpecial(s.place, p.Addr())
	if linkLocal.Contains(p.Addr()) {
		c.fail(s.place, "%v is a link-local address, which is never routed: give one from another network", p.Addr())
	}
	c.refuseEnds(s.place, p.Addr(), p)
	return p
}

// refuseEnds refuses the addresses that a subnet keeps for itself; RFC 3021 frees those of a /31.
func (c *checker) refuseEnds(at place, addr netip.Addr, subnet netip.Prefix) {
	if subnet.Bits() >= 31 {
		return
	}
	switch addr {
	case subnet.Masked().Addr():
		c.fail(at, "%v is the network address of %v: give another address of that subnet, such as %v", addr, subnet.Masked(), addr.Next())
	case Broadcast(subnet):
		c.fail(at, "%v is the broadcast address of %v: give another address of that subnet, such as %v", addr, subnet.Masked(), addr.Prev())
	}
}

// Broadcast is the last address of a subnet, for all that are in it (RFC 922 7).
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
