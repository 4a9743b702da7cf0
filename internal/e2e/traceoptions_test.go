package e2e

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/trace"
)

// startTrace starts a trace of a host as JSON, and waits until it is on.
func startTrace(t *testing.T, h host, args ...string) *running {
	t.Helper()
	before := listeners(t, h)
	r := start(t, command(t, append([]string{"--socket", h.Socket, "trace", "-o", "json"}, args...)...), outsideOfAll)
	eventually(t, "the trace is on", func() bool { return r.hasEnded() || listeners(t, h) > before })
	return r
}

// listeners is how many traces of a host are on.
func listeners(t *testing.T, h host) float64 {
	t.Helper()
	return scrape(t, h.ns)[key("trace_listeners")]
}

// untraced waits until the router has noticed that its traces have ended.
func untraced(t *testing.T, h host) {
	t.Helper()
	eventually(t, "nobody traces "+h.Name, func() bool { return listeners(t, h) == 0 })
}

// packets are those that a trace has printed, whole lines of them.
func (r *running) packets(t *testing.T) (list []trace.Packet) {
	t.Helper()
	for line := range strings.Lines(read(t, r.out)) {
		if strings.HasSuffix(line, "\n") {
			list = append(list, decode[trace.Packet](t, line))
		}
	}
	return list
}

