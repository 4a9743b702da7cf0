package packet

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

var request = ARPMessage{
	Op: ARPRequest, SenderMAC: MAC{2, 0, 0, 0, 1, 1}, SenderIP: netip.MustParseAddr("10.70.1.1"),
	TargetIP: netip.MustParseAddr("169.254.1.1"),
}

func TestARPPutIsWhatParseARPReads(t *testing.T) {
	for _, op := range []uint16{ARPRequest, ARPReply} {
		want := request
		want.Op, want.TargetMAC = op, MAC{0xee, 1, 2, 3, 4, 5}
		b := make([]byte, ARPLen)
		want.Put(b)
		if got, ok := ParseARP(b); !ok || got != want {
			t.Errorf("got %+v, %v, want %+v", got, ok, want)
		}
		l := gopacket.NewPacket(b, layers.LayerTypeARP, gopacket.Default).Layer(layers.LayerTypeARP).(*layers.ARP)
		if l.AddrType != layers.LinkTypeEthernet || l.Protocol != layers.EthernetTypeIPv4 || l.HwAddressSize != 6 || l.ProtAddressSize != 4 ||
			l.Operation != op || !bytes.Equal(l.SourceHwAddress, want.SenderMAC[:]) || !bytes.Equal(l.DstHwAddress, want.TargetMAC[:]) ||
			!bytes.Equal(l.SourceProtAddress, []byte{10, 70, 1, 1}) || !bytes.Equal(l.DstProtAddress, []byte{169, 254, 1, 1}) {
			t.Errorf("gopacket reads %+v", l)
		}
	}
}

// RFC 826 has a receiver check hardware type, protocol type, lengths and operation.
func TestParseARP(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(b []byte) []byte
		ok     bool
	}{
		{"good", func(b []byte) []byte { return b }, true},
		{"padded", func(b []byte) []byte { return append(b, make([]byte, 18)...) }, true},
		{"probe", func(b []byte) []byte { copy(b[14:], []byte{0, 0, 0, 0}); return b }, true},
		{"empty", func(b []byte) []byte { return nil }, false},
		{"cut short", func(b []byte) []byte { return b[:ARPLen-1] }, false},
		{"hardware type", func(b []byte) []byte { b[1] = 6; return b }, false},
		{"protocol type", func(b []byte) []byte { b[2] = 0x86; return b }, false},
		{"hardware length", func(b []byte) []byte { b[4] = 8; return b }, false},
		{"protocol length", func(b []byte) []byte { b[5] = 16; return b }, false},
		{"operation 0", func(b []byte) []byte { b[7] = 0; return b }, false},
		{"operation 3", func(b []byte) []byte { b[7] = 3; return b }, false},
		{"operation 257", func(b []byte) []byte { b[6] = 1; return b }, false},
		{"sender at the broadcast address", func(b []byte) []byte { copy(b[8:], Broadcast[:]); return b }, false},
		{"sender at a group address", func(b []byte) []byte { b[8] = 1; return b }, false},
		{"sender at no address", func(b []byte) []byte { copy(b[8:], make([]byte, 6)); return b }, false},
		{"multicast sender", func(b []byte) []byte { b[14] = 224; return b }, false},
		{"broadcast sender", func(b []byte) []byte { copy(b[14:], []byte{255, 255, 255, 255}); return b }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := make([]byte, ARPLen)
			request.Put(b)
			if _, ok := ParseARP(c.change(b)); ok != c.ok {
				t.Errorf("taken: %v, want %v", ok, c.ok)
			}
		})
	}
}

func TestIsProbe(t *testing.T) {
	m := request
	if m.IsProbe() {
		t.Error("a request with a sender is taken for a probe")
	}
	if m.SenderIP = netip.IPv4Unspecified(); !m.IsProbe() {
		t.Error("a request from 0.0.0.0 is not taken for a probe")
	}
}

func TestMAC(t *testing.T) {
	for _, c := range []struct {
		mac            MAC
		text           string
		group, unicast bool
	}{
		{MAC{0x52, 0x54, 0, 0x12, 0x34, 0x0f}, "52:54:00:12:34:0f", false, true},
		{MAC{}, "00:00:00:00:00:00", false, false},
		{Broadcast, "ff:ff:ff:ff:ff:ff", true, false},
		{MAC{1, 0, 0x5e, 0, 0, 1}, "01:00:5e:00:00:01", true, false},
	} {
		if c.mac.String() != c.text || c.mac.IsGroup() != c.group || c.mac.IsUnicast() != c.unicast {
			t.Errorf("%s: group %v, unicast %v; want %s, %v, %v", c.mac, c.mac.IsGroup(), c.mac.IsUnicast(), c.text, c.group, c.unicast)
		}
	}
}
