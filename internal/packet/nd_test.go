package packet

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

var (
	asker  = netip.MustParseAddr("fd00:70:1::1")
	target = netip.MustParseAddr("fe80::ecee:eeff:feee:eeee")

	solicitation = ND{
		Type: ICMPv6NeighborSolicitation, Src: asker, Dst: SolicitedNode(target), Target: target, MAC: MAC{2, 0, 0, 0, 1, 1},
	}
	advertisement = ND{
		Type: ICMPv6NeighborAdvertisement, Src: target, Dst: asker, Target: target, MAC: MAC{0xee, 1, 2, 3, 4, 5},
		Router: true, Solicited: true, Override: true,
	}
)

func put(m ND) IPv6 {
	b := make(IPv6, m.Len())
	for i := range b {
		b[i] = 0xff
	}
	m.Put(b)
	return b
}

func TestNDPutIsWhatParseNDReads(t *testing.T) {
	with := func(m ND, change func(*ND)) ND { change(&m); return m }
	for _, want := range []ND{
		solicitation, advertisement,
		with(solicitation, func(m *ND) { m.Src, m.MAC = netip.IPv6Unspecified(), MAC{} }),
		with(solicitation, func(m *ND) { m.Dst, m.MAC = target, MAC{} }),
		with(advertisement, func(m *ND) { m.Dst, m.Solicited, m.Router = AllNodes, false, false }),
		with(advertisement, func(m *ND) { m.Override, m.MAC = false, MAC{} }),
	} {
		b := put(want)
		if got, ok := ParseND(b); !ok || got != want {
			t.Errorf("got %+v, %v, want %+v", got, ok, want)
		}
		p := gopacket.NewPacket(b, layers.LayerTypeIPv6, gopacket.Default)
		ip := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
		if ip.HopLimit != 255 || int(ip.Length) != len(b)-40 || p.ErrorLayer() != nil {
			t.Errorf("gopacket reads %+v", ip)
		}
		var options layers.ICMPv6Options
		switch m := p.Layers()[2].(type) {
		case *layers.ICMPv6NeighborSolicitation:
			if options = m.Options; !bytes.Equal(m.TargetAddress, want.Target.AsSlice()) || len(options) > 0 && options[0].Type != layers.ICMPv6OptSourceAddress {
				t.Errorf("gopacket reads %+v", m)
			}
		case *layers.ICMPv6NeighborAdvertisement:
			if options = m.Options; !bytes.Equal(m.TargetAddress, want.Target.AsSlice()) || len(options) > 0 && options[0].Type != layers.ICMPv6OptTargetAddress ||
				m.Router() != want.Router || m.Solicited() != want.Solicited || m.Override() != want.Override {
				t.Errorf("gopacket reads %+v", m)
			}
		default:
			t.Errorf("gopacket reads %T", m)
		}
		if (want.MAC != MAC{}) != (len(options) == 1 && bytes.Equal(options[0].Data, want.MAC[:])) {
			t.Errorf("gopacket reads %+v", options)
		}
	}
}

