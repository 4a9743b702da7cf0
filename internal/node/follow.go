package node

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/host"
)

const (
	// maxPending is how many changes of routes may wait; if there are more, all
	// routes are listed again instead.
	maxPending = 1 << 16
	// eventBuffer in bytes is what the kernel keeps of notifications while nobody reads.
	eventBuffer = 8 << 20
)

// news is what changed on the host since it was last asked for.
type news struct {
	routes []hostChange
	all    bool         // list all routes: some may have gone without a word
	links  map[int]bool // indices of interfaces that changed, or whose addresses did
	export bool         // one of the router's own routes in the host's table changed
}

// follower gathers news from the kernel.
type follower struct {
	arrived chan struct{}

	mu   sync.Mutex
	news news
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
	more(&f.news)
	if len(f.news.routes) > maxPending {
		f.news.all = true
	}
	if f.news.all {
		f.news.routes = nil // the list will have them
	}
	f.mu.Unlock()
	select {
	case f.arrived <- struct{}{}:
	default: // one is waiting already, and will find everything
	}
}

var errOverrun = errors.New("the kernel closed the subscription")

// follow gathers news until ctx ends. A subscription that the kernel closed, as it
// could not keep up, is made anew, and everything is looked at again; so is one that can't be
// had at first, for want of a descriptor: a router that forwards does not end for that.
func (n *Node) follow(ctx context.Context) *follower {
	f := &follower{arrived: make(chan struct{}, 1)}
	s, err := subscribe(ctx)
	go func() {
		for err != nil || s.relay(ctx, f) {
			n.log.Warn("lost track of the host's interfaces and routes; looking at all of them again", "reason", cmp.Or(err, errOverrun))
			for s, err = subscribe(ctx); err != nil; s, err = subscribe(ctx) {
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
					return
				}
			}
			f.add(func(w *news) { *w = everything() })
		}
	}()
	return f
}

// subscription is to all changes of the host that concern the router.
type subscription struct {
	links  chan netlink.LinkUpdate
	addrs  chan netlink.AddrUpdate
	routes chan netlink.RouteUpdate
	stop   context.CancelFunc
}

func subscribe(ctx context.Context) (*subscription, error) {
	ctx, stop := context.WithCancel(ctx)
	s := &subscription{stop: stop}
	links, addrs, routes := make(chan netlink.LinkUpdate, 64), make(chan netlink.AddrUpdate, 64), make(chan netlink.RouteUpdate, 64)
	err := subscribeRoutes(routes, ctx.Done())
	if err == nil {
		s.routes, err = routes, netlink.LinkSubscribe(links, ctx.Done())
	}
	if err == nil {
		s.links, err = links, netlink.AddrSubscribe(addrs, ctx.Done())
	}
	if err != nil {
		s.end()
		return nil, err
	}
	s.addrs = addrs
	return s, nil
}

// subscribeRoutes asks for room for a burst of routes: more than the system's
// limit where it may.
func subscribeRoutes(routes chan netlink.RouteUpdate, done <-chan struct{}) error {
	o := netlink.RouteSubscribeOptions{ReceiveBufferSize: eventBuffer, ReceiveBufferForceSize: true}
	err := netlink.RouteSubscribeWithOptions(routes, done, o)
	if errors.Is(err, unix.EPERM) {
		o.ReceiveBufferForceSize = false
		err = netlink.RouteSubscribeWithOptions(routes, done, o)
	}
	return err
}

// end closes the subscription. Who fills its channels ends when they are read to
// their end.
func (s *subscription) end() {
	s.stop()
	drain(s.links)
	drain(s.addrs)
	drain(s.routes)
}

func drain[T any](ch <-chan T) {
	if ch == nil {
		return
	}
	go func() {
		for range ch {
		}
	}()
}

// relay gathers what the kernel tells until ctx ends (false) or a channel closes.
func (s *subscription) relay(ctx context.Context, f *follower) bool {
	defer s.end()
	for {
		select {
		case u, ok := <-s.links:
			if !ok {
				return ctx.Err() == nil
			}
			f.add(func(w *news) { w.touch(int(u.Index)) })
		case u, ok := <-s.addrs:
			if !ok {
				return ctx.Err() == nil
			}
			f.add(func(w *news) { w.touch(u.LinkIndex); w.all = w.all || !u.NewAddr })
		case u, ok := <-s.routes:
			if !ok {
				return ctx.Err() == nil
			}
			if u.Protocol == host.ExportProtocol && u.Type == unix.RTM_DELROUTE {
				f.add(func(w *news) { w.export = true })
			}
			if c, ok := changeOf(&u); ok {
				f.add(func(w *news) { w.routes = append(w.routes, c) })
			}
		case <-ctx.Done():
			return false
		}
	}
}

func (w *news) touch(link int) {
	if w.links == nil {
		w.links = map[int]bool{}
	}
	w.links[link] = true
}

// catchUp takes over what changed on the host.
func (n *Node) catchUp(w news) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		return
	}
	if w.all {
		n.again = false
	}
	var err error
	touched := w.links[n.uplink.index] || n.host != nil && w.links[n.host.index]
	if w.export {
		n.checkExport()
	}
	if w.links != nil {
		err = n.refreshUplink()
		touched = touched || w.links[n.uplink.index]
	}
	if w.all || touched {
		// The kernel takes routes away without a word when their interface or
		// source address goes, and that may be yet to come when we hear of it.
		n.again = n.again || touched
		n.checkExport()
		err = errors.Join(err, n.importAll())
	} else {
		err = errors.Join(err, n.importChanges(w.routes))
	}
	if _, ends := n.hops(); w.links != nil || len(ends) > 0 {
		err = errors.Join(err, n.setConnected())
	}
	n.failed(err)
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
	return news{all: true, links: map[int]bool{}}
}
