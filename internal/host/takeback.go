package host

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
)

// Look is the record of an uplink, in the calling thread's network namespace; nil if there is none.
func Look(uplink string) (*Record, error) {
	r, err := loadRecord(Directory, uplink)
	if err != nil || r.file == "" {
		return nil, err
	}
	return r, nil
}

// Has says whether the record tells of an object.
func (r *Record) Has(id ID) bool { return r.find(id) != nil }

// There says whether an interface of the record is there, the very one.
func (e *Entry) There() bool {
	there := false
	cookie, err := e.Namespace.Cookie()
	if err == nil && cookie == e.Netns {
		_ = e.Namespace.Do(func() error {
			l, err := netlink.LinkByIndex(e.Index)
			there = err == nil && isTAP(l)
			return nil
		})
	}
	return there
}

// TakeBack removes what a router has made that runs no longer, or those objects of it, and puts back what it has
// replaced. The error is a *Busy while it runs. It returns how many there were.
func TakeBack(uplink string, which func(*Entry) bool, log *slog.Logger) (n int, err error) {
	l, err := lock(uplink, log)
	if err != nil {
		return 0, err
	}
	if l != nil {
		defer l.Close()
	}
	r, err := loadRecord(Directory, uplink)
	if err != nil {
		return 0, err
	}
	h := &Host{log: log, record: r, items: map[ID]*Item{}, Lost: func(*Item, string) {}}
	for _, e := range r.Objects {
		h.items[e.ID] = &Item{entry: e, host: h}
		if which(e) {
			n++
		}
	}
	if r.file == "" {
		return 0, nil
	}
	err = h.removeUnless(func(it *Item) bool { return !which(it.entry) })
	if len(r.Objects) == 0 {
		return n, errors.Join(err, removeSocket(r.Owner.Socket), r.remove())
	}
	if err != nil {
		err = fmt.Errorf("%w; the rest is taken back", err)
	}
	return n, err
}

// removeSocket removes what a killed router listened at.
func removeSocket(path string) error {
	st, err := os.Lstat(path)
	if err != nil || st.Mode()&fs.ModeSocket == 0 || Listens(path) {
		return nil
	}
	return os.Remove(path)
}

// Forget removes the records of a network namespace that is no more.
func Forget(netns uint64) error {
	files, err := filepath.Glob(filepath.Join(Directory, "*.json"))
	for _, file := range files {
		if r, rerr := readRecord(file); rerr == nil && r.Owner.Netns == netns && !Alive(r.Owner.PID, r.Owner.Start) {
			err = errors.Join(err, os.Remove(file))
		}
	}
	return err
}
