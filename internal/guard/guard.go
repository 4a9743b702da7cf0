// Package guard keeps the host's own stack away from what the router handles. The
// kernel sees every frame of the uplink too: with ip_forward on it would send a
// second copy, without an IP-in-IP module it answers protocol 4 with Protocol
// Unreachable, and VXLAN with Port Unreachable. An nftables chain at the interface's ingress, which lies behind
// the packet socket's tap, drops the kernel's copy.
package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
)

const (
	prefix    = "vrouter-"
	chainName = "ingress"
)

// table is the guard's, one for each interface.
func table(ifname string) *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyNetdev, Name: prefix + ifname}
}

// Set puts the guard on an interface, in place of an earlier one: of this run, or
// of one that was killed. device is what the interface is called at present; own
// are the addresses that the host itself answers for. The rules change as a whole.
//
//	ether type ip, meta pkttype host, ip daddr not in own     drop
//	ether type ip, ip protocol 4                              drop
//	ether type ip, ip protocol udp, udp dport VXLAN           drop      where the router speaks it: by the port vxlan
//
// and for a router that speaks IPv6, as else the host's IPv6 is none of its business:
//
//	ether type ip6, meta pkttype host, ip6 daddr not in fe80::/10, nor in own6       drop
//	ether type ip, ip protocol 41                                                    drop
//	ether type ip6, ip6 nexthdr 4                                                    drop
//	ether type ip6, ip6 nexthdr 41                                                   drop
//	ether type ip6, ip6 nexthdr udp, udp dport VXLAN                                 drop
//
// What is link-local, Neighbor Discovery above all, is the host's own stack's.
//
// Every packet of the uplink passes here, so the rules do as little as they can: those that most
// packets meet come first, of either family, and none counts, as the router has counted each
// packet already.
func Set(ifname, device string, own []netip.Addr, six bool, vxlan uint16) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("guard on %s: %w", ifname, err)
	}
	t := table(ifname)
	c.AddTable(t) // so that there is one to delete
	c.DelTable(t)
	c.AddTable(t)
	chain := c.AddChain(&nftables.Chain{
		Name: chainName, Table: t, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookIngress, Priority: nftables.ChainPriorityFilter, Device: device,
	})
	families := familiesOf(t, own, six, vxlan)
	for _, f := range families {
		var elements []nftables.SetElement
		for _, a := range f.own {
			elements = append(elements, nftables.SetElement{Key: a.AsSlice()})
		}
		if err := c.AddSet(f.set, elements); err != nil {
			return fmt.Errorf("guard on %s: %w", ifname, err)
		}
	}
	for _, exprs := range rulesOf(families) {
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: exprs})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("guard on %s: nftables: %w", ifname, err)
	}
	return nil
}

// Remove takes the guard back. That there is none is no error.
func Remove(ifname string) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("guard on %s: %w", ifname, err)
	}
	c.DelTable(table(ifname))
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("guard on %s: nftables: %w", ifname, err)
	}
	return nil
}

// Intact says whether the guard is there as Set has put it.
func Intact(ifname string, own []netip.Addr, six bool, vxlan uint16) (bool, error) {
	c, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("guard on %s: %w", ifname, err)
	}
	t := table(ifname)
	families := familiesOf(t, own, six, vxlan)
	rules, err := c.GetRules(t, &nftables.Chain{Name: chainName, Table: t})
	if err != nil || !slices.EqualFunc(rules, rulesOf(families), func(r *nftables.Rule, exprs []expr.Any) bool { return same(r.Exprs, exprs) }) {
		return false, absent(ifname, err)
	}
	for _, f := range families {
		elements, err := c.GetSetElements(f.set)
		if err != nil || len(elements) != len(f.own) {
			return false, absent(ifname, err)
		}
		for _, e := range elements {
			if a, ok := netip.AddrFromSlice(e.Key); !ok || !slices.Contains(f.own, a) {
				return false, nil
			}
		}
	}
	return true, nil
}

// family is what the guard has of one.
type family struct {
	own     []netip.Addr
	set     *nftables.Set
	transit []expr.Any
	tunnels [][]expr.Any
}

// rulesOf are the rules in their order.
func rulesOf(families []family) (rules [][]expr.Any) {
	for _, f := range families {
		rules = append(rules, f.transit)
	}
	for _, f := range families {
		rules = append(rules, f.tunnels...)
	}
	return rules
}

