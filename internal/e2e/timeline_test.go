package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/timeline"
)

// traceRuns waits until the router of each host is traced, or the command has ended.
func traceRuns(t *testing.T, r *running, hosts ...host) {
	t.Helper()
	for _, h := range hosts {
		eventually(t, "a trace runs on "+h.Name, func() bool {
			return r.hasEnded() || scrape(t, h.ns)[key("trace_listeners")] > 0
		})
	}
}

// ways runs a trace of several hosts, does something, and returns the ways that are shown.
func ways(t *testing.T, hosts []host, do func(), args ...string) (list []timeline.Way) {
	t.Helper()
	r := start(t, command(t, append(args, "-o", "json")...), outsideOfAll)
	traceRuns(t, r, hosts...)
	do()
	for line := range strings.Lines(r.wait(t).wantOK(t)) {
		list = append(list, decode[timeline.Way](t, line))
	}
	return list
}

// seenAt are the hosts and ports of a part of a way.
func seenAt(w timeline.Way, part string) string {
	var list []string
	for _, p := range w.Packets {
		if p.Part == part {
			list = append(list, p.Host+" "+p.In+">"+p.Out)
		}
	}
	return strings.Join(list, ", ")
}

const (
	forth = "k8s-master-1 ns1>ens160, k8s-node-1 ens160>ns1"
	back  = "k8s-node-1 ns1>ens160, k8s-master-1 ens160>ns1"
)

// wantPing wants the one way of a ping and its reply over both hosts.
func wantPing(t *testing.T, list []timeline.Way, forth, back string) {
	t.Helper()
	if len(list) != 1 {
		t.Fatalf("%d ways, want 1: %+v", len(list), list)
	}
	w := list[0]
	if got := seenAt(w, timeline.PartPacket); got != forth {
		t.Errorf("the request is seen at %s, want %s", got, forth)
	}
	if got := seenAt(w, timeline.PartReply); got != back {
		t.Errorf("the reply is seen at %s, want %s", got, back)
	}
	// The reply may be in before the worker that has delivered the request is done with it.
	if w.Outcome != timeline.Delivered || w.Reply != timeline.ReplyArrived || w.NS <= 0 || w.ReplyNS <= 0 {
		t.Errorf("%s after %d ns, reply %s after %d ns", w.Outcome, w.NS, w.Reply, w.ReplyNS)
	}
	for i, p := range w.Packets {
		if wire := p.From != ""; wire != (p.WireNS != nil) || wire && (*p.WireNS < 0 || *p.WireNS > time.Minute.Nanoseconds()) {
			t.Errorf("packet %d from %q: wire %v", i, p.From, p.WireNS)
		}
	}
}

func TestLabTrace(t *testing.T) {
	hosts := labUp(t, "")
	wantEcho(t, hosts[0].ns1, there, 62) // ARP is settled
	list := ways(t, hosts, func() { wantEcho(t, hosts[0].ns1, there, 62) }, "lab", "trace", "-c", "1", "icmp")
	wantPing(t, list, forth, back)
	for _, p := range list[0].Packets {
		if p.From != "" && p.Clocks != timeline.ClocksSame {
			t.Errorf("the clocks of two routers on one machine are %q", p.Clocks)
		}
	}
}

// A packet in a loop is shown once round, and how often it went; --fold is a line for each host.
func TestLabTraceFoldsLoops(t *testing.T) {
	hosts := labUp(t, twoHosts(""))
	for i, via := range []string{"192.168.0.12", "192.168.0.11"} {
		hosts[i].ask(t, "route", "add", "10.99.0.0/16", "via", via).wantOK(t)
	}
	wantEcho(t, hosts[0].ns1, there, 62) // ARP is settled
	shown := func(args ...string) string {
		r := start(t, command(t, append([]string{"lab", "trace", "-c", "1", "dst host 10.99.0.1"}, args...)...), outsideOfAll)
		traceRuns(t, r, hosts...)
		echo(t, hosts[0].ns1, "10.99.0.1", 100*time.Millisecond)
		return r.wait(t).wantOK(t)
	}
	out := shown()
	if !hasLine(out, []string{"── icmp echo request", "loop: a ↔ b, 63 passes, dropped (ttl_exceeded)"}) || !hasLine(out, []string{"… loop: a ↔ b, 63 passes"}) ||
		strings.Count(out, " b  ens160 > ") != 2 || !hasLine(out, []string{"  dropped  ttl_exceeded"}) {
		t.Errorf("the loop is not folded:\n%s", out)
	}
	if out = shown("--fold"); !hasLine(out, []string{" a  ns1 > ens160  icmp echo request", ": forwarded"}) || strings.Contains(out, "  route ") {
		t.Errorf("not a line a host:\n%s", out)
	}
}

