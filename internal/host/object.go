package host

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/tunnelgso"
	"github.com/vrouter/vrouter/internal/workload"
)

// Kind is a kind of object. Each is a file of this package.
type Kind string

// Kinds, in the order in which objects are made: what others stand on comes first. They go the other way round.
const (
	KindGuard     Kind = "guard"
	KindProgram   Kind = "program"
	KindNamespace Kind = "namespace"
	KindInterface Kind = "interface"
	KindExports   Kind = "routes"
)

var kinds = []struct {
	Kind
	remove func(*Entry) error // takes back what a router has done; that it is gone already is no error
}{
	{KindGuard, removeGuard},
	{KindProgram, removeProgram},
	{KindNamespace, removeNamespace},
	{KindInterface, removeInterface},
	{KindExports, removeExports},
}

// ID tells an object from all others.
type ID struct {
	Kind      Kind               `json:"kind"`
	Name      string             `json:"name"`
	Namespace workload.Namespace `json:"namespace,omitempty"` // that it is in; "": the host's own
}

func (i ID) String() string {
	if i.Namespace != "" {
		return fmt.Sprintf("%s %s in %s", i.Kind, i.Name, i.Namespace)
	}
	return fmt.Sprintf("%s %s", i.Kind, i.Name)
}

// Object is a thing that is to be on the host. Its fields say all that is wanted of it.
type Object interface {
	ID() ID
	// For is the workload that it is for, "" for none, and whether a command asked for that.
	For() (workload string, command bool)
	// look finds what there is, and says what is to be done. It changes nothing.
	look(*Item) (*deeds, error)
	// grows says whether one that stands can become this one without being lost meanwhile.
	grows(from Object) bool
}

// deeds is what is to be done so that an object is as it is to be.
type deeds struct {
	words []string
	entry *Entry       // as it is to be recorded, before anything is done
	draft func() error // makes what goes by itself if this process ends before that
	drop  func()       // lets go of a draft
	do    func() error
}

func (d *deeds) say(format string, args ...any) {
	d.words = append(d.words, fmt.Sprintf(format, args...))
}

func (d *deeds) String() string { return strings.Join(d.words, ", ") }

// Item is an object and what there is of it.
type Item struct {
	Object
	Stands bool
	Err    error  // why it does not stand, or is not all that it is to be
	Note   string // what somebody has made of it, who may

	Program *tunnelgso.Program // of one that stands

	// Of an interface that stands.
	TAP    *link.TAP
	Index  int
	MAC    packet.MAC
	Device string // its name at present
	// LinkLocal are its IPv6 addresses of that kind, where it has others.
	LinkLocal []netip.Addr

	entry  *Entry
	inode  workload.Inode // of its namespace
	mtu    int            // as it was set
	dirty  bool           // look at it again
	theirs bool           // somebody has chosen another set-up, which holds until a reload
	// anew is until it is what it was last asked to be: what is done about it before makes nobody's change good.
	anew bool
	// following is while it is looked at because something changed, and nobody has asked for what is wanted.
	following bool
	doomed    bool      // it could not be taken away, which is tried again
	said      string    // why, as the log has it
	lost      bool      // what it stood on was taken away by somebody; who did so for good would not have it made again
	next      time.Time // when it may be looked at
	host      *Host
}

func same(a, b any) bool { return reflect.DeepEqual(a, b) }

func removal(k Kind) func(*Entry) error {
	for _, kind := range kinds {
		if kind.Kind == k {
			return kind.remove
		}
	}
	return func(e *Entry) error {
		return fmt.Errorf("%s is of a kind that this version does not know: it stays, take it back with the version that made it", e.ID)
	}
}

func rank(k Kind) int {
	for i, kind := range kinds {
		if kind.Kind == k {
			return i
		}
	}
	return len(kinds)
}
