package top

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/internal/control"
)

// sample is a busy router's: more routes than there is room for, and long words.
func sample() *control.Rates {
	r := &control.Rates{Host: "k8s-master-1", Seconds: 1.04}
	r.Ports = []control.PortRate{
		{Port: "ens160", RxPPS: 81234, RxBPS: 981e6, TxPPS: 12, TxBPS: 9600, Drops: 0.5},
		{Port: "a-namespace-with-a-name-of-many-letters", RxPPS: 12, RxBPS: 9600},
		{Port: "ns1"},
	}
	r.Steps = []control.StepRate{{Step: "rx", Pass: 81246}, {Step: "ttl", Edit: 81000, Drop: 246}}
	r.Drops = []control.DropRate{{Reason: "ttl_exceeded", PPS: 246, Packets: 12345678}, {Reason: "ip_bad_header_length", Packets: 1}}
	for i := range 50 {
		p := fmt.Sprintf("10.%d.0.0/16", i)
		r.Routes = append(r.Routes, control.RouteRate{Prefix: p, Text: p + " via 192.168.0.12 dev ens160 proto bird encap ipip metric 100", PPS: float64(100 - i), BPS: 1e5})
	}
	return r
}

var escapes = regexp.MustCompile(`\x1b\[[0-9;]*m`)

func (s *screen) text() []string {
	lines := s.lines()
	for i := range lines {
		lines[i] = strings.TrimRight(escapes.ReplaceAllString(lines[i], ""), " ")
	}
	return lines
}

func keys(s *screen, list ...string) (last wish) {
	for _, k := range list {
		last = s.press(k)
	}
	return last
}

