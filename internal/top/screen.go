package top

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vrouter/vrouter/internal/control"
)

// screen is what is shown, and what keys do to it. It knows nothing of terminals.
type screen struct {
	width, height int
	rates         *control.Rates // nil: there is no sample yet
	section       int
	chosen        []choice // by section
	paused, help  bool
	trace         *traceView // nil: the tables are shown
}

// choice is the row that is selected, by name, as rows move; and where it was, for
// when it has gone.
type choice struct {
	name string
	at   int
}

// traceView is a trace that runs in place of the tables.
type traceView struct {
	command string
	lines   []string // the last ones
	ended   string   // why it came to an end
}

// maxTraceLines is how many lines of a trace are kept: more than a terminal has.
const maxTraceLines = 1000

func newScreen() *screen { return &screen{width: 80, height: 24, chosen: make([]choice, 4)} }

// Keys, as the terminal reads them; a letter is itself.
const (
	keyUp     = "up"
	keyDown   = "down"
	keyLeft   = "left"
	keyRight  = "right"
	keyTab    = "tab"
	keyEnter  = "enter"
	keyEscape = "escape"
	keyStop   = "ctrl-c"
)

// wish is what a key asks of who runs the screen.
type wish int

const (
	nothing wish = iota
	quit
	startTrace // of the selected row
	stopTrace
)

func (s *screen) press(key string) wish {
	switch {
	case key == keyStop:
		return quit
	case key == "p":
		s.paused = !s.paused
	case s.help:
		s.help = false
	case s.trace != nil:
		if key == "q" || key == keyEscape {
			s.paused = false
			return stopTrace
		}
	case key == "q":
		return quit
	case key == "?" || key == "h":
		s.help = true
	case key == keyEnter && s.selected() != nil:
		s.paused = false
		return startTrace
	default:
		s.move(key)
	}
	return nothing
}

func (s *screen) move(key string) {
	switch key {
	case keyTab, keyRight:
		s.section = (s.section + 1) % len(s.chosen)
	case keyLeft:
		s.section = (s.section + len(s.chosen) - 1) % len(s.chosen)
	case "1", "2", "3", "4":
		s.section = int(key[0] - '1')
	case keyUp, "k":
		s.choose(-1)
	case keyDown, "j":
		s.choose(+1)
	}
}

// choose selects a row above or below the present one.
func (s *screen) choose(by int) {
	if rows := s.rows(); len(rows) > 0 {
		at := max(0, min(s.at()+by, len(rows)-1))
		s.chosen[s.section] = choice{rows[at].name, at}
	}
}

func (s *screen) rows() []row {
	if s.rates == nil {
		return nil
	}
	return sections(s.rates)[s.section].rows
}

// at is where the selected row is now.
func (s *screen) at() int {
	rows, c := s.rows(), s.chosen[s.section]
	if i := slices.IndexFunc(rows, func(r row) bool { return r.name == c.name }); i >= 0 {
		return i
	}
	return max(0, min(c.at, len(rows)-1))
}

func (s *screen) selected() *row {
	rows := s.rows()
	if len(rows) == 0 {
		return nil
	}
	return &rows[s.at()]
}

// show takes a sample over, unless somebody wants to read the last one.
func (s *screen) show(r *control.Rates) {
	if !s.paused {
		s.rates = r
	}
}

func (s *screen) addTrace(text string) {
	if s.trace == nil || s.paused {
		return
	}
	s.trace.lines = append(s.trace.lines, strings.Split(strings.TrimRight(text, "\n"), "\n")...)
	s.trace.lines = s.trace.lines[max(0, len(s.trace.lines)-maxTraceLines):]
}

const (
	bold    = "\x1b[1m"
	reverse = "\x1b[7m"
	plain   = "\x1b[0m"
)

// lines are what the terminal shows: as many as it has, none wider than it is.
func (s *screen) lines() []string {
	var body []string
	room := max(0, s.height-3) // without the two lines on top and the last one
	switch {
	case s.help:
		body = strings.Split(helpText, "\n")
	case s.trace != nil:
		body = s.trace.lines[max(0, len(s.trace.lines)-room):]
	case s.rates == nil:
		body = []string{"", "  The first numbers take an interval…"}
	default:
		body = s.table(room)
	}
	body = body[:min(len(body), room)]
	for len(body) < room {
		body = append(body, "")
	}
	all := append(append([]string{s.head(), s.tabs()}, body...), s.foot())
	all = all[max(0, len(all)-s.height):]
	for i := range all {
		all[i] = cut(all[i], s.width)
	}
	return all
}

func (s *screen) head() string {
	if s.rates == nil {
		return bold + "vrouter top" + plain
	}
	var rx, tx, dropped float64
	for _, p := range s.rates.Ports {
		rx, tx, dropped = rx+p.RxPPS, tx+p.TxPPS, dropped+p.Drops-p.Noise
	}
	line := fmt.Sprintf("%svrouter top  %s%s  rx %s pps  tx %s pps  dropped %s pps  over %.1f s",
		bold, s.rates.Host, plain, amount(rx), amount(tx), amount(dropped), s.rates.Seconds)
	if s.paused {
		line += "  " + reverse + "paused" + plain
	}
	return line
}

func (s *screen) tabs() string {
	if s.trace != nil {
		return bold + s.trace.command + plain
	}
	line := ""
	for i, x := range sections(&control.Rates{}) {
		tab := fmt.Sprintf(" %d %s ", i+1, x.title)
		if i == s.section {
			tab = reverse + tab + plain
		}
		line += tab + " "
	}
	return line
}

// table is the section's, scrolled to where the selected row is.
func (s *screen) table(room int) []string {
	x := sections(s.rates)[s.section]
	all := x.lines(s.width)
	if len(x.rows) == 0 {
		return []string{bold + all[0] + plain, "  nothing yet"}
	}
	at := s.at()
	line := cut(all[1+at], s.width)
	all[1+at] = reverse + line + strings.Repeat(" ", max(0, s.width-utf8.RuneCountInString(line))) + plain
	first := max(0, at-max(0, room-2))
	return append([]string{bold + all[0] + plain}, all[1+first:]...)
}

func (s *screen) foot() string {
	switch {
	case s.help:
		return "any key: back"
	case s.trace != nil && s.trace.ended != "":
		return s.trace.ended + "  q: back"
	case s.trace != nil:
		return "q or Esc: back to the numbers  p: pause"
	}
	return "↑↓ select  tab section  enter: trace it  p pause  ? help  q quit"
}

const helpText = `
  up, down, k, j     select a row
  tab, 1 to 4        ports, steps, drops, routes
  enter              trace the packets of what is selected; q or Esc comes back
  p                  hold what is shown, and go on
  q, Ctrl-C          end

  pps is packets a second, as they are on the wire; bit/s counts Ethernet
  headers. k is 1,000, M 1,000,000. What a link carries for others, and nobody
  sent to this router, is noise: it is dropped, and counts as a drop of its
  reason alone, behind what is lost.
  A step's trace shows the packets that it changed or ended; a route's, those
  that are for its prefix. A trace shows at most 20 packets a second.`
