package conformance

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// row is one rule that the router must show on the wire.
type row struct {
	id, rule, source string
	counted          string // drop reasons or counters that tell it happened, "" if none does
	options          options
	slow             bool // waits for real time, beside the other rows
	cases            []testCase
}

// testCase is one thing to try. differs says, in a sentence, why the kernel in
// the router's place does not do what is required here; it is then required not to.
type testCase struct {
	name    string
	differs string
	notHere string // why the kernel cannot be asked at all
	test    func(b *Bench)
}

// sections are the table's parts, by the letter of their rows.
const sections = "AHFITNVRX"

// rows is the whole table, in order. A new section is one more list here.
var rows = inOrder(arpRows, neighborRows, slowRows, headerRows, forwardingRows, routeRows, icmpRows, localRows, []row{joinedRow},
	ndRows, ndHostileRows, slowRows6, headerRows6, forwardingRows6, icmpRows6, readyRows, tunnelRows6, tunnelErrorRows, vxlanRows, superRows, multipathRows6)

func inOrder(lists ...[]row) []row {
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(x, y row) int {
		return cmp.Or(strings.IndexByte(sections, x.id[0])-strings.IndexByte(sections, y.id[0]), natural(x.id, y.id))
	})
	return all
}

// natural compares the numbers of two rows: V2 comes before V10, and R1.1.9 before R1.1.10.
func natural(x, y string) int {
	a, b := strings.Split(x[1:], "."), strings.Split(y[1:], ".")
	return slices.CompareFunc(a, b, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(strings.TrimRight(a, "ab")), len(strings.TrimRight(b, "ab"))), cmp.Compare(a, b))
	})
}

// result is what one contender did in one row.
type result struct {
	ran      int
	failures []string // by case
	failed   map[string]bool
}

var (
	results = map[string]*result{} // by row and contender
	resultM sync.Mutex
	// lane lets the rows that wait for nothing run one at a time: a busy machine
	// must not make them look slow.
	lane sync.Mutex
)

func TestConformance(t *testing.T) {
	if *show {
		t.Cleanup(func() { printTable(os.Stdout) })
	}
	for i := range rows {
		r := &rows[i]
		t.Run(r.id+"/vrouter", func(t *testing.T) {
			t.Parallel()
			requirePass(t, r, run(t, r, false))
		})
		t.Run(r.id+"/linux", func(t *testing.T) {
			t.Parallel()
			requireAsWritten(t, r, run(t, r, true))
		})
	}
}

func requirePass(t *testing.T, r *row, got *result) {
	for _, f := range got.failures {
		t.Errorf("%s: %s", r.source, f)
	}
}

// requireAsWritten requires of the kernel what the table says about it, so that a
// wrong expectation shows, and so does a kernel that has changed.
func requireAsWritten(t *testing.T, r *row, got *result) {
	for _, c := range r.cases {
		switch {
		case c.notHere != "":
		case c.differs == "" && got.failed[c.name]:
			t.Errorf("%s: the kernel differs, and the table does not say so", c.name)
		case c.differs != "" && !got.failed[c.name]:
			t.Errorf("%s: the kernel no longer differs; the table says: %s", c.name, c.differs)
		}
	}
	for _, f := range got.failures {
		t.Log(f)
	}
}

// run takes a contender through a row, on a bench of its own and one CPU: frames
// that the kernel forwards stay in order there.
func run(t *testing.T, r *row, linux bool) *result {
	if !r.slow {
		lane.Lock()
		defer lane.Unlock()
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with this test
	pin()
	res := &result{failed: map[string]bool{}}
	b, err := newBench(linux, r.options)
	if err != nil {
		t.Fatalf("building the bench: %v", err)
	}
	for _, c := range r.cases {
		if linux && c.notHere != "" {
			continue
		}
		res.ran++
		if why := b.try(c); why != "" {
			res.failed[c.name] = true
			res.failures = append(res.failures, c.name+": "+why)
		}
	}
	if err := b.close(); err != nil {
		t.Errorf("closing the bench: %v", err)
	}
	if len(res.failures) > 0 && b.router != nil && testing.Verbose() {
		t.Logf("the router's log:\n%s", b.router.log.String())
	}
	resultM.Lock()
	defer resultM.Unlock()
	results[key(r.id, linux)] = res
	return res
}

func key(id string, linux bool) string { return fmt.Sprint(id, linux) }

func pin() {
	var all, one unix.CPUSet
	if unix.SchedGetaffinity(0, &all) != nil {
		return
	}
	for cpu := range 1024 {
		if all.IsSet(cpu) {
			one.Set(cpu)
			_ = unix.SchedSetaffinity(0, &one)
			return
		}
	}
}

// try runs a case, and says why it failed.
func (b *Bench) try(c testCase) (why string) {
	defer func() {
		switch f := recover().(type) {
		case nil:
		case failure:
			why = string(f) + b.grown()
		default:
			panic(f)
		}
	}()
	b.begin()
	c.test(b)
	b.checkCounters()
	return ""
}

func TestRowsAreWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r.id] || r.rule == "" || r.source == "" || len(r.cases) == 0 {
			t.Errorf("row %s: named twice, or without rule, source or case", r.id)
		}
		seen[r.id] = true
		names := map[string]bool{}
		for _, c := range r.cases {
			if names[c.name] {
				t.Errorf("row %s has two cases %q", r.id, c.name)
			}
			names[c.name] = true
			for _, why := range []string{c.differs, c.notHere} {
				if strings.HasSuffix(why, ".") {
					t.Errorf("row %s, %s: the reason ends with a full stop", r.id, c.name)
				}
			}
		}
	}
}
