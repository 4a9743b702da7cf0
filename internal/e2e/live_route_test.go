package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/workload"
)

// said is a command about routes and what it is to end with: "" for success.
type said struct {
	words  string
	status int
	err    string
}

func (h host) say(t *testing.T, list []said) {
	t.Helper()
	for _, c := range list {
		r := h.ask(t, append([]string{"route"}, strings.Fields(c.words)...)...)
		if c.err == "" {
			r.wantOK(t)
			continue
		}
		t.Run(c.words, func(t *testing.T) { r.wantError(t, c.status, c.err) })
	}
}

// static are the lines of `route list` that no port gives rise to.
func (h host) static(t *testing.T) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(h.ask(t, "route", "list").wantOK(t)) {
		if !strings.Contains(line, "proto workload") && !strings.Contains(line, "proto kernel") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}

func (h host) wantStatic(t *testing.T, want ...string) {
	t.Helper()
	if got := h.static(t); got != strings.Join(want, "\n") {
		t.Errorf("routes\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// The words of ip-route(8), and what they mean to packets.
func TestRouteCommands(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	h.say(t, []said{
		{words: "add 10.70.3.1 via 192.168.0.12 dev ens160"},
		{"add 10.70.3.1/32 via 192.168.0.12", 1, `to: there is a route to 10.70.3.1/32 with metric 0: replace it`},
		{"add 10.70.2.1 via 192.168.0.12", 1, `to: there is a route to 10.70.2.1/32`},
		{words: "add 10.70.3.1 via 192.168.0.13 metric 10"},
		{words: "replace 10.70.3.1 via 192.168.0.14"},
		{words: "add blackhole 10.70.9.0/24"},
		{words: "add unreachable 10.70.10.0/24 metric 7"},
		{words: "add prohibit 10.70.11.0/24 proto bird"},
		{words: "add unicast to 10.70.12.0/24 via 10.70.1.1 dev ns1 scope global table main"},
		{words: "add 10.70.13.0/24 via 172.16.0.1 encap ipip"},
		{words: "add default via 192.168.0.1 src 192.168.0.11"},

		{"add 10.70.20.0/24 via 172.16.0.1", 1, `via: 172.16.0.1 is no neighbour: ens160 has .*192.168.0.11/24`},
		{"add 10.70.20.0/24 via 172.16.0.1 encap none", 1, `via: 172.16.0.1 is no neighbour`},
		{"add 10.70.20.0/24 via 192.168.0.12 dev ns1", 1, `dev: 192.168.0.12 is reached by ens160, not by "ns1"`},
		{"add 10.70.20.0/24 dev ens160", 1, `via: missing`},
		{"add 10.70.20.0/24", 1, `via: missing`},
		{"add blackhole 10.70.20.0/24 via 192.168.0.12", 1, `via: a blackhole route has no next hop`},
		{"add blackhole 10.70.20.0/24 dev ens160", 1, `dev: a blackhole route sends nothing`},
		{"add 10.70.20.1/24 via 192.168.0.12", 1, `to: 10.70.20.1/24 has bits set after its first 24`},
		{"add 2001:db8::/32 via 192.168.0.12", 1, `to: .*IPv6`},
		{"add 10.70.20.0/24 via 192.168.0.12 metric 4294967296", 1, `metric: "4294967296" is not a metric`},
		{"add 10.70.20.0/24 via 192.168.0.12 proto nobody", 1, `proto: no routing protocol is known as "nobody"`},
		{"add 10.70.1.1 via 192.168.0.12", 1, `to: 10.70.1.1/32 dev ns1 .* is the router's own`},
		{"add 192.168.0.0/24 dev ens160", 1, `to: 192.168.0.0/24 dev ens160 .* is there`},

		{"add 10.70.20.0/33 via 192.168.0.12", 2, `"10.70.20.0/33": the length of a prefix is a whole number from 0 to 32`},
		{"add fd00:8c::/129 via fe80::1", 2, `"fd00:8c::/129": the length of a prefix is a whole number from 0 to 128`},
		{"add 10.70.20.0/24 via 192.168.0.12 onlink", 2, `"onlink": neither a destination nor a word that is known`},
		{"add 10.70.20.0/24 via 192.168.0.12 mtu 1400", 2, `"mtu": neither`},
		{"add 10.70.20.0/24 via inet6 fe80::1", 1, `via: fe80::1 is IPv6, and ens160 has no address of that`},
		{"add 10.70.20.0/24 via inet6 x", 2, `"x": not the address of a next hop`},
		{"add 10.70.20.0/24 via", 2, `"via": its value is missing`},
		{"add 10.70.20.0/24 via 192.168.0.12 via 192.168.0.13", 2, `"via": via was said already`},
		{"add 10.70.20.0/24 10.70.21.0/24 via 192.168.0.12", 2, `"10.70.21.0/24": a second destination`},
		{"add 10.70.20.0/24 via 192.168.0.12 encap mpls", 2, `"mpls": no such encapsulation`},
		{"add 10.70.20.0/24 via 192.168.0.12 table 100", 2, `"100": there is one table here`},
		{"add 10.70.20.0/24 via 192.168.0.12 metric low", 2, `"low": not a metric`},
		{"add 10.70.20.0/24 via 192.168.0.12 scope link", 2, `"scope": a next hop is not of scope link`},
		{"add via 192.168.0.12", 2, `the destination is missing`},
		{"add", 2, `the destination is missing`},
		{"change 10.70.20.0/24", 2, `unknown word "change"; there is list, get, add, replace, del`},

		{"del 10.70.20.0/24", 1, `to: no route to 10.70.20.0/24 is like that`},
		{"del 10.70.1.1", 1, `to: no static route to 10.70.1.1/32 is like that; there is 10.70.1.1/32 dev ns1`},
		{"del 10.70.3.1 metric 5", 1, `to: no route to 10.70.3.1/32 is like that`},
		{"del 10.70.3.1 via 192.168.0.12", 1, `to: no route`},
		{"del blackhole 10.70.10.0/24", 1, `to: no route`},
		{"del 10.70.12.0/24 dev ens160", 1, `to: no route`},
	})
	h.wantStatic(t,
		"default via 192.168.0.1 dev ens160 proto static",
		"10.70.2.1/32 via 192.168.0.12 dev ens160 proto static",
		"10.70.3.1/32 via 192.168.0.14 dev ens160 proto static",
		"10.70.3.1/32 via 192.168.0.13 dev ens160 proto static metric 10  (not used: another one is preferred)",
		"blackhole 10.70.9.0/24 proto static",
		"unreachable 10.70.10.0/24 proto static metric 7",
		"prohibit 10.70.11.0/24 proto bird",
		"10.70.12.0/24 via 10.70.1.1 dev ns1 proto static",
		"10.70.13.0/24 via 172.16.0.1 dev ens160 proto static encap ipip",
	)
	tunnel := []string{"172.16.0.1", "both"}
	if out := h.ask(t, "show", "tunnels").wantOK(t); !hasLine(out, tunnel) {
		t.Errorf("a route brought no tunnel:\n%s", out)
	}
	if mtu := stateOf(t, h.ns1, "eth0").MTU; mtu != 1480 {
		t.Errorf("mtu %d of the workload; a route takes packets into a tunnel", mtu)
	}
	h.say(t, []said{
		{words: "del 10.70.3.1"}, {words: "del 10.70.3.1"}, {words: "del blackhole 10.70.9.0/24"}, {words: "del 10.70.10.0/24 metric 7"},
		{words: "delete 10.70.11.0/24 proto bird"}, {words: "del 10.70.12.0/24 dev ns1"}, {words: "del 10.70.13.0/24 encap ipip via 172.16.0.1"}, {words: "del default"},
	})
	h.wantStatic(t, "10.70.2.1/32 via 192.168.0.12 dev ens160 proto static")
	if out := h.ask(t, "show", "tunnels").wantOK(t); hasLine(out, tunnel[:1]) {
		t.Errorf("the tunnel of no route is left:\n%s", out)
	}
	if mtu := stateOf(t, h.ns1, "eth0").MTU; mtu != 1500 {
		t.Errorf("mtu %d of the workload", mtu)
	}
	wantEcho(t, h.ns1, there, 62)
	h.say(t, []said{{words: "replace blackhole " + there}})
	wantEcho(t, h.ns1, there, 0)
	h.say(t, []said{{words: "replace 10.70.2.1 via 192.168.0.12"}})
	wantEcho(t, h.ns1, there, 62)
}

// A file is done as a whole, or not at all.
func TestRouteBatch(t *testing.T) {
	h := labUp(t, "")[0]
	const kept = "10.70.2.1/32 via 192.168.0.12 dev ens160 proto static"
	batch := func(op, text string) result {
		t.Helper()
		return h.ask(t, "route", op, "-f", file(t, "routes", text))
	}
	const some = "# as `ip -batch` has it\nroute add 10.71.0.0/16 via 192.168.0.12\n\nadd blackhole 10.72.0.0/16 # and as it is shown:\n" +
		"10.73.0.0/16 via 192.168.0.12 dev ens160 proto bird metric 32 \nroute del 10.71.0.0/16\n"
	if out := batch("add", some).wantOK(t); out != "3 added, 0 replaced, 1 deleted\n" {
		t.Error(out)
	}
	all := []string{kept, "blackhole 10.72.0.0/16 proto static", "10.73.0.0/16 via 192.168.0.12 dev ens160 proto bird metric 32"}
	h.wantStatic(t, all...)
	for text, want := range map[string]string{
		"10.74.0.0/16 via 192.168.0.12\n\n10.75.0.0/16 via 172.16.0.1\n":      `routes:3: via: 172.16.0.1 is no neighbour.*; nothing was changed`,
		"10.74.0.0/16 via 192.168.0.12\n10.75.0.0/16 via 192.168.0.12 onlink": `routes:2: "onlink": .*; nothing was changed`,
		"10.74.0.0/16 via 192.168.0.12\ndel 10.72.0.0/16\nadd 10.73.0.0/16":   `routes:3: via: missing`,
		"del 10.72.0.0/16\nreplace default via 192.168.0.1\ndel 10.1.2.3":     `routes:3: to: no route to 10.1.2.3/32`,
		"del 10.2.0.0/16\n":        `routes:1: to: no route`,
		"blackhole 10.72.0.0/16":   `routes:1: to: there is a route`,
		"route flush 10.72.0.0/16": `routes:1: "flush": there is add, replace and del`,
		"10.1.0.0/16 via 192.168.0.12 " + strings.Repeat("x", 1<<17): `routes:1: .*too long`,
	} {
		batch("add", text).wantError(t, 1, want)
		h.wantStatic(t, all...)
	}
	h.ask(t, "route", "add", "-f", "/no/such/file").wantError(t, 1, "/no/such/file: no such file")
	h.ask(t, "route", "add", "-f", "-", "10.1.0.0/16").wantError(t, 2, `a file and "10.1.0.0/16"`)

	// What the router prints, it takes: nothing changes.
	list := h.ask(t, "route", "list").wantOK(t)
	if out := batch("replace", list).wantOK(t); out != "0 added, 0 replaced, 0 deleted\n" {
		t.Error(out)
	}
	cmd := command(t, "--socket", h.Socket, "route", "del", "--batch", "-")
	cmd.Stdin = strings.NewReader("10.72.0.0/16\n10.73.0.0/16\n")
	if out := run(t, cmd).wantOK(t); out != "0 added, 0 replaced, 2 deleted\n" {
		t.Error(out)
	}
	h.wantStatic(t, kept)
}

// Reloads undo no command, and the file that `show config` prints gives the state
// that commands have led to.
func TestCommandsAndTheFile(t *testing.T) {
	ns := newHost(t)
	const socket = "/run/vrouter/vrouter.sock"
	h := host{Host: &lab.Host{Socket: socket}, ns: ns}
	path := file(t, "config.yaml", hostConfig+"routes:\n  - {to: 10.1.0.0/16, via: 192.168.0.12}\n  - {to: 10.2.0.0/16, type: blackhole}\n  - {to: 10.3.0.0/16, via: 192.168.0.12}\n")
	r := start(t, command(t, "run", "--config", path), ns.Do)
	t.Cleanup(func() { start(t, command(t, "down", "--config", path), ns.Do).wait(t).wantOK(t) })
	eventually(t, "the router answers", func() bool { return vrouter(t, "show", "ports").status == 0 })
	h.say(t, []said{
		{words: "add 10.4.0.0/16 via 192.168.0.12 proto bird"}, {words: "replace 10.2.0.0/16 via 192.168.0.13"}, {words: "del 10.3.0.0/16"},
		{words: "add 10.5.0.0/16 via 10.70.1.2 encap ipip"},
	})
	h.ask(t, "workload", "add", "w2", "address", "10.70.1.2/24", "mtu", "1400").wantOK(t)
	want := []string{
		"10.1.0.0/16 via 192.168.0.12 dev ens160 proto static", "10.2.0.0/16 via 192.168.0.13 dev ens160 proto static",
		"10.4.0.0/16 via 192.168.0.12 dev ens160 proto bird", "10.5.0.0/16 via 10.70.1.2 dev w2 proto static",
	}
	h.wantStatic(t, want...)
	h.ask(t, "reload").wantOK(t)
	h.wantStatic(t, want...)
	wantEcho(t, workload.Named("w2"), "10.70.1.1", 63)

	// A file that says what the commands said has taken it over: it is the file's to take away again.
	before := read(t, path)
	shown := h.ask(t, "show", "config").wantOK(t)
	write(t, path, shown)
	h.ask(t, "reload").wantOK(t)
	h.wantStatic(t, want...)
	if again := h.ask(t, "show", "config").wantOK(t); again != shown {
		t.Errorf("after the reload of\n%s\nthere is\n%s", shown, again)
	}
	write(t, path, before)
	h.ask(t, "reload").wantOK(t)
	h.wantStatic(t, "10.1.0.0/16 via 192.168.0.12 dev ens160 proto static", "blackhole 10.2.0.0/16 proto static", "10.3.0.0/16 via 192.168.0.12 dev ens160 proto static")
	if workload.Named("w2").Exists() {
		t.Error("w2 is still there")
	}

	// A command that deletes what the file never had leaves nothing that a file would meet.
	h.ask(t, "workload", "add", "w2", "address", "10.70.1.3/24").wantOK(t)
	h.ask(t, "workload", "del", "w2").wantOK(t)
	write(t, path, shown)
	h.ask(t, "reload").wantOK(t)
	h.wantStatic(t, want...)
	wantEcho(t, workload.Named("w2"), "10.70.1.1", 63)

	r.signal(t, syscall.SIGINT)
	start(t, command(t, "run", "--config", path), ns.Do)
	eventually(t, "the router answers again", func() bool { return vrouter(t, "show", "ports").status == 0 })
	h.wantStatic(t, want...)
	if again := h.ask(t, "show", "config").wantOK(t); again != shown {
		t.Errorf("after a start with\n%s\nthere is\n%s", shown, again)
	}
	wantEcho(t, workload.Named("w2"), "10.70.1.1", 63)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Tens of thousands of changes, in batches of a thousand and one at a time, lose
// no packet of what they do not concern.
func TestRouteChangesLoseNothing(t *testing.T) {
	h := labUp(t, "")[0]
	wantEcho(t, h.ns1, there, 62)
	stop := floods(t, h.ns1, there)
	c := control.NewClient(h.Socket)
	defer c.Close()
	change := func(op string, from, n int) {
		t.Helper()
		_, err := c.ChangeRoutes(t.Context(), func(yield func(control.RouteChange, error) bool) {
			for i := from; i < from+n; i++ {
				if !yield(control.RouteChange{Op: op, To: fmt.Sprintf("11.%d.%d.0/24", i>>8&255, i&255), Via: "192.168.0.12"}, nil) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	for i := range 20 {
		change("add", i*1000, 1000)
	}
	for i := range 20 {
		change("del", i*1000, 1000)
	}
	t.Logf("%.0f changes a second", 40000/time.Since(began).Seconds())
	for i := range 500 {
		change("replace", i%3, 1)
	}
	stop()
}

// floods pings without a pause until stop is called, which says whether a ping was lost.
func floods(t *testing.T, from workload.Namespace, to string) (stop func()) {
	t.Helper()
	end, result := make(chan struct{}), make(chan error, 1)
	go func() {
		result <- from.Do(func() error {
			for {
				select {
				case <-end:
					return nil
				default:
				}
				if err := flood(to, 1000); err != nil {
					return err
				}
			}
		})
	}()
	return func() {
		t.Helper()
		close(end)
		if err := <-result; err != nil {
			t.Error(err)
		}
	}
}