// The same for people, with hosts by name and by socket; the filter selects by one direction,
// and the reply belongs to it all the same.
func TestTraceHosts(t *testing.T) {
	hosts := labUp(t, "")
	r := start(t, command(t, "trace", "--hosts", hosts[0].Name+","+hosts[1].Socket, "-c", "1", "icmp", "and", "src", here), outsideOfAll)
	traceRuns(t, r, hosts...)
	wantEcho(t, hosts[0].ns1, there, 62)
	out := r.wait(t).wantOK(t)
	for _, want := range [][]string{
		{"── icmp echo request 10.70.1.1 > 10.70.2.1 id ", "84 bytes: k8s-master-1 > k8s-node-1, delivered after ", ", reply after "},
		{"+0.000 ms  #", "k8s-master-1  ns1 > ens160  icmp echo request"},
		{"  wire   k8s-master-1 > k8s-node-1  +"},
		{"  wire   k8s-node-1 > k8s-master-1  +"},
		{"k8s-master-1  vrouter > ens160  arp who has 192.168.0.12"}, // the first packet waits for it
	} {
		if !hasLine(out, want) {
			t.Errorf("no line with %q in\n%s", want, out)
		}
	}
}

func TestLabTraceIPIP(t *testing.T) {
	hosts := labUp(t, read(t, "../../examples/lab-ipip.yaml"))
	wantEcho(t, hosts[0].ns1, there, 62)
	wantPing(t, ways(t, hosts, func() { wantEcho(t, hosts[0].ns1, there, 62) }, "lab", "trace", "-c", "1", "icmp"), forth, back)
}

// What the first router cuts comes as fragments to the second one: one way.
func TestLabTraceFragments(t *testing.T) {
	hosts := labUp(t, "")
	wantEcho(t, hosts[0].ns1, there, 62)
	for _, h := range hosts {
		in(t, h.ns, func() error {
			return withLink(uplink, func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1300) })
		})
		eventually(t, "eth0 follows", func() bool { return stateOf(t, h.ns1, "eth0").MTU == 1300 })
	}
	in(t, hosts[0].ns1, func() error {
		return withLink("eth0", func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1500) })
	})
	list := ways(t, hosts, func() {
		in(t, hosts[0].ns1, func() error {
			c, err := net.Dial("udp", there+":7")
			if err != nil {
				return err
			}
			defer c.Close()
			if err := fragmentable(c.(*net.UDPConn)); err != nil {
				return err
			}
			_, err = c.Write(make([]byte, 1400))
			return err
		})
	}, "lab", "trace", "-c", "1", "udp", "and", "dst", there)
	if len(list) != 1 || seenAt(list[0], timeline.PartPacket) != forth+", k8s-node-1 ens160>ns1" || list[0].Outcome != timeline.Delivered {
		t.Fatalf("%d ways, the first seen at %s, %s", len(list), seenAt(list[0], timeline.PartPacket), list[0].Outcome)
	}
	// Nobody listens on that port: the workload's own stack says so, in a packet of its own
	// that quotes this one.
	if got := seenAt(list[0], timeline.PartCaused); got != back {
		t.Errorf("the error about it is seen at %q", got)
	}
}

