package node

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"

	"github.com/vrouter/vrouter/internal/config"
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
		if mine, ok := l[w.Name]; ok && (mine == nil || *mine != w) {
			left[w.Name] = mine
			c = c.Without(w.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l)) {
		w := l[name]
		if w == nil || slices.Contains(file.Workloads, *w) {
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
	if err := n.config.Admits(w); err != nil {
		return err
	}
	if w.Namespace != "" && !workload.Namespace(w.Namespace).Exists() {
		return &config.FieldError{Field: "namespace", Reason: fmt.Sprintf("%s: no network namespace there: give the path of one, or leave it out", w.Namespace)}
	}
	old := n.config
	n.config = old.With(w)
	err := n.attach(&w)
	if err == nil {
		err = n.followWorkload(w.Address.Addr())
	}
	if err != nil {
		n.config = old
		return errors.Join(err, n.detach(w.Name, nil), n.followWorkload(w.Address.Addr()))
	}
	n.live = n.live.with(w.Name, &w, n.file)
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
	a := n.config.Workloads[i].Address.Addr()
	if n.statics.leadsTo(a) && !n.onUplink(a) {
		return &config.FieldError{Field: "name", Reason: fmt.Sprintf("routes go by way of %s (via %s): delete them first", name, a)}
	}
	n.config = n.config.Without(name)
	n.live = n.live.with(name, nil, n.file)
	return errors.Join(n.detach(name, nil), n.followWorkload(a))
}

// followWorkload does what is to be done when a workload with that address has come
// or gone: routes may lead by way of it.
func (n *Node) followWorkload(a netip.Addr) error {
	if !n.statics.leadsTo(a) {
		return nil
	}
	return errors.Join(n.applyUplink(), n.setStaticRoutes())
}

// ConfigWriter is what writes the host file that gives the present state, what commands
// changed included.
func (n *Node) ConfigWriter() func(io.Writer) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	c, routes := n.config, n.statics.sorted()
	return func(w io.Writer) error { return c.WriteYAML(w, routes) }
}
