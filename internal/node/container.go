package node

import (
	"errors"
	"fmt"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/workload"
)

// findContainer notes which namespace is the container's: whatever has its path later is another one.
func findContainer(w *config.Workload) error {
	if w.Namespace == "" {
		return &config.FieldError{Field: "namespace", Reason: "missing: a container's namespace was made by somebody else, so give its path"}
	}
	path, _ := (&config.Host{}).NamespaceOf(w)
	own, err := workload.Cookie()
	if err == nil {
		w.Container.Netns, err = workload.Namespace(path).Cookie()
	}
	switch {
	case err != nil:
		return &config.FieldError{Field: "namespace", Reason: fmt.Sprintf("%v: give the path of the container's", err)}
	case w.Container.Netns == own:
		return &config.FieldError{Field: "namespace", Reason: fmt.Sprintf("%s is the host's own: give the path of the container's", path)}
	}
	return nil
}

// containerGone says that a container's namespace has no path any more, by which it never comes again.
func containerGone(w *config.Workload) bool {
	path, _ := (&config.Host{}).NamespaceOf(w)
	cookie, err := workload.Namespace(path).Cookie()
	return errors.Is(err, workload.ErrNone) || err == nil && cookie != w.Container.Netns
}

// restoreContainers takes over those that an earlier run had; one whose namespace has gone meanwhile is taken back.
func (n *Node) restoreContainers() {
	for _, e := range n.what.Containers() {
		w := config.Workload{
			Name: e.Workload, Interface: e.Name, Addresses: e.Addresses, Namespace: string(e.Namespace), MTU: e.Container.MTU,
			Container: config.Container{Network: e.Container.Network, ID: e.Container.ID, Netns: e.Netns},
		}
		if containerGone(&w) || len(w.Addresses) == 0 {
			continue
		}
		if err := n.config.Admits(w); err != nil {
			n.log.Error("a container of the last run is in the way of the configuration file: it loses its interface", "workload", w.Name, "reason", err)
			continue
		}
		n.config, n.live = n.config.With(w), n.live.with(w.Name, &w, n.file)
	}
}

// forgetContainers lets go of those whose namespace has gone; its address is for the next one. One that routes lead to
// stays.
func (n *Node) forgetContainers() error {
	n.what.LookForNamespaces()
	before := n.config
	for i := range before.Workloads {
		w := &before.Workloads[i]
		if w.Container.ID == "" || n.ledTo(w).IsValid() {
			continue
		}
		path, _ := n.config.NamespaceOf(w)
		ns := n.what.Item((&host.Namespace{Path: workload.Namespace(path)}).ID())
		if (ns == nil || !ns.Stands) && containerGone(w) {
			n.log.Info("the container's namespace is gone", "workload", w.Name, "namespace", path)
			n.config, n.live = n.config.Without(w.Name), n.live.with(w.Name, nil, n.file)
		}
	}
	if n.config == before {
		return nil
	}
	return n.apply()
}
