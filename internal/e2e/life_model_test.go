package e2e

import (
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"pgregory.net/rapid"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
)

var (
	lifeSeed  = flag.Int("life.seed", 1, "of the life that a router is led through")
	lifeSteps = flag.Int("life.steps", 25, "how many things happen to it")
)

// The keys of a life: workloads, whose value is their addresses, and destinations, whose value is a
// route. "" is none.
var lifeValues = map[string][]string{
	"w3":           {"", "10.70.1.3/24", "10.70.1.13/24", "10.70.1.3/24 fd00:70:1::3/128"},
	"w4":           {"", "fd00:70:1::4/128", "10.70.1.14/24", "10.70.1.14/24 fd00:70:1::14/128 fd00:70:1::4/128"},
	there:          {"", "via 192.168.0.12", "blackhole"},
	"10.80.0.0/16": {"", "via 192.168.0.12", "blackhole"},
	there6:         {"", "via fd00:192::12", "blackhole"},
	"fd00:80::/32": {"", "via fd00:192::12", "blackhole"},
}

var lifeKeys = slices.Sorted(maps.Keys(lifeValues))

// event is one thing that happens to a router. What it does not need is drawn too.
type event struct {
	Op   string
	Key  int
	Pick int
	File [6]int // the value of each key
	RPF  string
}

var drawEvent = rapid.Custom(func(rt *rapid.T) event {
	e := event{
		Op: rapid.SampledFrom([]string{"reload", "reload", "command", "command", "command", "stop", "kill", "second", "namespace", "uplink", "bad"}).Draw(rt, "op"),
		// The value that a command or a file gives.
		Key: rapid.IntRange(0, len(lifeKeys)-1).Draw(rt, "key"), Pick: rapid.IntRange(0, 3).Draw(rt, "pick"),
		RPF: rapid.SampledFrom([]string{"strict", "off"}).Draw(rt, "rpf"),
	}
	for i := range e.File {
		e.File[i] = rapid.IntRange(0, 3).Draw(rt, "file")
	}
	return e
})

// life is the model: what the file and what commands say of each key, and the router that
// is to be like that.
type life struct {
	host
	router   *running
	base     string // the file without what is drawn
	rpf      string
	guard    int // rules
	file     map[string]string
	commands map[string]string // beside the file; "": deleted
	remade   map[string]bool   // namespaces that are not the router's any more to delete
}

func (l *life) state() map[string]string {
	all := maps.Clone(l.file)
	maps.Copy(all, l.commands)
	maps.DeleteFunc(all, func(_, v string) bool { return v == "" })
	return all
}

func isWorkload(key string) bool { return key[0] == 'w' }

// valueOf is one of a key's.
func valueOf(key string, pick int) string { return lifeValues[key][pick%len(lifeValues[key])] }

func (l *life) text() string {
	workloads, routes := "workloads:\n", "routes:\n"
	for _, k := range lifeKeys {
		switch v := l.file[k]; {
		case v == "":
		case isWorkload(k):
			workloads += fmt.Sprintf("  - {name: %s, addresses: [\"%s\"]}\n", k, strings.ReplaceAll(v, " ", `", "`))
		case v == "blackhole":
			routes += fmt.Sprintf("  - {to: %q, type: blackhole}\n", k)
		default:
			routes += fmt.Sprintf("  - {to: %q, via: %q}\n", k, strings.TrimPrefix(v, "via "))
		}
	}
	text := strings.Replace(l.base, "workloads:\n", workloads, 1)
	text = strings.Replace(text, "rpf: strict", "rpf: "+l.rpf, 1)
	head, tail, _ := strings.Cut(text, "routes:\n")
	for strings.HasPrefix(tail, " ") { // those of the lab
		_, tail, _ = strings.Cut(tail, "\n")
	}
	if routes == "routes:\n" {
		routes = "routes: []\n"
	}
	return head + routes + tail
}

// start is restart without its limit of time.
func (l *life) start(t *testing.T) {
	t.Helper()
	config := filepath.Join(filepath.Dir(l.Socket), "config.yaml")
	l.router = start(t, exec.Command(program, "lab", "exec", l.Name, "--", program, "run", "--config", config), outsideOfAll)
	eventually(t, "the router answers again", func() bool { return l.router.hasEnded() || l.ask(t, "show", "ports").status == 0 })
	if l.router.hasEnded() {
		t.Fatalf("the router did not start again: %+v", l.router.wait(t))
	}
}