// Each option shows what it says of the same packets: a ping with its reply, and one
// to nowhere, with the error about it.
func TestTraceOptions(t *testing.T) {
	h := labUp(t, read(t, "../../examples/lab-ipip.yaml"))[0]
	wantEcho(t, h.ns1, there, 62) // ARP is settled
	const (
		request, reply = "ns1 > ens160 icmp echo request", "ens160 > ns1 ipip"
		lost, told     = "ns1 >  icmp echo request no_route", "> ns1 icmp net unreachable"
	)
	for _, c := range []struct {
		args string
		want []string
	}{
		{"--in ns1 icmp", []string{request, lost, told}},
		{"--in ens160 icmp", []string{reply}},
		{"--out ns1 icmp", []string{reply, told}},
		{"--out ens160 icmp", []string{request}},
		{"--port ens160 icmp", []string{request, reply}},
		{"--step ttl icmp", []string{request, reply}},
		{"--step route icmp", []string{lost}},
		{"--step encap icmp", []string{request}},
		{"--step decap icmp", []string{reply}},
		{"--drops icmp", []string{lost}},
		{"--reason no_route", []string{lost}},
		{"--sample 1/2 icmp", []string{reply}}, // the second that matches; the fourth is not sent
	} {
		r := startTrace(t, h, strings.Fields(c.args)...)
		wantEcho(t, h.ns1, there, 62)
		echo(t, h.ns1, "10.99.0.1", 20*time.Millisecond)
		eventually(t, c.args+": the packets are shown", func() bool { return len(r.packets(t)) >= len(c.want) })
		r.send(t, syscall.SIGINT)
		r.wait(t).wantOK(t)
		untraced(t, h)
		// By their numbers: of two workers the one that came second may be done first, and
		// its packet shown first if the other one has lost its processor meanwhile.
		var got []string
		for _, p := range slices.SortedFunc(slices.Values(r.packets(t)), func(a, b trace.Packet) int { return cmp.Compare(a.ID, b.ID) }) {
			what, _, _ := strings.Cut(p.Summary, " 10.")
			what, _, _ = strings.Cut(what, " 192.")
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s > %s %s %s", p.In, p.Out, what, p.Reason)))
		}
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("trace %s shows\n%s\nwant\n%s", c.args, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestTraceOptionErrors(t *testing.T) {
	h := labUp(t, "")[0]
	for args, c := range map[string]struct {
		status int
		err    string
	}{
		"--in ns7":       {1, `no port "ns7"; .*show ports`},
		"--out ns7":      {1, `no port "ns7"; .*show ports`},
		"--port ns7":     {1, `no port "ns7"; .*show ports`},
		"--step walk":    {2, `no step "walk": the steps are rx, arp, `},
		"--reason mood":  {2, `no drop reason "mood": the reasons are `},
		"--sample 2":     {2, `--sample "2": write it as 1/1000`},
		"--sample 1/0":   {2, `--sample "1/0": write it as 1/1000`},
		"--rate -1":      {2, `--rate`},
		"--duration -1s": {2, `--duration -1s: give a time such as 10s`},
		"-c -1":          {2, `-c -1: give a number`},
	} {
		h.ask(t, append([]string{"trace"}, strings.Fields(args)...)...).wantError(t, c.status, c.err)
	}
}

// A trace for a time ends by itself. The time begins when the trace is on: on a busy
// machine, or by ssh, that may take longer than the trace.
func TestTraceDuration(t *testing.T) {
	h := labUp(t, "")[0]
	for _, args := range [][]string{{"--duration", "100ms"}, {"--duration", "1ns"}, {"--hosts", h.Name, "--duration", "1ns"}} {
		if args[0] != "--hosts" {
			args = append(args, "--socket", h.Socket)
		}
		if out := vrouter(t, append(append([]string{"trace"}, args...), "net", "10.98")...).wantOK(t); out != "" {
			t.Errorf("trace %v shows %s", args, out)
		}
	}
}

// Of many packets in a second few are shown, and how many were left out.
func TestTraceRate(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	r := startTrace(t, h, "--rate", "1", "-c", "2", "icmp")
	eventually(t, "a second has passed", func() bool {
		echo(t, h.ns1, there, patience)
		return r.hasEnded()
	})
	r.wait(t).wantOK(t)
	p := r.packets(t)
	if len(p) != 2 || p[0].Skipped != 0 || p[1].Skipped == 0 || p[1].Time.Sub(p[0].Time) < 900e6 {
		t.Errorf("%+v", p)
	}
}

// A reader that stands still loses its oldest records, and says how many when it goes
// on. Neither the forwarding nor another trace notices.
func TestTraceStopped(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	stopped := startTrace(t, h, "udp", "or", "icmp")
	other := startTrace(t, h, "icmp", "and", "src", here)
	stopped.send(t, syscall.SIGSTOP)
	lost := func() float64 { return scrape(t, h.ns)[key("trace_lost_records_total")] }
	eventually(t, "records are lost", func() bool {
		in(t, h.ns1, func() error { return datagrams("10.99.0.1", 500) })
		return lost() > 0
	})
	resumes(t, h.ns1, there) // the queue of eth0 may be full of datagrams
	wantEcho(t, h.ns1, there, 62)
	eventually(t, "the other trace goes on", func() bool { return len(other.packets(t)) > 0 })
	for _, p := range other.packets(t) {
		if p.Lost > 0 {
			t.Errorf("the other trace lost %d records", p.Lost)
		}
	}
	stopped.send(t, syscall.SIGCONT)
	said := func() (n float64) {
		for _, p := range stopped.packets(t) {
			n += float64(p.Lost)
		}
		return n
	}
	eventually(t, "it says what it lost", func() bool { return said() > 0 && said() == lost() })
	if s := scrape(t, h.ns); s[key("accounting_imbalance_packets")] != 0 {
		t.Error("the books are out of balance")
	}
}

// datagrams sends small datagrams to a port that nobody listens at.
func datagrams(to string, count int) error {
	c, err := net.Dial("udp4", to+":9")
	if err != nil {
		return err
	}
	defer c.Close()
	for range count {
		_, _ = c.Write(make([]byte, 64)) // an earlier one may have been refused
	}
	return nil
}

// Whoever reads a trace may go, and what it is written to may be full: the trace ends,
// and the router goes on.
func TestTraceCannotWrite(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	const small = "/run/e2e/small"
	if err := os.MkdirAll(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("small", small, "tmpfs", 0, "size=4096"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
	full, err := os.Create(small + "/way.pcapng")
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	reader, gone, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	reader.Close()
	for _, c := range []struct {
		to     *os.File
		format string
		status int
		err    string
	}{
		{full, "pcapng", 1, "vrouter: writing the trace: write /dev/stdout: no space left on device\n"},
		{gone, "pcapng", -1, ""}, // SIGPIPE
		{gone, "text", -1, ""},
		{gone, "json", -1, ""},
	} {
		cmd := command(t, "--socket", h.Socket, "trace", "-o", c.format)
		cmd.Stdout = c.to
		r := start(t, cmd, outsideOfAll)
		eventually(t, "the trace ends", func() bool {
			wantEcho(t, h.ns1, there, 62)
			return r.hasEnded()
		})
		if end := r.wait(t); end.status != c.status || end.err != c.err {
			t.Errorf("%s to %s: %+v", c.format, c.to.Name(), end)
		}
	}
	untraced(t, h)
}
