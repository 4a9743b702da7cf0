//go:build tshark

package e2e

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tshark reads a capture, and returns the lines that it prints. It may complain of nothing.
func tshark(t *testing.T, capture string, args ...string) []string {
	t.Helper()
	path, err := exec.LookPath("tshark")
	if err != nil {
		t.Fatal("this test needs tshark: apt-get install tshark")
	}
	r := run(t, exec.Command(path, append([]string{"-n", "-r", capture, "-o", "ip.check_checksum:TRUE"}, args...)...))
	for line := range strings.Lines(r.err) {
		if !strings.HasPrefix(line, `Running as user "root"`) {
			t.Errorf("tshark complains: %s", line)
		}
	}
	if r.status != 0 {
		t.Errorf("tshark ends with status %d", r.status)
	}
	return strings.FieldsFunc(r.out, func(c rune) bool { return c == '\n' })
}

// captured runs a trace of a host into a capture while something is done, until it has seen
// so many packets; with 0, until Ctrl-C.
func captured(t *testing.T, h host, packets int, do func(), args ...string) (file string) {
	t.Helper()
	r := start(t, command(t, append([]string{"--socket", h.Socket, "trace", "-o", "pcapng", "-c", strconv.Itoa(packets)}, args...)...), outsideOfAll)
	traceRuns(t, r, h)
	do()
	if packets == 0 {
		eventually(t, "the capture has its head", func() bool { return read(t, r.out) != "" })
		r.send(t, syscall.SIGINT)
	}
	r.wait(t).wantOK(t)
	return r.out
}

// A ping through a tunnel, and a drop with the error that it causes, as tshark shows them: each
// frame as it came, and after each step that changed it, with right checksums.
func TestTshark(t *testing.T) {
	h := labUp(t, read(t, "../../examples/lab-ipip.yaml"))[0]
	wantEcho(t, h.ns1, there, 62) // ARP is settled
	file := captured(t, h, 4, func() {
		wantEcho(t, h.ns1, there, 62)
		if ttl := echo(t, h.ns1, "10.99.0.1", 100*time.Millisecond); ttl != 0 {
			t.Errorf("10.99.0.1 answers, with ttl %d", ttl)
		}
	}, "icmp")
	fields := []string{"-T", "fields", "-E", "separator=|", "-e", "frame.interface_name", "-e", "ip.ttl", "-e", "icmp.type", "-e", "ip.checksum.status"}
	want := []string{
		"ns1 rx|64|8|1", "ens160 ttl|63|8|1", "ens160 encap|64,63|8|1,1", "ens160 neigh|64,63|8|1,1",
		"ens160 rx|64,63|0|1,1", "ens160 decap|63|0|1", "ns1 ttl|62|0|1", "ns1 neigh|62|0|1",
		"ns1 rx|64|8|1", "vrouter made|64,64|3,8|1,1", "ns1 neigh|64,64|3,8|1,1", // the error quotes what it is about
	}
	if d := cmp.Diff(want, tshark(t, file, fields...)); d != "" {
		t.Errorf("interface, ttl, ICMP type, 1 for a right checksum (-want +got):\n%s", d)
	}
	if broken := tshark(t, file, "-Y", "_ws.malformed"); len(broken) > 0 {
		t.Errorf("malformed: %q", broken)
	}
}

func TestTsharkARP(t *testing.T) {
	h := labUp(t, "")[0]
	file := captured(t, h, 3, func() { wantEcho(t, h.ns1, there, 62) }, "arp")
	got := strings.Join(tshark(t, file, "-T", "fields", "-E", "separator=|", "-e", "frame.interface_name", "-e", "arp.opcode", "-e", "arp.dst.proto_ipv4"), " ")
	for _, want := range []string{"ns1 rx|1|169.254.1.1", "vrouter made|2|10.70.1.1", "ens160 rx|2|192.168.0.11"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

// A trace that saw nothing is a capture too.
func TestTsharkNothing(t *testing.T) {
	h := labUp(t, "")[0]
	file := captured(t, h, 0, func() {}, "udp")
	if got := tshark(t, file); len(got) > 0 {
		t.Errorf("tshark shows %q", got)
	}
}
