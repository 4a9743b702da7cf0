package host

import (
	"github.com/vrouter/vrouter/internal/tunnelgso"
)

// Program is the one at the uplink's egress by which superframes in tunnels leave whole. It goes with the process that
// has attached it, however that ends: its place in the record says that it is there.
type Program struct {
	Uplink  string // as it is configured
	Index   int
	Cookies []uint64 // of the uplink's sockets
}

// ID implements Object.
func (p *Program) ID() ID { return ID{Kind: KindProgram, Name: p.Uplink} }

// For implements Object.
func (p *Program) For() (string, bool) { return "", false }

func (p *Program) grows(from Object) bool { return same(from, p) }

func (p *Program) look(it *Item) (*deeds, error) {
	d := &deeds{entry: it.entry, do: func() error { return nil }}
	fault := ""
	if it.Stands {
		if fault = it.Program.Fault(); fault == "" {
			return d, nil
		}
	}
	if d.entry == nil || d.entry.Index != p.Index {
		d.entry = &Entry{Netns: it.host.record.Owner.Netns, Index: p.Index}
	}
	d.say("attach the program at %s by which superframes in tunnels leave whole", p.Uplink)
	d.do = func() (err error) {
		stood := it.Stands
		it.lose(fault)
		if it.Program, err = tunnelgso.Attach(p.Index, p.Cookies); err != nil || !stood {
			return err
		}
		it.Stands = true
		return it.host.Stands(it)
	}
	return d, nil
}

// removeProgram has nothing to do: whoever has attached it has let go of it, or has ended.
func removeProgram(*Entry) error { return nil }