// What a node discards in silence: RFC 4861 7.1.1, 7.1.2, 6.1.1, 6.1.2, 8.1, RFC 6980 5.
func TestParseND(t *testing.T) {
	type edit = func(b IPv6) IPv6
	at := func(i int, x ...byte) edit { return func(b IPv6) IPv6 { copy(b[i:], x); return b } }
	addr := func(i int, a string) edit { return at(i, netip.MustParseAddr(a).AsSlice()...) }
	options := func(o ...byte) edit {
		return func(b IPv6) IPv6 {
			b = append(b[:64], o...)
			b.setPayloadLen(len(b) - 40)
			return b
		}
	}
	all := func(edits ...edit) edit {
		return func(b IPv6) IPv6 {
			for _, e := range edits {
				b = e(b)
			}
			return b
		}
	}
	other := []byte{14, 1, 1, 2, 3, 4, 5, 6} // a nonce (RFC 3971 5.3.2)
	sourceMAC := []byte{1, 1, 2, 0, 0, 0, 1, 1}
	rs := func(b IPv6) IPv6 { b[40] = ICMPv6RouterSolicitation; copy(b[48:], b[64:]); return b[:56] }
	grown := func(size int, icmp ...byte) edit {
		return func(b IPv6) IPv6 {
			b = append(b[:40], make([]byte, size)...)
			copy(b[40:], icmp)
			return b
		}
	}
	redirect := all(grown(40, ICMPv6Redirect), addr(8, "fe80::1"), addr(48, "fe80::2"), addr(64, "fd00::9"))
	for _, c := range []struct {
		name   string
		from   ND
		change edit
		ok     bool
	}{
		{"solicitation", solicitation, at(0), true},
		{"to the target itself", solicitation, addr(24, "fe80::ecee:eeff:feee:eeee"), true},
		{"reserved bits", solicitation, at(44, 0xff, 0xff, 0xff, 0xff), true},
		{"behind options for each hop", solicitation, func(b IPv6) IPv6 {
			b[6] = HeaderHopByHop
			return append(append(b[:40:40], extension(ProtocolICMPv6, 8)...), b[40:]...)
		}, true},
		{"padded", solicitation, func(b IPv6) IPv6 { return append(b, 1, 2, 3) }, true},
		{"hop limit 254", solicitation, at(7, 254), false},
		{"code 1", solicitation, at(41, 1), false},
		{"cut", solicitation, func(b IPv6) IPv6 { return b[:63] }, false},
		{"nothing", solicitation, func(b IPv6) IPv6 { return b[:40] }, false},
		{"cut off on its way", solicitation, nil, false},
		{"multicast target", solicitation, addr(48, "ff02::1"), false},
		{"no target", solicitation, addr(48, "::"), false},
		{"no options", solicitation, options(), true},
		{"another option", solicitation, options(other...), true},
		{"another option before", solicitation, options(append(other[:8:8], sourceMAC...)...), true},
		{"option of length 0", solicitation, options(1, 0, 2, 0, 0, 0, 1, 1), false},
		{"option of length 0 behind", solicitation, options(append(sourceMAC[:8:8], 14, 0, 0, 0, 0, 0, 0, 0)...), false},
		{"option that is cut", solicitation, options(14, 2, 0, 0, 0, 0, 0, 0), false},
		{"half an option", solicitation, options(append(sourceMAC[:8:8], 14)...), false},
		{"hardware address of another kind of link", solicitation, options(append([]byte{1, 2}, bytes.Repeat([]byte{2}, 14)...)...), false},
		{"hardware address of a group", solicitation, options(1, 1, 0x33, 0x33, 0, 0, 0, 1), false},
		{"hardware address of nobody", solicitation, options(1, 1, 0, 0, 0, 0, 0, 0), false},
		{"probe", solicitation, all(addr(8, "::"), options()), true},
		{"probe to the target itself", solicitation, all(addr(8, "::"), options(), addr(24, "fe80::ecee:eeff:feee:eeee")), false},
		{"probe to all nodes", solicitation, all(addr(8, "::"), options(), addr(24, "ff02::1")), false},
		{"probe with a hardware address", solicitation, addr(8, "::"), false},
		{"from a group", solicitation, addr(8, "ff02::1"), false},
		{"in a fragment", solicitation, func(b IPv6) IPv6 {
			b[6] = HeaderFragment
			return append(append(b[:40:40], fragmentHeader(ProtocolICMPv6, 0, true)...), b[40:]...)
		}, false},
		{"in a fragment that is the whole", solicitation, func(b IPv6) IPv6 {
			b[6] = HeaderFragment
			return append(append(b[:40:40], fragmentHeader(ProtocolICMPv6, 0, false)...), b[40:]...)
		}, false},
		{"echo", solicitation, at(40, ICMPv6EchoRequest), false},
		{"multicast listener report", solicitation, at(40, ICMPv6ListenerReportVersion2), false},

		{"advertisement", advertisement, at(0), true},
		{"advertisement to all", advertisement, all(addr(24, "ff02::1"), at(44, ndOverride)), true},
		{"asked for, to all", advertisement, addr(24, "ff02::1"), false},
		{"advertised group", advertisement, addr(48, "ff02::1"), false},
		{"advertisement without options", advertisement, options(), true},
		{"advertisement from nobody", advertisement, addr(8, "::"), false},
		{"advertisement, option of length 0", advertisement, at(65, 0), false},
		{"advertisement, cut", advertisement, func(b IPv6) IPv6 { return b[:60] }, false},

		{"router solicitation", solicitation, rs, true},
		{"router solicitation from nobody", solicitation, all(rs, addr(8, "::")), false},
		{"router solicitation from nobody, without an address", solicitation, all(rs, addr(8, "::"), func(b IPv6) IPv6 { return b[:48] }), true},
		{"router solicitation, cut", solicitation, all(rs, func(b IPv6) IPv6 { return b[:47] }), false},
		{"router advertisement", solicitation, all(grown(16, ICMPv6RouterAdvertisement), addr(8, "fe80::1")), true},
		{"router advertisement, cut", solicitation, all(grown(15, ICMPv6RouterAdvertisement), addr(8, "fe80::1")), false},
		{"router advertisement from afar", solicitation, all(grown(16, ICMPv6RouterAdvertisement), addr(8, "fd00::1")), false},
		{"redirect", solicitation, redirect, true},
		{"redirect to the destination", solicitation, all(redirect, addr(48, "fd00::9")), true},
		{"redirect elsewhere", solicitation, all(redirect, addr(48, "fd00::8")), false},
		{"redirect of a group", solicitation, all(redirect, addr(64, "ff05::1")), false},
		{"redirect from afar", solicitation, all(redirect, addr(8, "fd00::1")), false},
		{"redirect, cut", solicitation, all(redirect, func(b IPv6) IPv6 { return b[:79] }), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := put(c.from)
			if c.change == nil {
				b = b[:len(b)-1]
			} else {
				padded := c.name == "padded"
				if b = c.change(b); !padded {
					b.setPayloadLen(len(b) - 40)
				}
				if u := b.Upper(); u.At+4 <= b.end() {
					SetICMPv6Checksum(b, u.At)
				}
			}
			m, ok := ParseND(b)
			if ok != c.ok {
				t.Errorf("taken: %v, want %v: %+v", ok, c.ok, m)
			}
			if !ok || len(b) < 44 {
				return
			}
			at := b.Upper().At
			if b[at+2]++; b[at+2] == 0 && b[at+3] == 0 { // 0xffff and 0 are one sum
				b[at+2]++
			}
			if _, ok := ParseND(b); ok {
				t.Error("its checksum is wrong, and it is taken")
			}
		})
	}
}

func TestNDIsProbe(t *testing.T) {
	m := solicitation
	if m.IsProbe() {
		t.Error("a solicitation with a sender is taken for a probe")
	}
	if m.Src = netip.IPv6Unspecified(); !m.IsProbe() {
		t.Error("a solicitation from :: is not taken for a probe")
	}
	if m.Type = ICMPv6RouterSolicitation; m.IsProbe() {
		t.Error("a router solicitation is taken for a probe")
	}
}

// To a group goes what is for nobody in particular (RFC 2464 7).
func TestPutND(t *testing.T) {
	var f Frame
	PutND(&f, &solicitation, solicitation.MAC, MAC{})
	if f.DstMAC() != (MAC{0x33, 0x33, 0xff, 0xee, 0xee, 0xee}) || f.SrcMAC() != solicitation.MAC || f.EtherType() != EtherTypeIPv6 || !bytes.Equal(f.Payload(), put(solicitation)) {
		t.Errorf("% x", f.Bytes())
	}
	if PutND(&f, &advertisement, advertisement.MAC, solicitation.MAC); f.DstMAC() != solicitation.MAC || f.Len != 14+72 {
		t.Errorf("% x", f.Bytes())
	}
}
