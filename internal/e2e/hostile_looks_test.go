package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
)

var onlyLooks = flag.String("looks", "", "of the looks, only those that match")

const (
	lookGroup = 60123
	lookUser  = 60124
	// lookSlice is how long TCP is counted, with and without somebody who looks in turns.
	lookSlice  = 600 * time.Millisecond
	lookRounds = 5
	// warmUp is what somebody who looks gets to come to full strength.
	warmUp = 700 * time.Millisecond
	// lookMemory is how much a router may grow while it is looked at, in KiB.
	lookMemory = 96 << 10
	// rootPatience is what root waits for an answer meanwhile.
	rootPatience = 5 * time.Second
)

// watched are the tutorial's two hosts, the first of which is looked at.
type watched struct {
	hosts []host
	a     *authority
	bytes atomic.Int64 // of TCP between the workloads, so far
}

// watchedLab brings them up, with more workloads on the first and more lines for each, and starts the TCP.
func watchedLab(t *testing.T, ports int, more string) *watched {
	t.Helper()
	return watchedLabOf(t, func(text string) string {
		text = strings.ReplaceAll(text, "    routes:", more+"    routes:")
		return strings.Replace(text, "}]\n", extraPorts(t, ports)+"}]\n", 1)
	})
}

// watchedLabOf is one of which change makes another lab.
func watchedLabOf(t *testing.T, change func(text string) string) *watched {
	t.Helper()
	w := &watched{a: newAuthority(t)}
	group := lookGroup
	if loneUser(t) {
		group = 0
	}
	w.hosts = tlsLabWith(t, w.a, func(text string) string {
		return change(strings.Replace(text, "control: {", fmt.Sprintf("control: {group: %d, ", group), 1))
	})
	here, far := connect(t, w.hosts[0].ns1, w.hosts[1].ns1, there)
	for _, c := range []net.Conn{here, far} {
		if err := c.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		b := make([]byte, 1<<18)
		for {
			if _, err := here.Write(b); err != nil {
				return
			}
		}
	}()
	go func() {
		b := make([]byte, 1<<18)
		for {
			n, err := far.Read(b)
			w.bytes.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	return w
}

// extraPorts are workloads beside the first one, all in one namespace.
func extraPorts(t *testing.T, n int) string {
	t.Helper()
	if n == 0 {
		return ""
	}
	ns := newNamespace(t)
	var b strings.Builder
	for i := range n - 1 {
		fmt.Fprintf(&b, "}, {name: more%d, interface: more%d, namespace: %s, address: 10.%d.%d.1/24", i, i, ns, 100+i/250, i%250)
	}
	return b.String()
}

// loneUser says whether this namespace has a single user, who is root.
func loneUser(t *testing.T) bool {
	t.Helper()
	return strings.HasSuffix(strings.TrimSpace(read(t, "/proc/self/uid_map")), " 1")
}

// rate is what TCP carries in a slice, in Gbit/s.
func (w *watched) rate() float64 {
	before, began := w.bytes.Load(), time.Now()
	time.Sleep(lookSlice)
	return float64(w.bytes.Load()-before) * 8e-9 / time.Since(began).Seconds()
}

// begin starts a look in a process of its own.
func (w *watched) begin(t *testing.T, l prying) *running {
	t.Helper()
	h := w.hosts[0]
	where := h.ns
	if l.far {
		where = w.hosts[1].ns
	}
	return l.begin(t, looker{
		Socket: h.Socket, Listen: h.Address[:strings.IndexByte(h.Address, '/')] + ":9474",
		Cert: w.a.file("me.crt"), Key: w.a.file("me.key"),
	}, where)
}

// begin starts it in a namespace, as the user who has the rights for it and no others.
func (l prying) begin(t *testing.T, x looker, where workload.Namespace) *running {
	t.Helper()
	x.Look, x.Metrics, x.Patience = l.name, metricsAt, patience
	text, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), lookerFor+"="+string(text))
	if l.member && !loneUser(t) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: lookUser, Gid: lookGroup}}
	}
	return start(t, cmd, where.Do)
}

