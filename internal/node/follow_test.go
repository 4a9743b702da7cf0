package node

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// Who fills the channels of a subscription must end with it, even if he is about
// to send what nobody reads any more.
func TestSubscriptionEnds(t *testing.T) {
	stopped := false
	links := make(chan netlink.LinkUpdate)
	s := &subscription{links: links, stop: func() { stopped = true }} // as if the others had failed
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(links)
		for range 3 {
			links <- netlink.LinkUpdate{}
		}
	}()
	s.end()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("it waits for a reader for ever")
	}
	if !stopped {
		t.Error("the subscription was not stopped")
	}
}

// If more changes wait than are kept, everything is listed again.
func TestFollowerIsBounded(t *testing.T) {
	f := &follower{arrived: make(chan struct{}, 1)}
	for range maxPending + 1 {
		f.add(func(w *news) { w.routes = append(w.routes, hostChange{}) })
	}
	f.add(func(w *news) { w.routes = append(w.routes, hostChange{}) })
	if w := f.take(); !w.all || len(w.routes) != 0 {
		t.Errorf("all: %v, and %d changes", w.all, len(w.routes))
	}
	if w := f.take(); w.all || w.routes != nil || w.links != nil {
		t.Errorf("news that were taken are there again: %+v", w)
	}
}
