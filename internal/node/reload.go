package node

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/workload"
	"github.com/vrouter/vrouter/rib"
)

// Reload applies a changed configuration while the router forwards: as a whole,
// or not at all. What did not change is not touched. A few things are fixed when
// the router starts; changing them is an error that says so.
func (n *Node) Reload(c *config.Host) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		return errors.New("the router is stopping; the next start reads the file anew")
	}
	old := n.config
	if err := fixed(old, c); err != nil {
		return err
	}
	n.config = c
	if err := errors.Join(n.checkImport(), n.checkNextHops()); err != nil {
		n.config = old
		return err
	}
	was, is := byName(old), byName(c)
	err := n.replaceWorkloads(was, is)
	if err == nil {
		err = n.applyConfig()
	}
	if err != nil {
		n.config = old
		return errors.Join(err, n.replaceWorkloads(is, was), n.applyConfig())
	}
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
		{"offload", old.Offload, c.Offload},
		{"metrics.listen", old.Metrics.Listen, c.Metrics.Listen},
		{"control.socket", old.Control.Socket, c.Control.Socket},
		{"control.group", old.Control.Group, c.Control.Group},
		{"log", old.Log, c.Log},
	} {
		if f.was != f.want {
			return fmt.Errorf("%s cannot change from %v to %v while the router runs; restart it: workloads keep their connections", f.key, f.was, f.want)
		}
	}
	return nil
}

func byName(c *config.Host) map[string]*config.Workload {
	m := map[string]*config.Workload{}
	for i := range c.Workloads {
		m[c.Workloads[i].Name] = &c.Workloads[i]
	}
	return m
}

// replaceWorkloads detaches the workloads that are no more or have changed, and
// attaches the new ones.
func (n *Node) replaceWorkloads(was, is map[string]*config.Workload) error {
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if now := is[name]; now == nil || *now != *was[name] {
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
	switch {
	case next == nil && w.named:
		s.Namespace = "" // the namespace goes too
	case next != nil && next.Interface == w.Interface && (next.Namespace == "" && w.named || next.Namespace == string(w.Namespace)):
		return nil // it is taken over
	}
	return workload.Remove(s)
}

// applyConfig brings the forwarder, the guard and the routes to what the
// configuration says.
func (n *Node) applyConfig() error {
	if n.uplink.index == 0 {
		return nil // it is gone; all of this is done when it comes back
	}
	n.followMTU()
	if len(n.config.Kernel.Import) == 0 {
		n.imported = hops{}
		_ = n.RIB.SetSource(rib.Kernel, nil) // an empty set has nothing to refuse
	}
	return errors.Join(n.applyUplink(), n.setGuard(), n.setStaticRoutes(), n.importRoutes())
}