// answerTime is how long root waits for an answer.
func answerTime(t *testing.T, socket string) time.Duration {
	t.Helper()
	c := control.NewClient(socket)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), rootPatience)
	defer cancel()
	began := time.Now()
	if err := c.Get(ctx, "/v1/ports", &[]control.Port{}); err != nil {
		t.Errorf("root gets no answer: %v", err)
	}
	return time.Since(began)
}

// memoryOf is a number of a process's /proc/PID/status, in KiB.
func memoryOf(t *testing.T, pid int, field string) int {
	t.Helper()
	m := regexp.MustCompile(field + `:\s+(\d+) kB`).FindStringSubmatch(read(t, fmt.Sprintf("/proc/%d/status", pid)))
	if m == nil {
		t.Fatalf("process %d has no %s: it has ended", pid, field)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Whoever may only look, or knocks without being let in, costs himself: the others' packets
// go on, root is answered, and memory is bounded.
func TestHostileLooks(t *testing.T) {
	beds := map[string]string{"plain": ""}
	if *showHostile {
		beds = map[string]string{
			"plain, 1 worker": "    workers: 1\n", "plain, 2 workers": "    workers: 2\n",
			"IP-in-IP, 1 worker": "    ipip: {mode: always}\n    workers: 1\n", "IP-in-IP, 2 workers": "    ipip: {mode: always}\n    workers: 2\n",
		}
	}
	only := regexp.MustCompile(*onlyLooks)
	for _, name := range slices.Sorted(maps.Keys(beds)) {
		for i, l := range looks {
			if (*showHostile || l.everyday) && only.MatchString(name+": "+l.name) {
				t.Run(fmt.Sprintf("%s %d", strings.ReplaceAll(name, ",", ""), i), func(t *testing.T) {
					watchedLab(t, l.ports, beds[name]).endure(t, l, name)
				})
			}
		}
	}
}

// endure looks at the first host, in turns with leaving it alone, and holds it to its promises.
func (w *watched) endure(t *testing.T, l prying, bed string) {
	h := w.hosts[0]
	before := memoryOf(t, h.Router.PID, "VmRSS")
	files, goroutines := h.held(t)
	rounds := 1
	if *showHostile {
		rounds = lookRounds
	}
	var alone, under []float64
	var slowest time.Duration
	for range rounds {
		alone = append(alone, w.rate())
		r := w.begin(t, l)
		time.Sleep(warmUp)
		under = append(under, w.rate())
		slowest = max(slowest, answerTime(t, h.Socket))
		r.signal(t, syscall.SIGKILL)
	}
	if t.Failed() {
		log := read(t, h.Log)
		t.Fatalf("the router's log:\n%s", log[:min(len(log), 5000)])
	}
	grown := memoryOf(t, h.Router.PID, "VmHWM") - before
	slices.Sort(alone)
	slices.Sort(under)
	share := under[rounds/2] / alone[rounds/2]
	if *showHostile {
		fmt.Printf("%-19s %-55s %5.2f of %5.2f Gbit/s: %3.0f %%; root waited %5d ms; grew by %3d MiB\n", bed, l.name,
			under[rounds/2], alone[rounds/2], 100*share, slowest.Milliseconds(), grown>>10)
		if share < leastShare && l.member != l.far { // else nothing is asked of the router
			t.Errorf("others keep %.0f %% of their rate", 100*share)
		}
	}
	if grown > lookMemory && !raced() {
		t.Errorf("the router has grown by %d MiB", grown>>10)
	}
	var s series
	within(t, 3*patience, "descriptors and goroutines are as many as before", func() bool {
		if h.files(t) > files+2 {
			return false
		}
		var err error
		s, err = tryScrape(t, h.ns)                                           // who is gone may still have all places
		return err == nil && s[key("go_goroutines")] <= float64(goroutines+2) // the scrape's own
	})
	if n := s[key("accounting_imbalance_packets")]; n != 0 {
		t.Errorf("the books do not balance: %v", n)
	}
}