// command gives a key a value as a user would.
func (l *life) command(t *testing.T, key, value string) {
	t.Helper()
	is := l.state()[key]
	var words []string
	switch {
	case value == is:
		return
	case isWorkload(key) && is != "" && value != "": // there is no command that changes one
		l.command(t, key, "")
		words = addsWorkload(key, value)
	case isWorkload(key) && value != "":
		words = addsWorkload(key, value)
	case isWorkload(key):
		words = []string{"workload", "del", key}
	case value == "":
		words = []string{"route", "del", key}
	case value == "blackhole":
		words = []string{"route", "replace", value, key}
	case is == "":
		words = append([]string{"route", "add", key}, strings.Fields(value)...)
	default:
		words = append([]string{"route", "replace", key}, strings.Fields(value)...)
	}
	l.ask(t, words...).wantOK(t)
	l.commands[key] = value
	if value == "" && l.file[key] == "" {
		delete(l.commands, key)
	}
}

func addsWorkload(name, addresses string) []string {
	words := []string{"workload", "add", name}
	for _, a := range strings.Fields(addresses) {
		words = append(words, "address", a)
	}
	return words
}

// reload has the router read the present file. What it has come to say is no command's.
func (l *life) reload(t *testing.T) {
	t.Helper()
	l.edit(t, func(string) string { return l.text() })
	l.ask(t, "reload").wantOK(t)
	maps.DeleteFunc(l.commands, func(k, v string) bool { return v == l.file[k] })
}

func lifeAtFirst() map[string]string {
	return map[string]string{there: "via 192.168.0.12", there6: "via fd00:192::12"}
}

// happens does it to the router, and to the model.
func (l *life) happens(t *testing.T, e event) {
	t.Helper()
	config := filepath.Join(filepath.Dir(l.Socket), "config.yaml")
	switch e.Op {
	case "reload":
		for i, k := range lifeKeys {
			l.file[k] = valueOf(k, e.File[i])
		}
		l.rpf = e.RPF
		l.reload(t)
	case "command":
		k := lifeKeys[e.Key]
		l.command(t, k, valueOf(k, e.Pick))
	case "stop", "kill":
		for k, v := range maps.Clone(l.commands) { // the next start would not look for it
			if isWorkload(k) && v != "" && l.file[k] == "" {
				l.command(t, k, "")
			}
		}
		sig := map[string]syscall.Signal{"stop": syscall.SIGTERM, "kill": syscall.SIGKILL}[e.Op]
		l.router.signal(t, sig)
		if status := l.router.wait(t).status; sig == syscall.SIGTERM && status != 0 {
			t.Errorf("status %d after SIGTERM", status)
		}
		l.start(t)
		l.commands = map[string]string{}
	case "second":
		second := run(t, command(t, "lab", "exec", l.Name, "--", program, "run", "--config", config))
		second.wantError(t, 1, "another vrouter answers there")
	case "namespace":
		for k := range l.state() {
			if !isWorkload(k) {
				continue
			}
			if err := l.named(k).Delete(); err != nil {
				t.Fatal(err)
			}
			eventually(t, k+" is detached", func() bool { return l.ask(t, "show", "ports", k).status != 0 })
			if _, err := workload.Create(filepath.Base(string(l.named(k)))); err != nil {
				t.Fatal(err)
			}
			l.remade[k] = true
		}
	case "uplink":
		for _, f := range []func(netlink.Link) error{netlink.LinkSetDown, netlink.LinkSetUp} {
			in(t, l.ns, func() error { return withLink(uplink, f) })
		}
	case "bad":
		before := l.ask(t, "show", "config").wantOK(t)
		l.edit(t, func(s string) string {
			return strings.Replace(s, "workloads:\n", "workloads:\n  - {name: bad, namespace: /nowhere, address: 192.168.0.11/24}\n", 1)
		})
		l.ask(t, "reload").wantError(t, 1, "workload bad: address: 192.168.0.11 is the address of ens160")
		if after := l.ask(t, "show", "config").wantOK(t); after != before {
			t.Errorf("a reload that was refused made of\n%s\nthis:\n%s", before, after)
		}
		l.edit(t, func(string) string { return l.text() })
	}
}