// Where a host cannot be reached, or stops, that is said, and the rest goes on.
func TestTraceHostsMissing(t *testing.T) {
	hosts := labUp(t, "")
	wantEcho(t, hosts[0].ns1, there, 62)
	r := start(t, command(t, "trace", "--hosts", "k8s-master-1,/run/nobody.sock,k8s-node-1", "icmp"), outsideOfAll)
	traceRuns(t, r, hosts...)
	hosts[1].killRouter(t, 9)
	eventually(t, "the loss of a host is said", func() bool { return strings.Contains(read(t, r.errors), "k8s-node-1") })
	echo(t, hosts[0].ns1, there, 20*time.Millisecond)
	eventually(t, "the way is shown without it", func() bool { return strings.Contains(read(t, r.out), "k8s-master-1, left") })
	hosts[0].killRouter(t, 9)
	end := r.wait(t)
	if end.status != 1 {
		t.Errorf("status %d after all routers have stopped", end.status)
	}
	for i, want := range []string{
		"vrouter: host /run/nobody.sock: no router answers at /run/nobody.sock: start one (vrouter run --config FILE), or name its socket with --socket; it is left out",
		"vrouter: host k8s-node-1: its trace has ended: the router has stopped; the others go on",
		"vrouter: host k8s-master-1: its trace has ended: the router has stopped; no other host is left",
	} {
		if lines := strings.Split(end.err, "\n"); len(lines) != 4 || !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d of %q, want %q", i, end.err, want)
		}
	}
	vrouter(t, "trace", "--hosts", "/run/nobody.sock,/run/none.sock").wantError(t, 1, "host /run/nobody.sock: no router .*; host /run/none.sock: no router ")
	vrouter(t, "trace", "--hosts", "k8s-master-9").wantError(t, 1, `no host "k8s-master-9" in the lab; there is`)
}

func TestTraceHostsCompletion(t *testing.T) {
	labUp(t, "")
	for typed, want := range map[string]string{
		"k8s-m":             "k8s-master-1\n",
		"k8s-master-1,":     "k8s-master-1,ssh://\nk8s-master-1,https://\nk8s-master-1,k8s-node-1\n",
		"ss":                "ssh://\n",
		"k8s-node-1,nobody": "",
	} {
		out := vrouter(t, "__complete", "trace", "--hosts", typed).out
		if out = out[:strings.LastIndex(out, ":")]; out != want { // then comes a directive
			t.Errorf("%q is completed to %q, want %q", typed, out, want)
		}
	}
}

func TestTraceHostsWords(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		err    string
	}{
		{"--hosts a", 1, `"a" is no path, so it would be a host of the lab: no lab is up`},
		{"--hosts /a,/a", 2, `"/a": name each host once`},
		{"--hosts ftp://a", 2, "not by ftp://"},
		{"--hosts https://a:1", 2, "it takes --cert FILE, --key FILE and --ca FILE"},
		{"--hosts https://a --cert a --key b --ca c", 2, "with the port of control.listen"},
		{"--hosts https://a:1 --cert /none --key /none --ca /none", 2, "--cert /none, --key /none: open /none: no such file"},
		{"--hosts ssh://root:secret@a", 2, "no password in an address"},
		{"--hosts ssh://-oProxyCommand=x", 2, "ssh://"},
		{"--hosts /a,/b --outer", 2, "--outer and --rate are for one router"},
		{"--hosts /a,/b --within 0s", 2, "--within 0s"},
		{"--cert x icmp", 2, "are for --hosts https://"},
	} {
		vrouter(t, append([]string{"trace"}, strings.Fields(c.args)...)...).wantError(t, c.status, c.err)
	}
	vrouter(t, "lab", "trace").wantError(t, 1, "no lab is up")
}

