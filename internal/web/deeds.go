package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/lab"
)

// Deed is something that was done in the lab by the page, and how it goes.
type Deed struct {
	ID    int       `json:"id"`
	Do    string    `json:"do"`
	Title string    `json:"title"`
	State string    `json:"state"`
	Undo  string    `json:"undo"` // word of the button that ends it; "": there is nothing to undo
	Lines []string  `json:"lines"`
	Error string    `json:"error"`
	Time  time.Time `json:"time"`
}

// States of a deed.
const (
	running = "running"
	done    = "done"
	failed  = "failed"
	inForce = "in force"
	undone  = "undone"
)

const (
	// maxDeeds is how many are remembered, maxRunning how many run at once, and maxLines how many lines of one are kept.
	maxDeeds   = 50
	maxRunning = 8
	maxLines   = 200
	// undoTime is how long it may take to undo one.
	undoTime = 20 * time.Second
)

// wish is what a page asks for.
type wish struct {
	Do         string `json:"do"`
	From       string `json:"from"` // HOST/WORKLOAD
	To         string `json:"to"`
	IPv6       bool   `json:"ipv6"`
	Count      int    `json:"count"`
	Seconds    int    `json:"seconds"`
	Link       string `json:"link"`
	Impairment string `json:"impairment"`
	Host       string `json:"host"`
	Prefix     string `json:"prefix"`
	Fault      string `json:"fault"`
	Step       string `json:"step"`
	Filter     string `json:"filter"`
}

// deed is one that may be undone.
type deed struct {
	Deed
	news  int                         // number of its last change
	stop  context.CancelFunc          // of what runs
	ended chan struct{}               // closed when it has
	undo  func(context.Context) error // of what is in force
	about string                      // what is changed: at most one deed is in force for it
}

type deeds struct {
	server *Server
	bell   bell

	changing sync.Mutex // held while the lab is changed
	mu       sync.Mutex
	list     []*deed
	news     int
	ids      int
}

func newDeeds(s *Server) *deeds { return &deeds{server: s} }

// plan is how to do what is wished: either something that runs for a while, or a change with its undoing.
type plan struct {
	title  string
	about  string
	word   string // of the button that ends what runs; "": stop
	run    func(ctx context.Context, say func(string)) error
	change func(ctx context.Context) (undo func(context.Context) error, err error)
}

// plans are the deeds that there are.
var plans = map[string]func(*lab.Lab, *wish) (*plan, error){
	"ping": planPing, "tcp": planTCP, "traceroute": planTraceroute, "link": planLink, "route": planRoute, "fault": planFault, "hold": planHold,
}

var errLookOnly = errors.New("this page only looks: start it with --write to do something in the lab")

// allowed says whether deeds are done here.
func (d *deeds) allowed() error {
	if !d.server.Write || d.server.Lab == nil {
		return errLookOnly
	}
	return nil
}

func (d *deeds) listAll(w http.ResponseWriter, _ *http.Request) {
	type fault struct {
		Name  string `json:"name"`
		Shows string `json:"shows"`
	}
	v := struct {
		Faults []fault  `json:"faults"`
		Steps  []string `json:"steps"` // before which packets can be held
		Deeds  []*Deed  `json:"deeds"`
	}{[]fault{}, control.StopSteps(), []*Deed{}}
	if err := d.allowed(); err != nil {
		fail(w, http.StatusForbidden, err)
		return
	}
	for _, f := range lab.Faults {
		v.Faults = append(v.Faults, fault{f.Name, f.Shows})
	}
	all, _ := d.since(0)
	v.Deeds = append(v.Deeds, all...)
	answer(w, v)
}

func (d *deeds) start(w http.ResponseWriter, r *http.Request) {
	if err := d.allowed(); err != nil {
		fail(w, http.StatusForbidden, err)
		return
	}
	var q wish
	if err := body(w, r, &q); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	how := plans[q.Do]
	if how == nil {
		fail(w, http.StatusBadRequest, fmt.Errorf("there is no deed %q: there is %s", q.Do, strings.Join(slices.Sorted(maps.Keys(plans)), ", ")))
		return
	}
	p, err := how(d.server.Lab, &q)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	var x *deed
	if p.run != nil {
		x, err = d.run(q.Do, p)
	} else {
		x, err = d.change(r.Context(), q.Do, p)
	}
	if err != nil {
		fail(w, http.StatusConflict, err)
		return
	}
	answer(w, d.copyOf(x))
}

