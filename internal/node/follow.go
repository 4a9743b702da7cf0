package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/hostroutes"
)

const (
	// maxPending is how many changes of routes may wait; if there are more, all
	// routes are listed again instead.
	maxPending = 1 << 18
	// restAfter is how many times as long as it took to follow some changes the next ones gather. A
	// change in a large table costs a copy of much of it, however many are made together. One that
	// comes alone waits for nothing.
	restAfter = 4
	// readEvery is how often is read what gathers: the socket has room for much more.
	readEvery = 5 * time.Millisecond
)

// news is what changed on the host since it was last asked for.
type news struct {
	hostroutes.News
	all bool // list all routes: some may have gone without a word
}

// follower gathers news from the kernel.
type follower struct {
	arrived chan struct{}

	mu    sync.Mutex
	news  news
	rest  time.Time   // changes of routes gather until then
	alarm *time.Timer // for then; nil: nothing waits for it
}

// take hands over what has gathered.
func (f *follower) take() news {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.news
	f.news = news{}
	return taken
}

func (f *follower) add(more func(*news)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	more(&f.news)
	if len(f.news.Changes) > maxPending {
		f.news.all = true
	}
	if f.news.all {
		f.news.Changes = nil // the list will have them
	}
	f.tell()
}

// tell says that there are news, at once or when they are to be told. f.mu is held.
func (f *follower) tell() {
	if wait := time.Until(f.rest); wait > 0 && len(f.news.Links) == 0 {
		if f.alarm == nil {
			f.alarm = time.AfterFunc(wait, f.wake)
		}
		return
	}
	select {
	case f.arrived <- struct{}{}:
	default: // one is waiting already, and will find everything
	}
}

func (f *follower) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alarm = nil
	f.tell()
}

// followed notes how long it took to follow what was taken. What has come meanwhile waits too.
func (f *follower) followed(took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rest = time.Now().Add(restAfter * took)
	select {
	case <-f.arrived:
		f.tell()
	default:
	}
}

// follow gathers news until ctx ends. What the kernel had no room for is made up for: everything is
// looked at again. A subscription that can't be had at first, for want of a descriptor, is tried again: a
// router that forwards does not end for that.
func (n *Node) follow(ctx context.Context) *follower {
	f := &follower{arrived: make(chan struct{}, 1)}
	s, err := hostroutes.Subscribe() // at once: what happens from now on is heard of
	go func() {
		for {
			if err == nil {
				err = f.relay(ctx, s)
			}
			if ctx.Err() != nil {
				return
			}
			n.log.Warn("lost track of the host's interfaces and routes; looking at all of them again", "reason", err)
			for ; err != nil && !errors.Is(err, hostroutes.ErrOverrun); s, err = hostroutes.Subscribe() {
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
					return
				}
			}
			err = nil
			f.add(func(w *news) { *w = everything() })
		}
	}()
	return f
}

// relay gathers what the kernel tells until ctx ends, or something is lost; after an overrun the
// subscription goes on.
func (f *follower) relay(ctx context.Context, s *hostroutes.Subscription) error {
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	for {
		w, err := s.Read()
		if err != nil {
			if !errors.Is(err, hostroutes.ErrOverrun) {
				s.Close()
			}
			return err
		}
		f.add(func(n *news) { n.merge(&w) })
		if f.rests() {
			time.Sleep(readEvery)
		}
	}
}

// rests says whether routes gather.
func (f *follower) rests() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Before(f.rest)
}

func (w *news) merge(more *hostroutes.News) {
	w.Changes = append(w.Changes, more.Changes...)
	w.Gone = append(w.Gone, more.Gone...)
	if w.Links == nil {
		w.Links = more.Links
		return
	}
	for link, lost := range more.Links {
		w.Links[link] = w.Links[link] || lost
	}
}

// catchUp takes over what changed on the host.
func (n *Node) catchUp(w news) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		return
	}
	began := time.Now()
	if w.all {
		n.again = false
	}
	var err error
	if w.touchesHostPort(n) {
		n.checkExport()
	}
	lost := n.losesRoutes(&w)
	if w.Links != nil {
		was := n.uplink
		err = n.refreshUplink()
		lost = lost || was.index != n.uplink.index
	}
	if w.all || lost {
		// The kernel takes routes away without a word when their interface or
		// source address goes, and that may be yet to come when we hear of it.
		n.again = n.again || lost
		n.checkExport()
		err = errors.Join(err, n.importAll())
	} else {
		err = errors.Join(err, n.importChanges(w.Changes))
	}
	if n.reach.turned(w.Changes, w.all || lost) {
		err = errors.Join(err, n.applyUplink(), n.setStaticRoutes())
		if _, mode := n.config.Mode(); mode == config.ModeCrossSubnet {
			err = errors.Join(err, n.importAll())
		}
	}
	n.failed(err)
	if n.follower != nil {
		n.follower.followed(time.Since(began))
	}
}

// touchesHostPort says whether something is new about the host's own interface, or a route by it is gone.
func (w *news) touchesHostPort(n *Node) bool {
	if n.host == nil {
		return false
	}
	for i := range w.Changes {
		if w.Changes[i].Removes(uint8(host.ExportProtocol)) {
			return true
		}
	}
	_, ok := w.Links[n.host.index]
	return ok
}

// losesRoutes says whether the host may have lost routes without a word, of those that matter.
func (n *Node) losesRoutes(w *news) bool {
	for link, lost := range w.Links {
		if lost && (link == n.uplink.index || n.host != nil && link == n.host.index || n.mirror.host.Uses(link) || n.reach.uses(link)) {
			return true
		}
	}
	return len(w.Gone) > 0 && n.mirror.host.SentFrom(w.Gone)
}

// failed tells what could not be done, which is tried again at the next tick.
func (n *Node) failed(err error) {
	if err == nil {
		n.complain("host")
		return
	}
	n.again = true
	n.complain("host", complaint{"could not follow the host; trying again", []any{"error", err}})
}

// everything is the news of one who knows nothing.
func everything() news {
	return news{News: hostroutes.News{Links: map[int]bool{}}, all: true}
}