// authority signs certificates, in files of a directory.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// issue writes NAME.crt and NAME.key, signed by the authority, or by itself if it is that.
func (a *authority) issue(name string, c *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer, a.cert, a.key = c, key, c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".crt": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(a.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

// client are the flags of somebody who shows a certificate and believes the authority.
func (a *authority) client(name string) []string {
	return []string{"--cert", a.file(name + ".crt"), "--key", a.file(name + ".key"), "--ca", a.file("ca.crt")}
}

// tlsLab is the tutorial's lab, with routers that others may look at by mutual TLS.
func tlsLab(t *testing.T, a *authority) []host {
	t.Helper()
	return tlsLabWith(t, a, func(text string) string { return text })
}

// tlsLabWith is tlsLab after a change of its file.
func tlsLabWith(t *testing.T, a *authority, change func(text string) string) []host {
	t.Helper()
	for _, name := range []string{"192.168.0.11", "192.168.0.12"} {
		a.issue(name, &x509.Certificate{IPAddresses: []net.IP{net.ParseIP(name)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	}
	a.issue("me", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	text := twoHosts("")
	for node, ip := range map[string]string{"a": "192.168.0.11", "b": "192.168.0.12"} {
		text = strings.Replace(text, "  - node: "+node+"\n", fmt.Sprintf("  - node: %s\n    control: {listen: '%s:9474', tls: {cert: %s, key: %s, ca: %s}}\n",
			node, ip, a.file(ip+".crt"), a.file(ip+".key"), a.file("ca.crt")), 1)
	}
	return labUp(t, change(text))
}

// By mutual TLS from one host to the other: who has the right certificate may look, and
// nobody may change anything.
func TestTraceTLS(t *testing.T) {
	good, stranger := newAuthority(t), newAuthority(t)
	hosts := tlsLab(t, good)
	stranger.issue("me", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	onA := func(args ...string) *exec.Cmd {
		return command(t, append([]string{"lab", "exec", "a", "--", program, "trace", "--hosts"}, args...)...)
	}
	both := "https://192.168.0.11:9474,https://192.168.0.12:9474"
	wantEcho(t, hosts[0].ns1, there, 62)
	r := start(t, onA(append([]string{both, "-c", "1", "-o", "json", "icmp"}, good.client("me")...)...), outsideOfAll)
	traceRuns(t, r, hosts...)
	wantEcho(t, hosts[0].ns1, there, 62)
	wantPing(t, []timeline.Way{decode[timeline.Way](t, r.wait(t).wantOK(t))}, "a ns1>ens160, b ens160>ns1", "b ns1>ens160, a ens160>ns1")

	mixed := []string{"https://192.168.0.12:9474", "--cert", stranger.file("me.crt"), "--key", stranger.file("me.key"), "--ca", good.file("ca.crt")}
	run(t, onA(mixed...)).wantError(t, 1, "the router at https://192.168.0.12:9474 does not take the certificate of --cert")
	run(t, onA(append([]string{"https://192.168.0.12:9474"}, stranger.client("me")...)...)).wantError(t, 1, "shows a certificate that the authority of --ca has not signed")
	run(t, onA(append([]string{"https://192.168.0.12:1"}, good.client("me")...)...)).wantError(t, 1, "connection refused: look whether it runs with control.listen")

	in(t, hosts[0].ns, func() error { return wantLookOnly(t, good) })
	if out := hosts[1].ask(t, "route", "list").wantOK(t); !strings.Contains(out, "10.70.1.1/32 via") {
		t.Errorf("the route is gone:\n%s", out)
	}
}

// wantLookOnly asks b from a's namespace, with and without a certificate. The connection
// is made on this thread.
func wantLookOnly(t *testing.T, a *authority) error {
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodGet, "/v1/version", "", 200},
		{http.MethodPost, "/v1/explain", `{"packet": "icmp 10.70.2.1 > 10.70.1.1"}`, 200},
		{http.MethodPost, "/v1/routes", `[{"op": "del", "to": "10.70.1.1"}]`, 403},
		{http.MethodPost, "/v1/workloads", `{"name": "ns3", "address": "10.70.2.3/24"}`, 403},
		{http.MethodDelete, "/v1/workloads/ns1", "", 403},
		{http.MethodGet, "/v1/stops", "", 200},
		{http.MethodPost, "/v1/stops", `{"step": "ttl", "seconds": 5}`, 403},
		{http.MethodPost, "/v1/reload", "", 403},
	} {
		status, body, err := a.ask(c.method, c.path, c.body, true)
		if err != nil {
			return err
		}
		if status != c.status || status == 403 && !strings.Contains(body, "by control.listen one may look, and change nothing") {
			t.Errorf("%s %s: status %d, want %d: %s", c.method, c.path, status, c.status, body)
		}
	}
	if status, _, err := a.ask(http.MethodGet, "/v1/version", "", false); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("without a certificate: status %d, %v", status, err)
	}
	return nil
}