func familiesOf(t *nftables.Table, own []netip.Addr, both bool, vxlan uint16) []family {
	four, six := family{set: &nftables.Set{Table: t, Name: "own", KeyType: nftables.TypeIPAddr}}, family{set: &nftables.Set{Table: t, Name: "own6", KeyType: nftables.TypeIP6Addr}}
	for _, a := range distinct(own) {
		if a.Is4() {
			four.own = append(four.own, a)
		} else {
			six.own = append(six.own, a)
		}
	}
	four.transit, four.tunnels = transit(four.set), [][]expr.Any{tunnelled(packet.ProtocolIPIP)}
	if vxlan != 0 {
		four.tunnels = append(four.tunnels, toPort(packet.EtherTypeIPv4, 9, vxlan))
	}
	if !both {
		return []family{four}
	}
	six.transit = transit6(six.set)
	six.tunnels = [][]expr.Any{tunnelled(packet.ProtocolIPv6), tunnelled6(packet.ProtocolIPIP), tunnelled6(packet.ProtocolIPv6)}
	if vxlan != 0 {
		six.tunnels = append(six.tunnels, toPort(packet.EtherTypeIPv6, 6, vxlan))
	}
	return []family{four, six}
}

func absent(ifname string, err error) error {
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return fmt.Errorf("guard on %s: nftables: %w", ifname, err)
}

// same compares rules as the kernel has them.
func same(a, b []expr.Any) bool {
	return slices.EqualFunc(a, b, func(x, y expr.Any) bool {
		kx, errx := expr.Marshal(byte(nftables.TableFamilyNetdev), numberless(x))
		ky, erry := expr.Marshal(byte(nftables.TableFamilyNetdev), numberless(y))
		return errx == nil && erry == nil && slices.Equal(kx, ky)
	})
}

// numberless leaves out what is of one transaction alone.
func numberless(e expr.Any) expr.Any {
	if l, ok := e.(*expr.Lookup); ok {
		copied := *l
		copied.SetID = 0
		return &copied
	}
	return e
}

// distinct is what a set makes of a list.
func distinct(own []netip.Addr) []netip.Addr {
	return slices.Compact(slices.SortedFunc(slices.Values(own), netip.Addr.Compare))
}

// Needed says whether the host would forward on its own what comes in by an interface: its own setting decides,
// not ip_forward, which only sets all of them.
func Needed(device string) bool {
	b, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + device + "/forwarding")
	return err != nil || strings.TrimSpace(string(b)) != "0"
}

// Needed6 is Needed for IPv6, where the setting for all decides, or since Linux 6.17 another one of the interface.
func Needed6(device string) bool {
	for _, file := range []string{"all/forwarding", device + "/force_forwarding"} {
		if b, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + file); err == nil && strings.TrimSpace(string(b)) != "0" {
			return true
		}
	}
	return false
}

// is goes on if the frame is of an EtherType.
func is(etherType uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, etherType)},
	}
}

var toThisStation = []expr.Any{
	&expr.Meta{Key: expr.MetaKeyPKTTYPE, Register: 1},
	&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.PACKET_HOST}},
}

// notIn drops what is addressed to none of a set.
func notIn(own *nftables.Set, offset, length uint32) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Lookup{SourceRegister: 1, SetName: own.Name, SetID: own.ID, Invert: true},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// transit drops what is addressed to this station but not to this host.
func transit(own *nftables.Set) []expr.Any {
	return slices.Concat(is(packet.EtherTypeIPv4), toThisStation, notIn(own, 16, 4))
}

// transit6 is transit for IPv6, but for what is link-local.
func transit6(own *nftables.Set) []expr.Any {
	linkLocal := []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 16},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 16, Mask: net.CIDRMask(10, 128), Xor: make([]byte, 16)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: netip.MustParseAddr("fe80::").AsSlice()},
	}
	return slices.Concat(is(packet.EtherTypeIPv6), toThisStation, linkLocal, notIn(own, 24, 16))
}

// tunnelled drops what is in IPv4 packets, which the router unpacks.
func tunnelled(protocol byte) []expr.Any { return inside(packet.EtherTypeIPv4, 9, protocol) }

// tunnelled6 is the same of IPv6 packets.
func tunnelled6(protocol byte) []expr.Any { return inside(packet.EtherTypeIPv6, 6, protocol) }

func inside(etherType uint16, offset uint32, protocol byte) []expr.Any {
	return append(says(etherType, offset, protocol), &expr.Verdict{Kind: expr.VerdictDrop})
}

// says goes on if the IP header says at an offset what follows it.
func says(etherType uint16, offset uint32, protocol byte) []expr.Any {
	return append(is(etherType),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
	)
}

// toPort drops datagrams to a port of UDP.
func toPort(etherType uint16, offset uint32, port uint16) []expr.Any {
	return append(says(etherType, offset, packet.ProtocolUDP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, port)},
		&expr.Verdict{Kind: expr.VerdictDrop},
	)
}