// run begins something that ends by itself.
func (d *deeds) run(do string, p *plan) (*deed, error) {
	d.mu.Lock()
	n := 0
	for _, o := range d.list {
		if o.State == running {
			n++
		}
	}
	d.mu.Unlock()
	if n >= maxRunning {
		return nil, fmt.Errorf("%d deeds run already: stop one of them", n)
	}
	ctx, stop := context.WithCancel(d.server.ctx)
	x := d.add(&deed{Deed: Deed{Do: do, Title: p.title, State: running, Undo: cmp.Or(p.word, "stop")}, stop: stop, ended: make(chan struct{})})
	go func() {
		defer close(x.ended)
		defer stop()
		err := p.run(ctx, func(line string) {
			d.set(x, func() {
				if len(x.Lines) < maxLines {
					x.Lines = append(x.Lines, line)
				}
			})
		})
		d.set(x, func() {
			x.State, x.Undo = done, ""
			switch {
			case ctx.Err() != nil:
				x.State = undone
			case err != nil:
				x.State, x.Error = failed, err.Error()
			}
		})
	}()
	return x, nil
}

// change changes the lab, and remembers how it was.
func (d *deeds) change(ctx context.Context, do string, p *plan) (*deed, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	former := d.inForceFor(p.about)
	if err := d.apart(do, former); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	undo, err := p.change(ctx)
	if err != nil {
		return nil, err
	}
	if former != nil { // how it was before that one
		undo = former.undo
		d.set(former, func() { former.State, former.Undo = undone, "" })
	}
	return d.add(&deed{Deed: Deed{Do: do, Title: p.title, State: inForce, Undo: "undo"}, undo: undo, about: p.about}), nil
}

// apart refuses a fault beside other changes: to mend one makes the lab what it was before.
func (d *deeds) apart(do string, former *deed) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range d.list {
		if o.State == inForce && o != former && (do == "fault" || o.Do == "fault") {
			return fmt.Errorf("undo %q first: a fault goes with no other change", o.Title)
		}
	}
	if do == "fault" && former != nil {
		return fmt.Errorf("undo %q first: one fault at a time", former.Title)
	}
	return nil
}

func (d *deeds) inForceFor(about string) *deed {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range d.list {
		if o.State == inForce && o.about == about {
			return o
		}
	}
	return nil
}

func (d *deeds) undoOne(w http.ResponseWriter, r *http.Request) {
	if err := d.allowed(); err != nil {
		fail(w, http.StatusForbidden, err)
		return
	}
	id, _ := strconv.Atoi(r.PathValue("id"))
	d.mu.Lock()
	i := slices.IndexFunc(d.list, func(x *deed) bool { return x.ID == id })
	if i < 0 {
		d.mu.Unlock()
		fail(w, http.StatusNotFound, fmt.Errorf("there is no deed %s", r.PathValue("id")))
		return
	}
	x := d.list[i]
	d.mu.Unlock()
	if err := d.end(context.WithoutCancel(r.Context()), x); err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	answer(w, d.copyOf(x))
}

// end stops a deed, or undoes it.
func (d *deeds) end(ctx context.Context, x *deed) error {
	ctx, cancel := context.WithTimeout(ctx, undoTime)
	defer cancel()
	if x.stop != nil {
		x.stop()
		select {
		case <-x.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	if d.copyOf(x).State != inForce {
		return nil
	}
	if err := x.undo(ctx); err != nil {
		d.set(x, func() { x.Error = err.Error() })
		return err
	}
	d.set(x, func() { x.State, x.Undo, x.Error = undone, "", "" })
	return nil
}

// undoAll ends all, the last first.
func (d *deeds) undoAll() error {
	d.mu.Lock()
	all := slices.Clone(d.list)
	d.mu.Unlock()
	var errs []error
	for _, x := range slices.Backward(all) {
		if state := d.copyOf(x).State; state == running || state == inForce {
			if err := d.end(context.Background(), x); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", x.Title, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (d *deeds) add(x *deed) *deed {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list) >= maxDeeds { // what is over makes room
		if i := slices.IndexFunc(d.list, func(o *deed) bool { return o.State != running && o.State != inForce }); i >= 0 {
			d.list = slices.Delete(d.list, i, i+1)
		}
	}
	d.ids++
	d.news++
	x.ID, x.Time, x.news = d.ids, time.Now(), d.news
	x.Lines = []string{}
	d.list = append(d.list, x)
	d.bell.ring()
	return x
}

func (d *deeds) set(x *deed, f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
	x.Error = strings.ReplaceAll(x.Error, "\n", "; ")
	d.news++
	x.news = d.news
	d.bell.ring()
}

func (d *deeds) copyOf(x *deed) *Deed {
	d.mu.Lock()
	defer d.mu.Unlock()
	return x.told()
}

// told is how it is now. It is locked.
func (x *deed) told() *Deed {
	c := x.Deed
	c.Lines = slices.Clone(x.Lines)
	return &c
}

// since are those that have changed since a number, and the number of the last change.
func (d *deeds) since(news int) (list []*Deed, last int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.list {
		if x.news > news {
			list = append(list, x.told())
		}
	}
	return list, d.news
}
