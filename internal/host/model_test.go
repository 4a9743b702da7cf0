package host

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/vrouter/vrouter/internal/guard"
	"github.com/vrouter/vrouter/internal/workload"
)

var (
	lives = flag.Int("model.lives", 12, "how many hosts are led through a life each")
	life1 = flag.Int("model.first", 1, "seed of the first of them")
)

// mortal is set in a process that is a router's executor, and dies where it is told to.
const mortal = "VROUTER_HOST_MORTAL"

// wish is what the configuration of a mortal says.
type wish struct {
	Guard, Export bool
	// Of the workloads the last byte of the address; 0: there is none. Found is in a namespace that somebody has
	// made; Named is in one by its name; Other has another interface's name.
	Found, Named, Other int
	Families            int  // of the workloads' addresses: 1 IPv4, 2 IPv6, 3 both
	Net0                bool // Other's interface
	Command             bool // a command asked for Named
	Kill                int  // after so many writes; 0: it takes everything back
	Down                bool
}

var drawWish = rapid.Custom(func(t *rapid.T) wish {
	return wish{
		Guard: rapid.Bool().Draw(t, "guard"), Export: rapid.Bool().Draw(t, "export"),
		Found: rapid.IntRange(0, 2).Draw(t, "found"), Named: rapid.IntRange(0, 2).Draw(t, "named"), Other: rapid.IntRange(0, 2).Draw(t, "other"),
		Families: rapid.SampledFrom([]int{1, 2, 3, 3}).Draw(t, "families"),
		Net0:     rapid.Bool().Draw(t, "net0"), Kill: rapid.IntRange(1, 40).Draw(t, "kill"), Down: rapid.IntRange(0, 4).Draw(t, "down") == 0,
	}
})

const (
	uplink  = "ens160"
	foundNS = "/run/netns/found"
	namedNS = "/run/netns/named"
	otherNS = "/run/netns/other"
)

func addr(kind, last int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("10.70.%d.%d/24", kind, last))
}

func addr6(kind, last int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("fd00:70:%d::%d/128", kind, last))
}

// addresses are those of a workload.
func (w *wish) addresses(kind, last int) (all []netip.Prefix) {
	if w.Families&1 != 0 {
		all = append(all, addr(kind, last))
	}
	if w.Families&2 != 0 {
		all = append(all, addr6(kind, last))
	}
	return all
}

func (w *wish) objects() (all []Object) {
	l, err := netlink.LinkByName(uplink)
	if err != nil {
		panic(err)
	}
	if w.Guard {
		all = append(all, &Guard{Uplink: uplink, Device: uplink, Index: l.Attrs().Index, Own: []netip.Addr{netip.MustParseAddr("192.168.0.11")}})
	}
	x := &Exports{Device: "vrouter0"}
	add := func(path workload.Namespace, named bool, name string, kind, last int) {
		a := w.addresses(kind, last)
		all = append(all, &Namespace{Path: path, Make: named, Workload: string(path)},
			&Interface{Namespace: path, Name: name, Addresses: a, MTU: 1400, Offload: true, Workload: string(path),
				Gateway: netip.MustParseAddr("169.254.1.1"), Gateway6: netip.MustParseAddr("fe80::ecee:eeff:feee:eeee")})
		for _, to := range a {
			x.To = append(x.To, to.Addr())
		}
	}
	if w.Found != 0 {
		add(foundNS, false, "eth0", 1, w.Found)
	}
	if w.Named != 0 {
		add(namedNS, true, "eth0", 2, w.Named)
	}
	if w.Other != 0 {
		add(otherNS, true, w.other(), 3, w.Other)
	}
	if w.Export {
		all = append(all, &Interface{Name: "vrouter0", IPv6: w.Families&2 != 0, MTU: 1400, Offload: true}, x)
	}
	return all
}

func (w *wish) other() string {
	if w.Net0 {
		return "net0"
	}
	return "eth0"
}

