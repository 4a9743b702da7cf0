package e2e

import (
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/control"
)

// pty is a command at a terminal of its own.
type pty struct {
	*running
	far *os.File // the end that a person sees

	mu   sync.Mutex
	sent strings.Builder
}

// startAt runs a command at a terminal of some size.
func startAt(t *testing.T, width, height uint16, args ...string) *pty {
	t.Helper()
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	if err := unix.IoctlSetPointerInt(int(far.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	// Not by a path: the test's /dev/pts may be another one.
	fd, _, errno := syscall.Syscall(syscall.SYS_IOCTL, far.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY)
	if errno != 0 {
		t.Fatal(errno)
	}
	near := os.NewFile(fd, "terminal")
	defer near.Close()
	p := &pty{far: far}
	p.resize(t, width, height)
	cmd := command(t, args...)
	cmd.Stdin, cmd.Stdout = near, near
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	p.running = start(t, cmd, outsideOfAll)
	go p.read()
	return p
}

func (p *pty) read() {
	b := make([]byte, 4096)
	for {
		n, err := p.far.Read(b)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.sent.Write(b[:n])
		p.mu.Unlock()
	}
}

func (p *pty) resize(t *testing.T, width, height uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(p.far.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height}); err != nil {
		t.Fatal(err)
	}
}

func (p *pty) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := p.far.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

func (p *pty) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent.String()
}

// screen is the last whole one, without colours: each begins at the top left corner
// and ends with clearing what is below.
func (p *pty) screen() []string {
	frames := strings.Split(p.all(), "\x1b[H")
	for i := len(frames) - 1; i > 0; i-- {
		if frame, _, whole := strings.Cut(frames[i], "\x1b[K\x1b[J"); whole {
			frame = regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(frame, "")
			return strings.Split(frame, "\x1b[K\r\n")
		}
	}
	return nil
}

// shows waits until a line of the screen matches, and wants that it fits.
func (p *pty) shows(t *testing.T, line string, width, height int) {
	t.Helper()
	want := regexp.MustCompile(line)
	eventually(t, "the screen shows "+line, func() bool {
		for _, l := range p.screen() {
			if want.MatchString(l) && len(p.screen()) == height {
				return true
			}
		}
		if p.hasEnded() {
			t.Fatalf("it ended: %+v", p.wait(t))
		}
		return false
	})
	for _, l := range p.screen() {
		if n := utf8.RuneCountInString(l); n > width || strings.ContainsAny(l, "\r\n\x1b") {
			t.Errorf("a line of %d characters: %q", n, l)
		}
	}
}

// Rates on a terminal, a key to a trace of what is selected, and back; and the
// terminal as it was.
func TestTop(t *testing.T) {
	h := labUp(t, "")[0]
	stop := floods(t, h.ns1, there)
	defer stop()
	p := startAt(t, 80, 24, "--socket", h.Socket, "top", "--interval", "100ms")
	p.shows(t, `^ens160 +\d[\d.k]* +\d[\d.kM]* `, 80, 24)
	p.press(t, "2")
	p.shows(t, `^ttl +0 +\d+[\d.k]* +0 +0$`, 80, 24)
	p.press(t, "4")
	p.shows(t, `^10.70.2.1/32 via 192.168.0.12 dev ens160 proto static +\d`, 80, 24)
	p.resize(t, 60, 10)
	p.shows(t, `^10.70.2.1/32 via 192.168.0.12 dev ens`, 60, 10)
	p.resize(t, 80, 24)
	p.press(t, "1jk")
	p.press(t, "\r")
	p.shows(t, `^vrouter trace --port (ens160|ns1) --rate 20$`, 80, 24)
	p.shows(t, `^  route  \+[\d.]+µs  pass  10.70.`, 80, 24)
	p.press(t, "\x1b")
	p.shows(t, `^PORT +RX pps +RX bit/s`, 80, 24)
	p.press(t, "q")
	if end := p.wait(t); end.status != 0 || end.err != "" {
		t.Errorf("after q: %+v", end)
	}
	p.wantTerminalBack(t)
}

