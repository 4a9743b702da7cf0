//go:build tutorial

package e2e

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/workload"
)

var updateTutorial = flag.Bool("update", false, "write what the commands of docs/tutorial.md and docs/teaching.md print into them")

const (
	tutorial = "../../docs/tutorial.md"
	// outputPatience is for the slowest command of the tutorial: a ping without a reply.
	outputPatience = 30 * time.Second
)

// varying is what differs from run to run, and what stands for it in the comparison.
var varying = []struct {
	pattern *regexp.Regexp
	as      string
}{
	{regexp.MustCompile(`\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b`), "MAC"},
	{regexp.MustCompile(`\+[0-9.]+(µs| ms)`), "+TIME"},
	{regexp.MustCompile(`\brtt .*`), "RTT"},
	{regexp.MustCompile(`[.:](49|5\d|6[0-5])\d{3} >`), ":PORT >"}, // of VXLAN
	{regexp.MustCompile(`\b[0-9.]+ ?(ns|µs|ms|s)\b`), "TIME"},
	{regexp.MustCompile(`#\d+`), "#N"},
	{regexp.MustCompile(`\bid \d+`), "id N"},
	{regexp.MustCompile(`\bchecksum [0-9a-f]{4} > [0-9a-f]{4}`), "CHECKSUM"},
	{regexp.MustCompile(`\bpid \d+`), "pid N"},
	{regexp.MustCompile(`\b(vrouter|kernel) (\d+|0x[0-9a-f]{5})\b`), "$1 N"}, // what each numbers as it likes
	{regexp.MustCompile(`\b(REACHABLE|DELAY|STALE)\b`), "STATE"},
	{regexp.MustCompile(` +`), " "}, // columns are as wide as what is in them
}

func steady(text string) string {
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.as)
	}
	return text
}

// TestTutorial runs every command of docs/tutorial.md, from top to bottom, and
// compares what it prints with what the text shows.
func TestTutorial(t *testing.T) { runsAsShown(t, tutorial) }

// TestTeaching does the same with docs/teaching.md.
func TestTeaching(t *testing.T) { runsAsShown(t, "../../docs/teaching.md") }

func runsAsShown(t *testing.T, text string) {
	leavesNothing(t)
	t.Setenv("PATH", filepath.Dir(program)+":"+os.Getenv("PATH"))
	t.Cleanup(func() {
		if _, err := lab.Load(); err == nil {
			vrouter(t, "lab", "down")
		}
	})
	before := read(t, text)
	after := newTutor(t).run(before)
	if *updateTutorial {
		if err := os.WriteFile(text, []byte(after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(strings.Split(steady(before), "\n"), strings.Split(steady(after), "\n")); d != "" {
		t.Errorf("what %s shows is not what its commands print (-shown +printed); `make tutorial UPDATE=1` writes it again:\n%s", text, d)
	}
}

// tutor works through the text as a reader with two terminals does.
type tutor struct {
	t       *testing.T
	tracing *shell // in the second terminal, until the next block is done
}

func newTutor(t *testing.T) *tutor { return &tutor{t: t} }

// shell is a command with what it has printed, and where in the text that belongs.
type shell struct {
	*running
	at int // piece of the text
}

// run returns the text with what its commands print now. A block of commands is
// fenced as "console"; a command begins with "$ ", and what it prints follows.
func (u *tutor) run(text string) string {
	pieces := strings.SplitAfter(text, "\n")
	var out []string
	var last *shell // that has not ended
	inBlock := false
	for i := 0; i < len(pieces); i++ {
		line := pieces[i]
		switch {
		case line == "```console\n":
			inBlock = true
		case line == "```\n" && inBlock:
			inBlock = false
			if last != nil && last != u.tracing {
				u.finish(last, out)
			}
			if u.tracing != nil && u.tracing != last {
				u.finish(u.tracing, out)
				u.tracing = nil
			}
			last = nil
		case inBlock && strings.HasPrefix(line, "$ "):
			if last != nil {
				u.finish(last, out)
			}
			command := strings.TrimPrefix(line, "$ ")
			out = append(out, line)
			for strings.HasSuffix(line, "\\\n") {
				i++
				line = pieces[i]
				command += line
				out = append(out, line)
			}
			out = append(out, "") // what it prints
			last = u.start(command, len(out)-1)
			continue
		case inBlock:
			continue // what an earlier run has printed
		}
		out = append(out, line)
	}
	if inBlock || u.tracing != nil {
		u.t.Fatal("the text ends in the middle of a block, or of a trace")
	}
	return strings.Join(out, "")
}

var tracing = regexp.MustCompile(`\b(vrouter (lab )?trace|tcpdump) .*-c `)

// start types a command. A trace runs in the other terminal: it goes on until
// the next block is done, which begins when the trace is on.
func (u *tutor) start(command string, at int) *shell {
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = "../.."
	before := 0
	if tracing.MatchString(command) {
		before = u.listeners()
	}
	s := &shell{start(u.t, cmd, outsideOfAll), at}
	if tracing.MatchString(command) {
		if u.tracing != nil {
			u.t.Fatalf("two traces at once: %s", command)
		}
		u.tracing = s
		want := before + 1
		if l, err := lab.Load(); err == nil && strings.Contains(command, "lab trace") {
			want = before + len(l.Hosts)
		}
		eventually(u.t, "the trace is on: "+command, func() bool { return s.hasEnded() || u.listeners() == want })
	}
	return s
}

// finish waits for a command, and puts what it printed into the text.
func (u *tutor) finish(s *shell, out []string) {
	select {
	case <-s.ended:
	case <-time.After(outputPatience):
		u.t.Fatalf("not within %v: the end of %q; it has printed\n%s%s", outputPatience, s.cmd.Args[2], read(u.t, s.running.out), read(u.t, s.errors))
	}
	// A ping that fails is a lesson; its end is for the text to compare.
	printed := append([]byte(read(u.t, s.running.out)), read(u.t, s.errors)...)
	if len(printed) > 0 && !bytes.HasSuffix(printed, []byte("\n")) {
		printed = append(printed, '\n')
	}
	out[s.at] = string(printed)
}

// boundSocket is a line about a packet socket that gets frames: a program may open others before, to ask something.
var boundSocket = regexp.MustCompile(`(?m)^[0-9a-f]+ +\d+ +\d+ +0003 `)

// listeners is how many traces run on all hosts of the lab, and packet sockets that get frames.
func (u *tutor) listeners() (n int) {
	l, err := lab.Load()
	if err != nil {
		return 0
	}
	for _, h := range l.Hosts {
		n += int(scrape(u.t, workload.Named(h.Namespace))[key("trace_listeners")])
		in(u.t, workload.Named(h.Namespace), func() error {
			sockets, err := os.ReadFile("/proc/thread-self/net/packet")
			n += len(boundSocket.FindAll(sockets, -1))
			return err
		})
	}
	return n
}