// live is a mortal's life.
func live() int {
	var w wish
	if err := json.Unmarshal([]byte(os.Getenv(mortal)), &w); err != nil {
		return 2
	}
	writes := 0
	written = func() {
		if writes++; writes == w.Kill {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if w.Down {
		if _, err := TakeBack(uplink, func(*Entry) bool { return true }, log); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	h, err := Open(uplink, "", log)
	if err == nil {
		err = h.Apply(w.objects())
	}
	if err == nil {
		for _, it := range h.Waiting() {
			err = errors.Join(err, fmt.Errorf("%s: %w", it.id(), it.Err))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0 // without a word to anybody: as if it was killed
}

func (w wish) run(t *testing.T) (killed bool) {
	t.Helper()
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), mortal+"="+string(text))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == -1 {
		return true
	}
	if err != nil {
		t.Fatalf("%+v: %v: %s", w, err, out)
	}
	return false
}

// facts are what a namespace has, in words: interfaces with their addresses, and routes.
func facts(ns workload.Namespace) (all []string) {
	_ = in(ns, func() error {
		links, _ := netlink.LinkList()
		for _, l := range links {
			a := l.Attrs()
			words := fmt.Sprintf("%s %s", l.Type(), a.Name)
			for _, family := range families {
				_ = addresses(family, a.Index, func(x netip.Prefix) bool {
					if a.Name != "lo" && !x.Addr().IsLinkLocalUnicast() {
						words += " " + x.String()
					}
					return true
				})
			}
			if a.Flags&net.FlagUp == 0 {
				words += " down"
			}
			all = append(all, words)
		}
		for _, family := range families {
			_ = routes(family, func(r Route) bool {
				if text := r.inWords().Text; !strings.Contains(text, "dev "+uplink) && r.prefix != netip.MustParsePrefix("fe80::/64") {
					all = append(all, text)
				}
				return true
			})
		}
		return nil
	})
	slices.Sort(all)
	return all
}

func wantFacts(t *testing.T, when string, ns workload.Namespace, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := facts(ns); !slices.Equal(got, want) {
		t.Errorf("%s: %s has\n%q, want\n%q", when, ns, got, want)
	}
}

// workloadFacts are those of a namespace with one.
func (w *wish) workloadFacts(name string, kind, last int) (facts []string) {
	words := "tuntap " + name
	for _, a := range w.addresses(kind, last) {
		words += " " + a.String()
		if a.Addr().Is4() {
			facts = append(facts, "default via 169.254.1.1 dev "+name, "169.254.1.1/32 dev "+name, fmt.Sprintf("%s dev %s", a.Masked(), name))
		} else {
			facts = append(facts, "default via fe80::ecee:eeff:feee:eeee dev "+name, fmt.Sprintf("%s dev %s metric 256", a.Masked(), name))
		}
	}
	return append(facts, words)
}

// check holds the host to a wish that was fulfilled, and to what somebody else has there.
func (w wish) check(t *testing.T, users map[workload.Namespace]uint64) {
	t.Helper()
	if w.Down {
		w = wish{}
	}
	lo := "device lo"
	own := []string{lo + " down", "bridge mine 10.9.0.2/24 fd00:9::2/64", "10.9.0.0/24 dev mine", "fd00:9::/64 dev mine metric 256"}
	if w.Found == 0 || w.Families&1 == 0 {
		own = append(own, "default via 10.9.0.1 dev mine")
	}
	if w.Found == 0 || w.Families&2 == 0 {
		own = append(own, "default via fd00:9::1 dev mine")
	}
	if w.Found != 0 {
		own = append(own, w.workloadFacts("eth0", 1, w.Found)...)
	}
	wantFacts(t, "somebody's namespace", foundNS, own...)
	named := func(ns workload.Namespace, name string, kind, last int, there bool) {
		cookie, err := ns.Cookie()
		users := users[ns]
		switch {
		case users != 0 && (err != nil || cookie != users):
			t.Errorf("%s, which somebody has made, is gone", ns)
		case users == 0 && !there && !errors.Is(err, workload.ErrNone):
			t.Errorf("%s is left: %v", ns, err)
		case there && users != 0:
			wantFacts(t, "attached to somebody's", ns, append(w.workloadFacts(name, kind, last), lo+" down", "bridge more down")...)
		case there:
			wantFacts(t, "attached", ns, append(w.workloadFacts(name, kind, last), lo)...)
		case users != 0:
			wantFacts(t, "somebody's again", ns, lo+" down", "bridge more down")
		}
	}
	named(namedNS, "eth0", 2, max(w.Named, 1), w.Named != 0)
	named(otherNS, w.other(), 3, max(w.Other, 1), w.Other != 0)
	hostFacts := []string{lo + " down", "bridge " + uplink + " 192.168.0.11/24", "bridge other 10.8.0.1/24 fd00:8::1/64", "10.8.0.0/24 dev other", "fd00:8::/64 dev other metric 256"}
	theirs := []string{"10.70.1.1/32 via 10.8.0.2 dev other", "fd00:70:1::1/128 via fd00:8::2 dev other"}
	if w.Export {
		hostFacts = append(hostFacts, "tuntap vrouter0")
		for kind, last := range []int{0, w.Found, w.Named, w.Other} {
			if last == 0 {
				continue
			}
			for _, a := range w.addresses(kind, last) {
				hostFacts = append(hostFacts, fmt.Sprintf("%s dev vrouter0", netip.PrefixFrom(a.Addr(), a.Addr().BitLen())))
			}
		}
	}
	for i, r := range theirs {
		if !w.Export || w.Found != 1 || w.Families&(1<<i) == 0 {
			hostFacts = append(hostFacts, r)
		}
	}
	wantFacts(t, "the host", "", hostFacts...)
	guards, err := guard.Interfaces()
	if err != nil || (len(guards) == 1) != w.Guard {
		t.Errorf("guards on %v (%v), want one: %v", guards, err, w.Guard)
	}
	if _, err := os.Stat(Directory + "/" + uplink + ".json"); w.Down && err == nil {
		t.Error("the record is left")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bridge makes one that is up, with addresses; with none it is down.
func bridge(name string, addresses ...string) error {
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}
	if err := netlink.LinkAdd(br); err != nil || addresses == nil {
		return err
	}
	err := netlink.LinkSetUp(br)
	for _, address := range addresses {
		a, aerr := netlink.ParseAddr(address)
		if aerr == nil && a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
		}
		err = errors.Join(err, aerr, netlink.AddrAdd(br, a))
	}
	return err
}

func gateway(to, via, dev string) error {
	l, err := netlink.LinkByName(dev)
	if err != nil {
		return err
	}
	_, dst, err := net.ParseCIDR(to)
	if err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Gw: net.ParseIP(via)})
}

// userNamespace is one that somebody makes, as `ip netns add` does.
func userNamespace(t *testing.T, ns workload.Namespace, f func() error) uint64 {
	t.Helper()
	n, err := workload.Create(strings.TrimPrefix(string(ns), "/run/netns/"))
	must(t, err)
	must(t, n.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		return errors.Join(err, netlink.LinkSetDown(lo), f())
	}))
	cookie, err := n.Cookie()
	must(t, err)
	return cookie
}

