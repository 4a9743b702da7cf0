package node

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/workload"
)

var errStopped = errors.New("the router is stopping; the next start reads the file anew")

// Reload applies a changed configuration file while the router forwards: as a whole,
// or not at all. What did not change is not touched, and what commands changed
// stays so. A few things are fixed when the router starts; changing them is an error
// that says so. The configuration is the node's from then on.
func (n *Node) Reload(c *config.Host) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		return errStopped
	}
	if err := fixed(n.config, c); err != nil {
		return err
	}
	routes, err := n.statics.reloaded(&c.Routes)
	if err != nil {
		return err
	}
	c.Routes = config.Routes{} // there may be many
	file := c.Workloads
	c, live, err := n.live.onto(c)
	if err != nil {
		return err
	}
	old, oldRoutes, oldLive := n.config, n.statics, n.live
	n.config, n.statics, n.live = c, routes, live
	if err := errors.Join(n.checkImport(), n.checkNextHops(routes)); err != nil {
		n.config, n.statics, n.live = old, oldRoutes, oldLive
		return err
	}
	if err := n.applyConfig(oldRoutes); err != nil {
		n.config, n.statics, n.live = old, oldRoutes, oldLive
		return errors.Join(err, n.applyConfig(routes))
	}
	n.file = file
	return nil
}

// fixed names what can only be set when the router starts.
func fixed(old, c *config.Host) error {
	for _, f := range []struct {
		key       string
		was, want any
	}{
		{"node", old.Node, c.Node},
		{"uplink.interface", old.Uplink.Interface, c.Uplink.Interface},
		{"gateway.address", old.Gateway.Address, c.Gateway.Address},
		{"gateway.mac", old.Gateway.MAC.String(), c.Gateway.MAC.String()},
		{"kernel.export", old.Kernel.Export, c.Kernel.Export},
		{"offload", old.Offload, c.Offload},
		{"workers", workers(old), workers(c)},
		{"metrics.listen", old.Metrics.Listen, c.Metrics.Listen},
		{"control.socket", old.Control.Socket, c.Control.Socket},
		{"control.group", old.Control.Group, c.Control.Group},
		{"control.listen", old.Control.Listen, c.Control.Listen},
		{"control.tls", old.Control.TLS, c.Control.TLS},
		{"log", old.Log, c.Log},
	} {
		if f.was != f.want {
			return fmt.Errorf("%s cannot change from %v to %v while the router runs; restart it: workloads keep their connections", f.key, f.was, f.want)
		}
	}
	return nil
}

// replaceWorkloads detaches the workloads that are no more or have changed, and
// attaches the new ones: first those in nobody's place, as they may fail, and
// then nothing else was touched.
func (n *Node) replaceWorkloads() error {
	is := map[string]*config.Workload{}
	for i := range n.config.Workloads {
		w := &n.config.Workloads[i]
		is[w.Name] = w
		if n.workloads[w.Name] == nil && !n.inPlaceOfAnother(w) {
			if err := n.attach(w); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.workloads)) {
		if now := is[name]; now == nil || *now != n.workloads[name].config {
			if err := n.detach(name, now); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if n.workloads[name] == nil {
			if err := n.attach(is[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// inPlaceOfAnother says whether an attached workload has something that this one is
// to have.
func (n *Node) inPlaceOfAnother(w *config.Workload) bool {
	now := *n.config
	now.Workloads = nil
	for _, a := range n.workloads {
		now.Workloads = append(now.Workloads, a.config)
	}
	return now.Admits(*w) != nil
}

// detach takes a workload's port away, and of its set-up what the workload that
// is to be in its place (nil: none) has no use for.
func (n *Node) detach(name string, next *config.Workload) error {
	w := n.workloads[name]
	if w == nil {
		return nil
	}
	if err := n.removePort(name); err != nil {
		return err
	}
	n.log.Info("workload detached", "workload", name)
	s := w.Spec
	if next == nil {
		defer delete(n.found, name)
	}
	switch {
	case next == nil && w.named && !n.found[name]:
		s.Namespace = "" // the namespace goes too
	case next != nil && next.Interface == w.Interface && (next.Namespace == "" && w.named || next.Namespace == string(w.Namespace)):
		return nil // it is taken over
	}
	return workload.Remove(s)
}

// applyConfig brings workloads, forwarder, guard and routes to what the configuration
// says. was is what static routes there were before.
func (n *Node) applyConfig(was *statics) error {
	if err := n.replaceWorkloads(); err != nil {
		return err
	}
	n.statics.turned = false
	routes := func() error {
		return errors.Join(n.setStaticRoutes(), n.enter(was.without(n.statics)), n.importAll())
	}
	if n.uplink.index == 0 { // it is gone; what needs it is done when it comes back
		n.stale = true
		return routes()
	}
	n.followMTU()
	return errors.Join(n.applyUplink(), n.setGuard(), routes())
}
