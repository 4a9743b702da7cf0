package node

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/workload"
	"github.com/vrouter/vrouter/rib"
)

// workloadChanges is what commands made of the file's workloads, by name: another
// one, one more or, where it is nil, none.
type workloadChanges map[string]*config.Workload

// onto makes the changes to what the file says. Where the file has come to say the
// same, the workload is the file's from then on.
func (l workloadChanges) onto(file *config.Host) (*config.Host, workloadChanges, error) {
	left, c := workloadChanges{}, file
	for _, w := range file.Workloads {
		if mine, ok := l[w.Name]; ok && (mine == nil || !mine.Equal(w)) {
			left[w.Name] = mine
			c = c.Without(w.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l)) {
		w := l[name]
		if w == nil || slices.ContainsFunc(file.Workloads, w.Equal) {
			continue
		}
		left[name] = w
		if err := c.Admits(*w); err != nil {
			return nil, nil, fmt.Errorf("workload %s, which a command added, is in the way of the file's: %w", name, err)
		}
		c = c.With(*w)
	}
	return c, left, nil
}

// with is the changes and one more. To delete what the file never had leaves nothing to
// remember.
func (l workloadChanges) with(name string, w *config.Workload, file []config.Workload) workloadChanges {
	next := maps.Clone(l)
	next[name] = w
	if w == nil && !slices.ContainsFunc(file, func(f config.Workload) bool { return f.Name == name }) {
		delete(next, name)
	}
	return next
}

// AddWorkload attaches one more workload, until the router stops or DeleteWorkload. An error
// that is the workload's fault is a *config.FieldError.
func (n *Node) AddWorkload(w config.Workload) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		return errStopped
	}
	if w.Container.ID != "" {
		if err := errors.Join(n.forgetContainers(), findContainer(&w)); err != nil {
			return err
		}
	}
	if err := errors.Join(n.config.Admits(w), n.checkAddress(w)); err != nil {
		return err
	}
	if path, named := n.config.NamespaceOf(&w); !named && !workload.Namespace(path).Exists() {
		return &config.FieldError{Field: "namespace", Reason: fmt.Sprintf("%s: no network namespace there: give the path of one, or leave it out", w.Namespace)}
	}
	old, oldLive := n.config, n.live
	n.config, n.live = old.With(w), n.live.with(w.Name, &w, n.file)
	err := n.what.Check(n.present())
	if err == nil {
		err = host.ButLeft(n.apply())
	}
	if it := n.what.Item(interfaceOf(n.config, &w, 0, true).ID()); err == nil && it.Why() != nil {
		err = fmt.Errorf("workload %s: %w", w.Name, it.Why())
	}
	if err != nil {
		n.config, n.live = old, oldLive
		return errors.Join(err, host.ButLeft(n.apply()))
	}
	return nil
}

// DeleteWorkload detaches a workload, and takes its set-up back. An error that is the
// caller's fault is a *ChangeError or a *config.FieldError.
func (n *Node) DeleteWorkload(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		return errStopped
	}
	i := slices.IndexFunc(n.config.Workloads, func(w config.Workload) bool { return w.Name == name })
	if i < 0 {
		return refused(rib.ErrNotFound, "name", "there is no workload %q: `vrouter workload list` shows which there are", name)
	}
	if a := n.ledTo(&n.config.Workloads[i]); a.IsValid() {
		return &config.FieldError{Field: "name", Reason: fmt.Sprintf("routes go by way of %s (via %s): delete them first", name, a)}
	}
	n.config = n.config.Without(name)
	n.live = n.live.with(name, nil, n.file)
	return n.apply()
}

// ledTo is the address of a workload that static routes go by way of; invalid if there is none.
func (n *Node) ledTo(w *config.Workload) netip.Addr {
	for _, p := range w.Addresses {
		if a := p.Addr(); n.statics.leadsTo(a) && !n.onUplink(a) {
			return a
		}
	}
	return netip.Addr{}
}

// ConfigWriter is what writes the host file that gives the present state, what commands
// changed included.
func (n *Node) ConfigWriter() func(io.Writer) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	c, routes := n.config, n.statics.sorted()
	return func(w io.Writer) error { return c.WriteYAML(w, routes) }
}