// However often a router's executor is killed, between whichever two of its writes, and whatever it was to do then: the next
// one that lives has the host be as its configuration says, what takes back takes back all of it, and nothing is lost
// that was somebody else's.
func TestKilledBetweenAnyTwoWrites(t *testing.T) {
	must(t, bridge(uplink, "192.168.0.11/24"))
	must(t, bridge("other", "10.8.0.1/24", "fd00:8::1/64"))
	must(t, gateway("10.70.1.1/32", "10.8.0.2", "other"))
	must(t, gateway("fd00:70:1::1/128", "fd00:8::2", "other"))
	userNamespace(t, foundNS, func() error {
		return errors.Join(bridge("mine", "10.9.0.2/24", "fd00:9::2/64"), gateway("0.0.0.0/0", "10.9.0.1", "mine"), gateway("::/0", "fd00:9::1", "mine"),
			setting{"disable_ipv6", "1"}.set("default"))
	})
	kills := 0
	for seed := *life1; seed < *life1+*lives; seed++ {
		users := map[workload.Namespace]uint64{}
		for step, w := range rapid.SliceOfN(drawWish, 4, 8).Example(seed) {
			killed := w.run(t)
			if killed {
				kills++
			}
			t.Logf("%d, %d: killed %v: %+v", seed, step, killed, w)
			if (seed+step)%5 == 0 { // somebody takes a name for himself
				if users[namedNS] == 0 {
					_ = workload.Namespace(namedNS).Delete()
					users[namedNS] = userNamespace(t, namedNS, func() error { return bridge("more") })
				}
			}
			if (seed+step)%4 == 0 { // or takes an interface away
				_ = workload.Namespace(foundNS).Do(func() error {
					l, err := netlink.LinkByName("eth0")
					if err == nil {
						err = netlink.LinkDel(l)
					}
					return err
				})
			}
			if (seed+step)%3 == 0 {
				w.Kill = 0
				w.run(t)
				w.check(t, users)
			}
			if t.Failed() {
				t.Fatalf("with -model.first=%d, at step %d: %+v", seed, step, w)
			}
		}
		end := wish{Down: true}
		end.run(t)
		end.check(t, users)
		for ns := range users {
			must(t, ns.Delete())
		}
		if t.Failed() {
			t.Fatalf("with -model.first=%d, at its end", seed)
		}
	}
	t.Logf("%d executors were killed", kills)
	if kills < *lives {
		t.Errorf("only %d executors were killed: the test has nothing to show", kills)
	}
}