func TestScreen(t *testing.T) {
	s := newScreen()
	s.width, s.height = 80, 9
	s.show(sample())
	want := []string{
		"vrouter top  k8s-master-1  rx 81.2k pps  tx 12 pps  dropped 0.5 pps  over 1.0 s",
		" 1 Ports   2 Steps   3 Drops   4 Routes",
		"PORT                    RX pps  RX bit/s    TX pps  TX bit/s  DROP pps  LOST pps",
		"ens160                   81.2k      981M        12      9.6k       0.5         0",
		"a-namespace-with-a-n        12      9.6k         0         0         0         0",
		"ns1                          0         0         0         0         0         0",
		"", "",
		"↑↓ select  tab section  enter: trace it  p pause  ? help  q quit",
	}
	if d := cmp.Diff(want, s.text()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	s.press("3")
	want = []string{
		"REASON                    pps  packets",
		"ttl_exceeded              246    12.3M  the time to live ran out here",
		"ip_bad_header_length        0        1  the header length is under 20 bytes",
	}
	if d := cmp.Diff(want, s.text()[2:5]); d != "" {
		t.Errorf("drops (-want +got):\n%s", d)
	}
}

// What is lost comes before noise, and noise is no loss of a port.
func TestScreenOfNoise(t *testing.T) {
	s := newScreen()
	s.width, s.height = 80, 10
	r := sample()
	r.Ports[0].Drops, r.Ports[0].Noise = 500, 488
	r.Drops = []control.DropRate{{Reason: "no_route", PPS: 12, Packets: 12}, {Reason: "arp_ignored", PPS: 488, Noise: 488, Packets: 999}}
	s.show(r)
	if head, port := s.text()[0], s.text()[3]; !strings.Contains(head, "dropped 12 pps") || !strings.Contains(port, "  12 ") {
		t.Errorf("%s\n%s", head, port)
	}
	s.press("3")
	want := []string{
		"REASON           pps  packets",
		"no_route          12       12  no route contains the destination",
		"arp_ignored      488      999  noise: a request that this router has no business",
	}
	if d := cmp.Diff(want, s.text()[2:5]); d != "" {
		t.Errorf("drops (-want +got):\n%s", d)
	}
}

// Whatever the terminal's size, no line is wider, and there are no more than fit.
func TestScreenFits(t *testing.T) {
	for width := 1; width <= 120; width++ {
		for _, height := range []int{1, 2, 3, 4, 10, 24} {
			for _, press := range [][]string{{"1"}, {"2"}, {"3"}, {"4", keyDown}, {"?"}, {"p"}} {
				s := newScreen()
				s.width, s.height = width, height
				s.lines() // before the first sample
				s.show(sample())
				keys(s, press...)
				lines := s.text()
				if len(lines) > height {
					t.Fatalf("%d×%d, %v: %d lines", width, height, press, len(lines))
				}
				for _, l := range lines {
					if n := utf8.RuneCountInString(l); n > width {
						t.Fatalf("%d×%d, %v: a line of %d characters: %q", width, height, press, n, l)
					}
				}
			}
		}
	}
}

func TestNarrowTableLeavesOutTheLastColumns(t *testing.T) {
	s := newScreen()
	s.width = 40
	s.show(sample())
	if got := s.text()[2]; got != "PORT                    RX pps  RX bit/s" {
		t.Errorf("headings %q", got)
	}
}

// What is selected stays so when rows change places, and scrolls into view.
func TestSelection(t *testing.T) {
	s := newScreen()
	s.show(sample())
	keys(s, "j", "j", "k")
	if got := s.selected().trace.Port; got != "a-namespace-with-a-name-of-many-letters" {
		t.Errorf("selected %q", got)
	}
	r := sample()
	slices.Reverse(r.Ports)
	r.Ports = append([]control.PortRate{{Port: "new"}}, r.Ports...)
	s.show(r)
	if got := s.selected().trace.Port; got != "a-namespace-with-a-name-of-many-letters" {
		t.Errorf("selected %q after the rows moved", got)
	}
	keys(s, "4")
	for range 60 {
		s.press(keyDown)
	}
	if got := s.selected().trace.Filter; got != "dst net 10.49.0.0/16" {
		t.Errorf("the last route's trace is %q", got)
	}
	if text := strings.Join(s.text(), "\n"); !strings.Contains(text, "10.49.0.0/16") || strings.Contains(text, "10.1.0.0/16") {
		t.Errorf("not scrolled:\n%s", text)
	}
}

func TestWishes(t *testing.T) {
	s := newScreen()
	if w := s.press(keyEnter); w != nothing {
		t.Errorf("enter without a row: %v", w)
	}
	s.show(sample())
	if w := keys(s, "p"); w != nothing || !s.paused {
		t.Error("p does not pause")
	}
	s.show(&control.Rates{})
	if len(s.rates.Ports) == 0 {
		t.Error("paused, and yet it shows the next sample")
	}
	if w := keys(s, keyTab, keyRight, keyLeft, keyEnter); w != startTrace || s.selected().trace.Step != "rx" || s.paused {
		t.Errorf("enter: %v, of %+v", w, s.selected())
	}
	s.trace = &traceView{command: "vrouter trace --step rx --rate 20"}
	for i := range 2 * maxTraceLines {
		s.addTrace(fmt.Sprintf("line %d\n", i))
	}
	if got := s.text(); got[1] != "vrouter trace --step rx --rate 20" || got[22] != fmt.Sprintf("line %d", 2*maxTraceLines-1) || len(s.trace.lines) != maxTraceLines {
		t.Errorf("the trace:\n%s", strings.Join(got, "\n"))
	}
	for _, key := range []string{"q", keyEscape} {
		if w := s.press(key); w != stopTrace {
			t.Errorf("%s in a trace: %v", key, w)
		}
	}
	s.trace = nil
	if w := keys(s, "?", "q"); w != nothing || s.help {
		t.Errorf("q in the help: %v", w)
	}
	if s.press("q") != quit || s.press(keyStop) != quit {
		t.Error("q and Ctrl-C do not end it")
	}
}

func TestKeysOf(t *testing.T) {
	want := []string{keyUp, keyDown, "j", keyEscape, "q", keyEnter, keyTab, keyStop}
	if d := cmp.Diff(want, keysOf("\x1b[A\x1bOBj\x1bq\r\t\x03")); d != "" {
		t.Error(d)
	}
}

func TestAmount(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.04: "<0.1", 0.34: "0.3", 3: "3", 9.96: "10", 12.4: "12", 999.4: "999", 999.6: "1k", 1500: "1.5k", 99_949: "99.9k",
		123_456: "123k", 999_600: "1M", 98.1e6: "98.1M", 3.2e9: "3.2G", 5e12: "5T",
	} {
		if got := amount(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}

func TestCutKeepsColours(t *testing.T) {
	if got, want := cut("\x1b[31mdropped\x1b[0m ttl", 4), "\x1b[31mdrop\x1b[0m"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWriteLeavesOutWhatIsIdle(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, sample()); err != nil {
		t.Fatal(err)
	}
	if out := b.String(); strings.Contains(out, "\nns1 ") || strings.Contains(out, "ip_bad") || !strings.Contains(out, "10.49.0.0/16 via 192.168.0.12 dev ens160 proto bird encap ipip metric 100") {
		t.Error(out)
	}
}
