package host

import (
	"net/netip"

	"github.com/vrouter/vrouter/internal/guard"
)

// Guard keeps the host's own stack out of what comes in by the uplink.
type Guard struct {
	Uplink string // as it is configured: the table is named after it
	Device string // its name at present
	Index  int    // a chain goes with its device, not with the name
	Own    []netip.Addr
	IPv6   bool   // the router speaks it
	VXLAN  uint16 // by which port it does that; 0: by none
}

// ID implements Object.
func (g *Guard) ID() ID { return ID{Kind: KindGuard, Name: g.Uplink} }

// For implements Object.
func (g *Guard) For() (string, bool) { return "", false }

func (g *Guard) grows(Object) bool { return true }

func (g *Guard) look(it *Item) (*deeds, error) {
	d := &deeds{entry: it.entry, do: func() error { return nil }}
	intact, err := guard.Intact(g.Uplink, g.Own, g.IPv6, g.VXLAN)
	if err != nil || intact && it.Index == g.Index && it.Device == g.Device && it.entry != nil {
		return d, err
	}
	if d.entry == nil {
		d.entry = &Entry{Netns: it.host.record.Owner.Netns}
	}
	d.say("set the guard on %s", g.Uplink)
	d.do = func() error {
		it.Index, it.Device = g.Index, g.Device
		it.host.watch.add(it)
		return guard.Set(g.Uplink, g.Device, g.Own, g.IPv6, g.VXLAN)
	}
	return d, nil
}

func removeGuard(e *Entry) error { return guard.Remove(e.Name) }
