package node

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/host"
)

var errStopped = errors.New("the router is stopping; the next start reads the file anew")

// Unfinished is about a reload that was made, but for what could not be done at once.
type Unfinished struct{ What []string }

func (u *Unfinished) Error() string {
	return "reloaded, but not all of it could be done, and is tried again: " + strings.Join(u.What, "; ")
}

// Reload applies a changed configuration file while the router forwards: as a whole,
// or not at all. What did not change is not touched, and what commands changed
// stays so. A few things are fixed when the router starts; changing them is an error
// that says so. The configuration is the node's from then on. What cannot be foreseen is an *Unfinished;
// waiting are the workloads that somebody else has yet to make a namespace for.
func (n *Node) Reload(c *config.Host) (waiting []string, err error) {
	if c.Routes.Len() >= muchChange {
		debug.FreeOSMemory() // the file's text, before as much again is needed for its routes
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	next, err := n.foresee(c)
	if err != nil {
		return nil, err
	}
	oldRoutes := n.statics
	n.config, n.statics, n.live, n.file = next.config, next.statics, next.live, next.file
	if err := n.applyConfig(oldRoutes); err != nil {
		return nil, &Unfinished{[]string{err.Error()}}
	}
	return n.unfinished()
}

// future is what a configuration file would make of the node.
type future struct {
	config  *config.Host // without routes
	statics *statics
	live    workloadChanges
	file    []config.Workload
}

// foresee checks all that can be known of a configuration before anything is done.
func (n *Node) foresee(c *config.Host) (f future, err error) {
	if n.stopped {
		return f, errStopped
	}
	if err := fixed(n.config, c); err != nil {
		return f, err
	}
	if f.statics, err = n.statics.reloaded(&c.Routes); err != nil {
		return f, err
	}
	c.Routes = config.Routes{} // there may be many
	f.file = c.Workloads
	if f.config, f.live, err = n.live.onto(c); err != nil {
		return f, err
	}
	old := future{n.config, n.statics, n.live, n.file}
	n.config, n.statics, n.live = f.config, f.statics, f.live
	err = errors.Join(n.checkImport(), n.checkNextHops(f.statics), n.checkAddresses(f.config))
	if err == nil && n.what != nil {
		err = n.what.Check(n.present())
	}
	n.config, n.statics, n.live = old.config, old.statics, old.live
	return f, err
}

// unfinished are the things that are not as they are to be, after they were tried.
func (n *Node) unfinished() (waiting []string, err error) {
	if n.what == nil {
		return nil, nil
	}
	u := &Unfinished{}
	for _, it := range n.what.Waiting() {
		name, _ := it.For()
		if name == "" {
			u.What = append(u.What, fmt.Sprintf("%s: %v", it.ID(), it.Err))
			continue
		}
		var waits *host.Waits
		switch text := fmt.Sprintf("workload %s: %v", name, it.Why()); {
		case it.ID().Kind == host.KindNamespace: // its interface says so
		case errors.As(it.Why(), &waits):
			waiting = append(waiting, text)
		default:
			u.What = append(u.What, text)
		}
	}
	if u.What == nil {
		return waiting, nil
	}
	return waiting, u
}

// fixed names what can only be set when the router starts.
func fixed(old, c *config.Host) error {
	for _, f := range []struct {
		key       string
		was, want any
	}{
		{"uplink.interface", old.Uplink.Interface, c.Uplink.Interface},
		{"gateway.address", old.Gateway.Address, c.Gateway.Address},
		{"gateway.address6", old.Gateway.Address6, c.Gateway.Address6},
		{"gateway.mac", old.Gateway.MAC.String(), c.Gateway.MAC.String()},
		{"kernel.export", old.Kernel.Export, c.Kernel.Export},
		{"offload", old.Offload, c.Offload},
		{"workers", workers(old), workers(c)},
		{"metrics.listen", old.Metrics.Listen, c.Metrics.Listen},
		{"control.socket", old.Control.Socket, c.Control.Socket},
		{"control.group", old.Control.Group, c.Control.Group},
		{"control.listen", old.Control.Listen, c.Control.Listen},
		{"control.tls", old.Control.TLS, c.Control.TLS},
	} {
		if f.was != f.want {
			return fmt.Errorf("%s cannot change from %v to %v while the router runs; restart it: workloads keep their connections", f.key, f.was, f.want)
		}
	}
	return nil
}

// applyConfig brings workloads, forwarder, guard and routes to what the configuration
// says. was is what static routes there were before.
func (n *Node) applyConfig(was *statics) error {
	n.statics.turned = false
	n.moved = true
	if n.uplink.index == 0 { // it is gone; what needs it is done when it comes back
		n.stale = true
	}
	if n.what != nil {
		n.what.Ask()
	}
	return errors.Join(n.applyUplink(), n.bringAbout(), n.setStaticRoutes(), n.enter(was.without(n.statics)), n.importAll())
}
