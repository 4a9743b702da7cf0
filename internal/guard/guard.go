// Package guard keeps the host's own stack away from what the router handles. The
// kernel sees every frame of the uplink too: with ip_forward on it would send a
// second copy, and without an IP-in-IP module it answers protocol 4 with Protocol
// Unreachable. An nftables chain at the interface's ingress, which lies behind
// the packet socket's tap, drops the kernel's copy.
package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
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
//	ether type ip, ip protocol 4                              drop
//	ether type ip, meta pkttype host, ip daddr not in own     drop
//
// Every packet of the uplink passes here, so the rules do as little as they can:
// they do not count, as the router has counted each packet already.
func Set(ifname, device string, own []netip.Addr) error {
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
	set := &nftables.Set{Table: t, Name: "own", KeyType: nftables.TypeIPAddr}
	var elements []nftables.SetElement
	for _, a := range distinct(own) {
		elements = append(elements, nftables.SetElement{Key: a.AsSlice()})
	}
	if err := c.AddSet(set, elements); err != nil {
		return fmt.Errorf("guard on %s: %w", ifname, err)
	}
	c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: tunnelled()})
	c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: transit(set)})
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
func Intact(ifname string, own []netip.Addr) (bool, error) {
	c, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("guard on %s: %w", ifname, err)
	}
	t := table(ifname)
	set := &nftables.Set{Table: t, Name: "own", KeyType: nftables.TypeIPAddr}
	rules, err := c.GetRules(t, &nftables.Chain{Name: chainName, Table: t})
	if err != nil || len(rules) != 2 || !same(rules[0].Exprs, tunnelled()) || !same(rules[1].Exprs, transit(set)) {
		return false, absent(ifname, err)
	}
	elements, err := c.GetSetElements(set)
	if err != nil || len(elements) != len(distinct(own)) {
		return false, absent(ifname, err)
	}
	for _, e := range elements {
		if a, ok := netip.AddrFromSlice(e.Key); !ok || !slices.Contains(own, a) {
			return false, nil
		}
	}
	return true, nil
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

// isIPv4 goes on if the frame is IPv4.
func isIPv4() []expr.Any {
	etherType := binary.BigEndian.AppendUint16(nil, packet.EtherTypeIPv4)
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: etherType},
	}
}

// transit drops what is addressed to this station but not to this host.
func transit(own *nftables.Set) []expr.Any {
	return append(isIPv4(),
		&expr.Meta{Key: expr.MetaKeyPKTTYPE, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.PACKET_HOST}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		&expr.Lookup{SourceRegister: 1, SetName: own.Name, SetID: own.ID, Invert: true},
		&expr.Verdict{Kind: expr.VerdictDrop},
	)
}

// tunnelled drops IP-in-IP, which the router unpacks.
func tunnelled() []expr.Any {
	return append(isIPv4(),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 9, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{packet.ProtocolIPIP}},
		&expr.Verdict{Kind: expr.VerdictDrop},
	)
}
