//go:build tshark

package e2e

import (
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"

	"github.com/vrouter/vrouter/internal/workload"
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

// captured runs a trace of a host into a capture, does something, waits until so many
// frames are there, and ends the trace by Ctrl-C.
func captured(t *testing.T, h host, frames int, do func(), args ...string) (file string) {
	t.Helper()
	r := start(t, command(t, append([]string{"--socket", h.Socket, "trace", "-o", "pcapng"}, args...)...), outsideOfAll)
	traceRuns(t, r, h)
	do()
	eventually(t, "the frames are written", func() bool { return framesIn(read(t, r.out)) >= frames })
	r.send(t, syscall.SIGINT)
	r.wait(t).wantOK(t)
	untraced(t, h)
	return r.out
}

// framesIn counts those of a capture that is still being written.
func framesIn(capture string) (n int) {
	r, err := pcapgo.NewNgReader(strings.NewReader(capture), pcapgo.DefaultNgReaderOptions)
	for ; err == nil; n++ {
		_, _, err = r.ReadPacketData()
	}
	return n - 1
}

// shown are the fields that the tests want of each frame; MAC addresses by whose they are.
func shown(t *testing.T, hosts []host, file string) string {
	t.Helper()
	lines := tshark(t, file, "-T", "fields", "-E", "separator=/s", "-e", "frame.interface_name", "-e", "ip.ttl", "-e", "ip.src", "-e", "ip.dst",
		"-e", "icmp.type", "-e", "arp.opcode", "-e", "ip.checksum.status", "-e", "eth.dst")
	mac := func(ns workload.Namespace, dev string) string { return net.HardwareAddr(macOf(t, ns, dev)).String() }
	whose := strings.NewReplacer(mac(hosts[0].ns1, "eth0"), "WORKLOAD", mac(hosts[0].ns, uplink), "UPLINK", mac(hosts[1].ns, uplink), "PEER")
	return "\n" + whose.Replace(strings.Join(lines, "\n")) + "\n"
}

// A ping through a tunnel, ARP, and a drop with the error that it causes, as tshark
// shows them: interface, TTL, addresses, ICMP type, ARP opcode, checksums (1 is good)
// and MAC of destination; of IP in IP the outer one first.
func TestTshark(t *testing.T) {
	hosts := labUp(t, read(t, "../../examples/lab-ipip.yaml"))
	h := hosts[0]
	file := captured(t, h, 15, func() {
		wantEcho(t, h.ns1, there, 62)
		echo(t, h.ns1, "10.99.0.1", 20*time.Millisecond)
	})
	got := shown(t, hosts, file)
	for what, want := range map[string]string{
		"the workload's ARP request, and the answer": `
ns1 rx     1  ff:ff:ff:ff:ff:ff
vrouter made     2  WORKLOAD
`,
		"the request": `
ns1 rx 64 10.70.1.1 10.70.2.1 8  1 ee:ee:ee:ee:ee:ee
ens160 ttl 63 10.70.1.1 10.70.2.1 8  1 ee:ee:ee:ee:ee:ee
ens160 encap 64,63 192.168.0.11,10.70.1.1 192.168.0.12,10.70.2.1 8  1,1 ee:ee:ee:ee:ee:ee
ens160 neigh 64,63 192.168.0.11,10.70.1.1 192.168.0.12,10.70.2.1 8  1,1 PEER
`,
		"the router's ARP request": "\nvrouter made     1  ff:ff:ff:ff:ff:ff\n",
		"the answer to it":         "\nens160 rx     2  UPLINK\n",
		"the reply": `
ens160 rx 64,63 192.168.0.12,10.70.2.1 192.168.0.11,10.70.1.1 0  1,1 UPLINK
ens160 decap 63 10.70.2.1 10.70.1.1 0  1 UPLINK
ns1 ttl 62 10.70.2.1 10.70.1.1 0  1 UPLINK
ns1 neigh 62 10.70.2.1 10.70.1.1 0  1 WORKLOAD
`,
		"the drop, and the error": `
ns1 rx 64 10.70.1.1 10.99.0.1 8  1 ee:ee:ee:ee:ee:ee
vrouter made 64,64 192.168.0.11,10.70.1.1 10.70.1.1,10.99.0.1 3,8  1,1 00:00:00:00:00:00
ns1 neigh 64,64 192.168.0.11,10.70.1.1 10.70.1.1,10.99.0.1 3,8  1,1 WORKLOAD
`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s: tshark does not show%s", what, want)
		}
	}
	if t.Failed() {
		t.Logf("tshark shows%s", got)
	}
	if bad := tshark(t, file, "-Y", "_ws.malformed || ip.checksum.status != 1 || icmp.checksum.status != 1"); len(bad) > 0 {
		t.Errorf("tshark finds something wrong with %q", bad)
	}
}

// Captures with frames of one step only, and with none at all, are readable too.
func TestTsharkFewFrames(t *testing.T) {
	hosts := labUp(t, "")
	h := hosts[0]
	wantEcho(t, h.ns1, there, 62) // ARP is settled
	for _, c := range []struct {
		args, want string
		frames     int
	}{
		{"--drops", "\nns1 rx 64 10.70.1.1 10.99.0.1 8  1 ee:ee:ee:ee:ee:ee\n", 1},
		{"net 10.98", "\n\n", 0},
	} {
		file := captured(t, h, c.frames, func() {
			wantEcho(t, h.ns1, there, 62)
			echo(t, h.ns1, "10.99.0.1", 20*time.Millisecond)
		}, strings.Fields(c.args)...)
		if got := shown(t, hosts, file); got != c.want {
			t.Errorf("%s: tshark shows%s", c.args, got)
		}
	}
}
