package compare

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/packet"
)

var (
	ns1, far, host = netip.MustParseAddr("10.70.1.1"), netip.MustParseAddr("10.70.2.1"), netip.MustParseAddr("192.168.0.11")
	here, there    = &place{name: "a/ns1", mac: packet.MAC{2, 1}, addresses: []netip.Addr{ns1}}, &place{name: "b/ns1", mac: packet.MAC{2, 2}, addresses: []netip.Addr{far}}
)

// bed is an arena without ears.
func bed() *Arena {
	gateway := packet.MAC{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}
	s := &side{places: []*place{here, there}, names: map[packet.MAC]string{gateway: "gateway", here.mac: here.name, there.mac: there.name}, byOrigin: map[string]*place{here.name: here, there.name: there}}
	return &Arena{vrouter: s, kernel: s, mac: gateway, kernels: map[netip.Addr]string{host: "a"}}
}

// at is a packet that came out there, from the gateway.
func (a *Arena) at(p *place, ip []byte) frame {
	b := append(p.mac[:], a.mac[:]...)
	b = append(binary.BigEndian.AppendUint16(b, typeOf(int(ip[0]>>4))), ip...)
	return frame{at: p, bytes: b, ip: ipOf(b)}
}

func changed(ip []byte, change func(packet.IPv4)) []byte {
	b := slices.Clone(ip)
	change(b)
	packet.IPv4(b).SetChecksum()
	return b
}

// What a router may not change in what it passes on has no reason, whatever the field.
func TestChangesOfAPacketHaveNoReason(t *testing.T) {
	a := bed()
	s := newShot(here.name, a.Frame(echo(ns1, far)))
	right := changed(echo(ns1, far), func(ip packet.IPv4) { ip[8] = 62 })
	for field, wrong := range map[string][]byte{
		"tos":             changed(right, func(ip packet.IPv4) { ip[1] = 8 }),
		"ttl":             changed(right, func(ip packet.IPv4) { ip[8] = 61 }),
		"flags":           changed(right, func(ip packet.IPv4) { ip[6] |= 0x40 }),
		"header checksum": append(append(slices.Clone(right[:11]), right[11]+1), right[12:]...),
		"data":            changed(right, func(ip packet.IPv4) { ip[30] ^= 1 }),
		"rest":            changed(right, func(ip packet.IPv4) { ip[26] ^= 1 }),
		"source":          changed(right, func(ip packet.IPv4) { ip[15] = 9 }),
	} {
		ours, theirs := []frame{a.at(there, wrong)}, []frame{a.at(there, right)}
		list := a.differences(ours, theirs)
		a.explain(&sent{a, s, ours, theirs}, list)
		if !slices.ContainsFunc(list, func(d Difference) bool { return d.Reason == "" && (d.Field == field || d.Field == fieldPacket) }) {
			t.Errorf("another %s: %+v", field, list)
		}
		if list := a.differences(ours, ours); len(list) != 0 {
			t.Errorf("two that are alike differ: %+v", list)
		}
	}
	lost := a.differences(nil, []frame{a.at(there, right)})
	a.explain(&sent{a, s, nil, []frame{a.at(there, right)}}, lost)
	if len(lost) != 1 || lost[0].Reason != "" {
		t.Errorf("a packet that does not come out: %+v", lost)
	}
	twice := a.differences([]frame{a.at(there, right), a.at(there, right)}, []frame{a.at(there, right)})
	if len(twice) != 1 || twice[0].Kernel != "nothing" {
		t.Errorf("one that comes out twice: %+v", twice)
	}
}

// A router's error is compared field by field, and what each may choose has its reason.
func TestErrorsHaveReasons(t *testing.T) {
	a := bed()
	s := newShot(here.name, a.Frame(changed(echo(ns1, far), func(ip packet.IPv4) { ip[1], ip[8] = 3, 1 })))
	tell := func(id uint16, tos, code byte) []byte {
		b := make([]byte, packet.IPv4MinLen+packet.ICMPHeaderLen+28)
		packet.PutICMPError(b[packet.IPv4MinLen:], packet.ICMPTimeExceeded, code, 0, s.ip[:28])
		packet.PutIPv4(b, &packet.Header{TOS: tos, TotalLen: len(b), ID: id, TTL: 64, Protocol: packet.ProtocolICMP, Src: host, Dst: ns1})
		return b
	}
	ours, theirs := []frame{a.at(here, tell(1, 0xc0, 0))}, []frame{a.at(here, tell(2, 0xc3, 1))}
	if whose([]*shot{newShot(here.name, a.Frame(echo(far, ns1))), s}, &ours[0]) != 1 {
		t.Error("the error is not about the packet that it quotes")
	}
	list := a.differences(ours, theirs)
	a.explain(&sent{a, s, ours, theirs}, list)
	got := map[string]bool{}
	for _, d := range list {
		got[d.Field] = d.Reason != ""
	}
	if d := cmp.Diff(map[string]bool{"tos": true, "identification": true, "code": false}, got); d != "" {
		t.Errorf("fields that differ, and whether for a reason (-want +got):\n%s", d)
	}
}

// What a tunnel carries is compared, of whatever kind the tunnel is.
func TestTunnelsAreLookedInto(t *testing.T) {
	a := bed()
	inner := echo(ns1, far)
	ipip := append(make([]byte, packet.IPv4MinLen), inner...)
	packet.PutIPv4(ipip, &packet.Header{TotalLen: len(ipip), TTL: 64, Protocol: packet.ProtocolIPIP, Src: host, Dst: far})
	vxlan := append(make([]byte, packet.IPv4MinLen+16), a.Frame(inner)...)
	packet.PutIPv4(vxlan, &packet.Header{TotalLen: len(vxlan), TTL: 64, Protocol: packet.ProtocolUDP, Src: host, Dst: far})
	binary.BigEndian.PutUint16(vxlan[22:], packet.VXLANPort)
	vxlan[28] = 8
	ours, theirs := []frame{a.at(there, ipip)}, []frame{a.at(there, vxlan)}
	list := a.differences(ours, theirs)
	a.explain(&sent{a, newShot(here.name, a.Frame(inner)), ours, theirs}, list)
	if len(list) != 1 || list[0].Field != fieldEncap || list[0].Reason == "" {
		t.Errorf("%+v", list)
	}
}

// The same seed makes the same packets.
func TestRandomPacketsAreTheSame(t *testing.T) {
	make := func() (all [][]byte) {
		g := testGenerator(7)
		for range 200 {
			_, b := g.packet(&place{addresses: []netip.Addr{ns1, netip.MustParseAddr("fd00:70:1::1")}, mtu: 1500})
			if len(b) > 1500 {
				t.Fatalf("a packet of %d bytes", len(b))
			}
			all = append(all, b)
		}
		return all
	}
	if d := cmp.Diff(make(), make()); d != "" {
		t.Error(d)
	}
}

func testGenerator(seed uint64) *generator {
	a := bed()
	a.lab = &lab.Lab{}
	return a.generator(rand.New(rand.NewPCG(seed, 0)))
}