// wantTerminalBack wants the cursor, the screen of before and the settings back.
// A table is as wide as the terminal, unless all of it is wanted.
func TestTableFitsTheTerminal(t *testing.T) {
	wide := func(args ...string) (widest int, text string) {
		p := startAt(t, 50, 24, args...)
		p.wait(t).wantOK(t)
		eventually(t, "the table is there", func() bool { return strings.Contains(p.all(), "\nconfig") })
		for line := range strings.Lines(p.all()) {
			widest = max(widest, utf8.RuneCountInString(strings.TrimRight(line, "\r\n")))
		}
		return widest, p.all()
	}
	if widest, text := wide("show"); widest > 50 || !strings.Contains(text, "…") {
		t.Errorf("%d wide:\n%s", widest, text)
	}
	if widest, text := wide("show", "-o", "wide"); widest <= 50 || strings.Contains(text, "…") {
		t.Errorf("%d wide:\n%s", widest, text)
	}
	if out := vrouter(t, "show").wantOK(t); strings.Contains(out, "…") {
		t.Errorf("what goes to no terminal is cut:\n%s", out)
	}
}

func (p *pty) wantTerminalBack(t *testing.T) {
	t.Helper()
	eventually(t, "the terminal is given back", func() bool { return strings.HasSuffix(p.all(), "\x1b[?25h\x1b[?1049l") })
	settings, err := unix.IoctlGetTermios(int(p.far.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if want := uint32(unix.ICANON | unix.ECHO | unix.ISIG); settings.Lflag&want != want {
		t.Errorf("the terminal is still raw: %#x", settings.Lflag)
	}
}

func TestTopGivesTheTerminalBackWhenItIsEnded(t *testing.T) {
	h := labUp(t, "")[0]
	p := startAt(t, 80, 24, "--socket", h.Socket, "top")
	p.shows(t, `^vrouter top`, 80, 24)
	p.signal(t, syscall.SIGTERM)
	if end := p.wait(t); end.status != 130 {
		t.Errorf("after SIGTERM: %+v", end)
	}
	p.wantTerminalBack(t)

	p = startAt(t, 80, 24, "--socket", h.Socket, "top")
	p.shows(t, `^vrouter top`, 80, 24)
	h.killRouter(t, syscall.SIGKILL)
	p.wait(t).wantError(t, 1, "the router at .* has stopped")
	p.wantTerminalBack(t)
}

// Where there is no terminal it prints samples; rates are by the time that has passed.
func TestTopAsLines(t *testing.T) {
	h := labUp(t, "")[0]
	began := time.Now()
	r := start(t, command(t, "--socket", h.Socket, "top", "-o", "json", "--interval", "200ms", "-c", "4"), outsideOfAll)
	pings := 0.0
	for ; !r.hasEnded(); pings++ {
		wantEcho(t, h.ns1, there, 62)
	}
	out := r.wait(t).wantOK(t)
	var packets, seconds, routed float64
	for line := range strings.Lines(out) {
		s := decode[control.Rates](t, line)
		seconds += s.Seconds
		for _, p := range s.Ports {
			if p.Port == "ns1" {
				packets += p.RxPPS * s.Seconds
			}
		}
		for _, x := range s.Routes {
			if x.Prefix == there+"/32" {
				routed += x.PPS * s.Seconds
			}
		}
	}
	if n := strings.Count(out, "\n"); n != 4 || seconds < 0.8 || seconds > time.Since(began).Seconds() {
		t.Errorf("%d samples over %.2f s, of %v", n, seconds, time.Since(began))
	}
	if packets < 1 || packets > pings+2 || routed < 1 || routed > pings+0.01 {
		t.Errorf("%.2f packets of ns1 and %.2f by the route, of %.0f pings and some ARP", packets, routed, pings)
	}
	stop := floods(t, h.ns1, there)
	text := h.ask(t, "top", "-c", "2", "--interval", "200ms").wantOK(t)
	stop()
	if !hasLine(text, []string{"PORT", "RX pps"}) || !hasLine(text, []string{"10.70.2.1/32 via 192.168.0.12"}) || strings.Contains(text, "\x1b") {
		t.Error(text)
	}
	h.ask(t, "top", "--interval", "1ms").wantError(t, 2, "--interval: .*100ms")
	h.ask(t, "top", "-c", "-1").wantError(t, 2, "give a number of samples")
}
