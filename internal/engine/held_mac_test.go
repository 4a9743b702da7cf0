package engine_test

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// A packet that waited while the uplink's address became another one leaves with that.
func TestHeldPacketsLeaveWithTheNewMAC(t *testing.T) {
	b := newBed(t)
	b.ns1.Send(ping(farIP), ping(farIP))
	b.uplink.Sent()
	mac := packet.MAC{2, 0, 0, 0, 0, 0x99}
	b.router.UpdatePort(b.uplinkID, forwarder.PortConfig{Name: "ens160", Kind: forwarder.Uplink, Interface: "ens160", MAC: mac, MTU: 1500})
	one(t, b.uplink) // which says so
	b.uplink.Send(arp(packet.ARPReply, peerMAC, peerIP, mac, hostIP, mac))
	sent := b.uplink.Sent()
	if len(sent) != 2 {
		t.Fatalf("%d frames, want the two that waited", len(sent))
	}
	for _, f := range sent {
		if f.SrcMAC() != mac || f.DstMAC() != peerMAC {
			t.Errorf("sent %s > %s, want %s > %s", f.SrcMAC(), f.DstMAC(), mac, peerMAC)
		}
	}
}

// A worker that has nothing to do lets go of the table that it forwarded by: with many routes an old
// one is as large as the router.
func TestIdleWorkersKeepNoTable(t *testing.T) {
	b := newBed(t)
	b.resolve()
	b.ns1.Send(ping(farIP))
	old := weak.Make(b.rib.FIB())
	b.route(rib.Route{Prefix: prefix("10.75.0.0/16"), Type: rib.Blackhole, Port: rib.NoPort, Source: rib.Static})
	for end := time.Now().Add(10 * time.Second); old.Value() != nil; runtime.GC() {
		if time.Now().After(end) {
			t.Fatal("the old table is still there")
		}
	}
}