// check holds the router to the model, from outside.
func (l *life) check(t *testing.T) {
	t.Helper()
	state := l.state()
	workloads, routes := []string{"ns1 " + here + "/24 " + here6 + "/128"}, []string{}
	for _, k := range lifeKeys {
		switch v := state[k]; {
		case v == "":
			if isWorkload(k) && !l.remade[k] && l.named(k).Exists() {
				t.Errorf("the namespace of %s is left behind", k)
			}
		case isWorkload(k):
			workloads = append(workloads, k+" "+v)
		default:
			if a, err := netip.ParseAddr(k); err == nil {
				k = netip.PrefixFrom(a, a.BitLen()).String()
			}
			if v == "blackhole" {
				routes = append(routes, "blackhole "+k+" proto static")
			} else {
				routes = append(routes, k+" "+v+" dev ens160 proto static")
			}
		}
	}
	var got []string
	eventually(t, fmt.Sprintf("there are the workloads %q", workloads), func() bool {
		got = nil
		for _, w := range decode[[]control.Workload](t, l.ask(t, "workload", "list", "-o", "json").wantOK(t)) {
			if w.Waits == "" {
				got = append(got, w.Name+" "+strings.Join(w.Addresses, " "))
			}
		}
		slices.Sort(got)
		return slices.Equal(got, workloads)
	})
	slices.Sort(routes)
	var found []string
	eventually(t, fmt.Sprintf("there are the routes %q", routes), func() bool {
		found = slices.DeleteFunc(strings.Split(l.static(t), "\n"), func(line string) bool { return line == "" })
		slices.Sort(found)
		return slices.Equal(found, routes)
	})
	if out := l.ask(t, "show", "config").wantOK(t); !strings.Contains(strings.ReplaceAll(out, `"`, ""), "rpf: "+l.rpf) {
		t.Errorf("rpf is to be %s:\n%s", l.rpf, out)
	}
	for k, v := range state {
		if isWorkload(k) {
			for _, a := range strings.Fields(v) {
				p := netip.MustParsePrefix(a)
				ours := here
				if p.Addr().Is6() {
					ours = here6
				}
				resumes(t, l.named(k), ours)
				resumes(t, l.ns1, p.Addr().String())
			}
		}
	}
	for to, k := range map[string]string{there: there, "10.80.0.1": "10.80.0.0/16", there6: there6, "fd00:80::1": "fd00:80::/32"} {
		switch v := state[k]; {
		case v == "blackhole":
			l.wantDrop(t, to, "blackhole")
		case v == "":
			l.wantDrop(t, to, "no_route")
		case to == there, to == there6:
			resumes(t, l.ns1, to)
		}
	}
	if n := len(guardOf(t, l.ns)); n != l.guard {
		t.Errorf("%d rules of the guard, %d before", n, l.guard)
	}
	if n := scrape(t, l.ns)[key("accounting_imbalance_packets")]; n != 0 {
		t.Errorf("imbalance of %v packets", n)
	}
}

// wantDrop pings what is not to be reached, and looks for the reason.
func (l *life) wantDrop(t *testing.T, to, reason string) {
	t.Helper()
	dropped := func() float64 {
		return scrape(t, l.ns)[key("drop_packets_total", `port="ns1"`, fmt.Sprintf("reason=%q", reason))]
	}
	before := dropped()
	if ttl := echo(t, l.ns1, to, 100*time.Millisecond); ttl != 0 {
		t.Errorf("%s answers; the reason was to be %s", to, reason)
	}
	eventually(t, "a ping to "+to+" is dropped for "+reason, func() bool { return dropped() > before })
}

// Whatever happens to a router, in whatever order and in either family, it is then what the model says.
func TestLifeModel(t *testing.T) {
	h := dualStack(t)[0]
	wantEcho(t, h.ns1, there, 62)
	wantEcho(t, h.ns1, there6, 62)
	setIn(t, h.ns, uplink+"/keep_addr_on_down", "1") // as IPv4's stay
	l := &life{
		host: h, base: read(t, filepath.Join(filepath.Dir(h.Socket), "config.yaml")), rpf: "strict",
		file: lifeAtFirst(), commands: map[string]string{}, remade: map[string]bool{},
	}
	h.killRouter(t, syscall.SIGTERM)
	l.start(t)
	taken := func() (descriptors, goroutines float64) {
		s := scrape(t, l.ns)
		return s[key("process_open_fds")], s[key("go_goroutines")]
	}
	links := linksOf(t, l.ns)
	l.guard = len(guardOf(t, l.ns))
	l.check(t)
	descriptors, goroutines := taken()
	t.Cleanup(func() {
		for _, k := range []string{"w3", "w4"} {
			if ns := l.named(k); ns.Exists() && (l.remade[k] || t.Failed()) {
				if err := ns.Delete(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for i, e := range rapid.SliceOfN(drawEvent, *lifeSteps, *lifeSteps).Example(*lifeSeed) {
		t.Logf("%d: %+v", i, e)
		l.happens(t, e)
		l.check(t)
		if t.Failed() {
			t.Fatalf("with -life.seed=%d, after step %d; the model: file %v, commands %v", *lifeSeed, i, l.file, l.commands)
		}
	}
	l.file, l.rpf = lifeAtFirst(), "strict"
	l.reload(t)
	for k := range maps.Clone(l.commands) {
		l.command(t, k, l.file[k])
	}
	l.check(t)
	if now := linksOf(t, l.ns); !slices.Equal(now, links) {
		t.Errorf("interfaces %v, before %v", now, links)
	}
	eventually(t, "no more goroutines and descriptors than before", func() bool {
		d, g := taken()
		return d <= descriptors && g <= goroutines
	})
}
