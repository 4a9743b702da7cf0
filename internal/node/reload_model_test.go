package node

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/vrouter/vrouter/internal/config"
)

// fileAndCommands is the model of a host whose file and commands both have routes: what
// each of them says about a destination and metric. The commands win.
type fileAndCommands struct {
	file     map[string]config.RouteWords
	commands map[string]*config.RouteWords // nil: deleted by a command, though the file has it
}

// state is what there is to be.
func (m fileAndCommands) state() map[string]config.RouteWords {
	all := maps.Clone(m.file)
	for k, w := range m.commands {
		if delete(all, k); w != nil {
			all[k] = *w
		}
	}
	return all
}

// change is a command; one that changes nothing leaves the route the file's.
func (m fileAndCommands) change(before, after map[string]config.RouteWords) {
	for k := range before {
		if _, ok := after[k]; ok {
			continue
		}
		if delete(m.commands, k); has(m.file, k) {
			m.commands[k] = nil
		}
	}
	for k, w := range after {
		if before[k] != w {
			m.commands[k] = &w
		}
	}
}

// reload gives it another file. What a command said and the file has come to say, or
// what it deleted and the file no longer has, is no command's any more.
func (m *fileAndCommands) reload(file map[string]config.RouteWords) {
	m.file = file
	maps.DeleteFunc(m.commands, func(k string, w *config.RouteWords) bool {
		f, ok := file[k]
		return w == nil && !ok || w != nil && ok && *w == f
	})
}

// drawFew is drawStep with three destinations alone, so that files and commands meet.
var drawFew = rapid.Map(drawStep, func(s step) step {
	s.Metric = "0"
	return s
})

func has(m map[string]config.RouteWords, k string) bool {
	_, ok := m[k]
	return ok
}

// drawFile is the routes of a configuration file: such as commands can make too.
func drawFile(rt *rapid.T) map[string]config.RouteWords {
	file := map[string]config.RouteWords{}
	for _, s := range rapid.SliceOfN(drawFew, 0, 3).Draw(rt, "file") {
		if s.Op = ReplaceRoute; s.Via != 255 {
			s.make(file)
		}
	}
	return file
}

func reload(t *rapid.T, n *Node, file map[string]config.RouteWords) {
	t.Helper()
	var list []config.Route
	for _, k := range slices.Sorted(maps.Keys(file)) {
		r, err := config.CheckRoute(file[k])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	c := *n.config
	c.Routes = config.NewRoutes(list)
	if _, err := n.Reload(&c); err != nil {
		t.Fatal(err)
	}
}

// Reloads of ever other files between commands, against the model: no order of them leaves
// a route, or a next hop, that neither the file nor a command has.
func TestReloadModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := bed(t)
		m := &fileAndCommands{map[string]config.RouteWords{}, map[string]*config.RouteWords{}}
		for range rapid.IntRange(1, 20).Draw(rt, "operations") {
			if rapid.Bool().Draw(rt, "reload") {
				file := drawFile(rt)
				reload(rt, n, file)
				m.reload(file)
			} else {
				s, before := drawFew.Draw(rt, "command"), m.state()
				after, batch := maps.Clone(before), &RouteBatch{}
				batch.Append(say(t, s.Op, s.words()))
				ok := s.make(after)
				if _, err := n.ChangeRoutes(batch); ok != (err == nil) {
					rt.Fatalf("error %v; it was to be made: %v", err, ok)
				}
				if ok {
					m.change(before, after)
				}
			}
			wantState(rt, n, m.state())
		}
	})
}
