package host

import (
	"errors"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/workload"
)

// Namespace is a workload's.
type Namespace struct {
	Path     workload.Namespace
	Make     bool // if it is not there: it is the workload's by its name
	Workload string
	Command  bool
}

// ID implements Object.
func (n *Namespace) ID() ID { return ID{Kind: KindNamespace, Name: string(n.Path)} }

// For implements Object.
func (n *Namespace) For() (string, bool) { return n.Workload, n.Command }

func (n *Namespace) grows(Object) bool { return true }

// Waits is the error about what somebody else is to make.
type Waits struct{ Reason error }

func (w *Waits) Error() string { return w.Reason.Error() }

func (w *Waits) Unwrap() error { return w.Reason }

func (n *Namespace) look(it *Item) (*deeds, error) {
	d := &deeds{do: func() error { return nil }}
	inode, err := n.Path.Inode()
	if err == nil {
		if it.Stands && it.inode == inode {
			d.entry = it.entry
			return d, nil
		}
		if it.entry != nil {
			var cookie uint64
			err := it.host.in(n.Path, func(*netlink.Handle) (err error) {
				cookie, err = workload.Cookie()
				return err
			})
			if err != nil {
				return nil, err
			}
			if it.entry.Netns == cookie {
				d.entry = it.entry // made by the router, of this run or an earlier one
			}
		}
		d.do = func() error { it.inode = inode; return nil }
		return d, nil
	}
	if !errors.Is(err, workload.ErrNone) || !n.Make || it.lost {
		return nil, &Waits{err}
	}
	var made *workload.Draft
	d.entry = &Entry{}
	d.say("make namespace %s", n.Path)
	d.draft = func() (err error) {
		if made, err = workload.New(); err == nil {
			d.entry.Netns = made.Cookie
		}
		return err
	}
	d.drop = func() { made.Drop() }
	d.do = func() (err error) {
		if err := made.Name(n.Path); err != nil {
			return err
		}
		it.inode, err = n.Path.Inode()
		return err
	}
	return d, nil
}

// removeNamespace removes the name, as `ip netns del` does. Of another one that has it now nothing is known.
func removeNamespace(e *Entry) error {
	path := workload.Namespace(e.Name)
	cookie, err := path.Cookie()
	switch {
	case errors.Is(err, workload.ErrNone):
		path.Sweep() // the router was killed before it had that name
		return nil
	case err != nil:
		return err
	case e.Found || cookie != e.Netns:
		return nil
	}
	return path.Delete()
}
