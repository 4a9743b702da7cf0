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
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
)

const prefix = "vrouter-"

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
		Name: "ingress", Table: t, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookIngress, Priority: nftables.ChainPriorityFilter, Device: device,
	})
	set := &nftables.Set{Table: t, Name: "own", KeyType: nftables.TypeIPAddr}
	var elements []nftables.SetElement
	for _, a := range own {
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

// Needed says whether the host would forward on its own.
func Needed() bool {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
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
