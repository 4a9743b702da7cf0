package arpproxy

import (
	"net/netip"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
)

var (
	gateway  = netip.MustParseAddr("169.254.1.1")
	workload = netip.MustParseAddr("10.70.1.1")
	other    = netip.MustParseAddr("10.70.2.1")
	nobody   = netip.IPv4Unspecified()

	workloadMAC = packet.MAC{2, 0, 0, 0, 1, 1}
	gatewayMAC  = packet.MAC{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}
)

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name           string
		op             uint16
		sender, target netip.Addr
		own, leaves    bool
		want           Answer
	}{
		{"gateway", packet.ARPRequest, workload, gateway, false, false, Gateway},
		{"gateway, whatever the routes", packet.ARPRequest, workload, gateway, false, true, Gateway},
		{"gateway that is the host's too", packet.ARPRequest, workload, gateway, true, false, Gateway},
		{"host", packet.ARPRequest, workload, other, true, false, Own},
		{"host, with a route", packet.ARPRequest, workload, other, true, true, Own},
		{"proxy", packet.ARPRequest, workload, other, false, true, Proxy},
		{"no route, or one back", packet.ARPRequest, workload, other, false, false, Ignored},
		{"the asker's own", packet.ARPRequest, workload, workload, false, true, Ignored},
		{"probe for the gateway", packet.ARPRequest, nobody, gateway, false, false, Gateway},
		{"probe for the host", packet.ARPRequest, nobody, other, true, true, Own},
		{"probe, never by proxy", packet.ARPRequest, nobody, other, false, true, Ignored},
		{"probe for itself", packet.ARPRequest, nobody, workload, false, false, Ignored},
		{"reply about the gateway", packet.ARPReply, workload, gateway, false, true, Ignored},
		{"reply to the host", packet.ARPReply, workload, other, true, true, Ignored},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := packet.ARPMessage{Op: c.op, SenderMAC: workloadMAC, SenderIP: c.sender, TargetIP: c.target}
			if got := Decide(&m, Facts{Gateway: gateway, Own: c.own, Leaves: c.leaves}); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestPutReply(t *testing.T) {
	for _, sender := range []netip.Addr{workload, nobody} {
		m := packet.ARPMessage{Op: packet.ARPRequest, SenderMAC: workloadMAC, SenderIP: sender, TargetIP: gateway}
		f := packet.NewFrame()
		PutReply(&f, &m, gatewayMAC)
		if f.Len != 42 || f.DstMAC() != workloadMAC || f.SrcMAC() != gatewayMAC || f.EtherType() != packet.EtherTypeARP {
			t.Errorf("frame of %d bytes, %s > %s, type %04x", f.Len, f.SrcMAC(), f.DstMAC(), f.EtherType())
		}
		want := packet.ARPMessage{
			Op: packet.ARPReply, SenderMAC: gatewayMAC, SenderIP: gateway, TargetMAC: workloadMAC, TargetIP: sender,
		}
		if got, ok := packet.ParseARP(f.Payload()); !ok || got != want {
			t.Errorf("got %+v, %v, want %+v", got, ok, want)
		}
	}
}

func TestDecideClaims(t *testing.T) {
	for _, op := range []uint16{packet.ARPRequest, packet.ARPReply} {
		for _, target := range []netip.Addr{gateway, workload, other} {
			m := packet.ARPMessage{Op: op, SenderMAC: workloadMAC, SenderIP: gateway, TargetIP: target}
			if got := Decide(&m, Facts{Gateway: gateway, Claimed: true, Own: true, Leaves: true}); got != Conflict {
				t.Errorf("operation %d about %s: %s, want %s", op, target, got, Conflict)
			}
		}
	}
}

func TestPutAnnouncement(t *testing.T) {
	f := packet.NewFrame()
	PutAnnouncement(&f, gateway, gatewayMAC)
	want := packet.ARPMessage{Op: packet.ARPRequest, SenderMAC: gatewayMAC, SenderIP: gateway, TargetIP: gateway}
	got, ok := packet.ParseARP(f.Payload())
	if !ok || got != want || f.Len != 42 || f.DstMAC() != packet.Broadcast || f.SrcMAC() != gatewayMAC || f.EtherType() != packet.EtherTypeARP {
		t.Errorf("%s > %s: %+v, want %+v", f.SrcMAC(), f.DstMAC(), got, want)
	}
}

func TestAnswerWords(t *testing.T) {
	seen := map[string]bool{}
	for a := range Answer(NumAnswers) {
		if a.String() == "" || seen[a.String()] {
			t.Errorf("answer %d is called %q", a, a)
		}
		seen[a.String()] = true
	}
}
