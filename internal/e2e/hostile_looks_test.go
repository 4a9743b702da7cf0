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

// watchedLab brings them up, with more lines for each host, and starts the TCP.
func watchedLab(t *testing.T, ports int, more string) *watched {
	t.Helper()
	w := &watched{a: newAuthority(t)}
	group := lookGroup
	if loneUser(t) {
		group = 0
	}
	w.hosts = tlsLabWith(t, w.a, func(text string) string {
		text = strings.Replace(text, "control: {", fmt.Sprintf("control: {group: %d, ", group), 1)
		text = strings.ReplaceAll(text, "    routes:", more+"    routes:")
		return strings.Replace(text, "}]\n", extraPorts(t, ports)+"}]\n", 1)
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
func (w *watched) begin(t *testing.T, l look) *running {
	t.Helper()
	h := w.hosts[0]
	x, err := json.Marshal(looker{
		Look: l.name, Socket: h.Socket, Metrics: metricsAt, Listen: h.Address[:strings.IndexByte(h.Address, '/')] + ":9474",
		Cert: w.a.file("me.crt"), Key: w.a.file("me.key"), Patience: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), lookerFor+"="+string(x))
	where := h.ns
	if l.far {
		where = w.hosts[1].ns
	}
	if l.member && !loneUser(t) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: lookUser, Gid: lookGroup}}
	}
	return start(t, cmd, where.Do)
}

// answerTime is how long root waits for an answer.
func (h host) answerTime(t *testing.T) time.Duration {
	t.Helper()
	c := control.NewClient(h.Socket)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), rootPatience)
	defer cancel()
	began := time.Now()
	if err := c.Get(ctx, "/v1/ports", &[]control.Port{}); err != nil {
		t.Errorf("root gets no answer: %v", err)
	}
	return time.Since(began)
}

// status is a number of /proc/PID/status of the router, in KiB.
func (h host) status(t *testing.T, field string) int {
	t.Helper()
	m := regexp.MustCompile(field + `:\s+(\d+) kB`).FindStringSubmatch(read(t, fmt.Sprintf("/proc/%d/status", h.Router.PID)))
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// resetPeak has the kernel begin anew with VmHWM (proc_pid_clear_refs(5)).
func (h host) resetPeak(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", h.Router.PID), []byte("5"), 0o644); err != nil {
		t.Fatal(err)
	}
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
func (w *watched) endure(t *testing.T, l look, bed string) {
	h := w.hosts[0]
	before := h.status(t, "VmRSS")
	h.resetPeak(t)
	var alone, under []float64
	var slowest time.Duration
	for range lookRounds {
		alone = append(alone, w.rate())
		r := w.begin(t, l)
		time.Sleep(warmUp)
		under = append(under, w.rate())
		slowest = max(slowest, h.answerTime(t))
		r.signal(t, syscall.SIGKILL)
	}
	grown := h.status(t, "VmHWM") - before
	slices.Sort(alone)
	slices.Sort(under)
	share := under[lookRounds/2] / alone[lookRounds/2]
	if *showHostile {
		fmt.Printf("%-20s %-55s %5.2f of %5.2f Gbit/s: %3.0f %%; root waited %6.0f ms; grew by %5d MiB\n", bed, l.name,
			under[lookRounds/2], alone[lookRounds/2], 100*share, float64(slowest.Milliseconds()), grown>>10)
	}
	if grown > lookMemory {
		t.Errorf("the router has grown by %d MiB", grown>>10)
	}
	if n := scrape(t, h.ns)[key("accounting_imbalance_packets")]; n != 0 {
		t.Errorf("the books do not balance: %v", n)
	}
}
