package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/workload"
)

// Directory is where the records are. Its files go when the machine is started again, and so
// does what they tell of.
const Directory = "/run/vrouter"

// Owner is the router that a record is of, the one that runs or the last one that did.
type Owner struct {
	Uplink string `json:"uplink"`
	Netns  uint64 `json:"network_namespace"` // SO_NETNS_COOKIE
	Boot   string `json:"boot"`              // of the machine: cookies begin anew with it
	PID    int    `json:"pid"`
	Start  string `json:"start"` // of the process, proc_pid_stat(5) field 22
	Socket string `json:"control_socket,omitempty"`
}

// Entry is an object in the record: what was done to the host.
type Entry struct {
	ID
	Workload string `json:"workload,omitempty"` // that it is for
	Command  bool   `json:"command,omitempty"`  // a command asked for it, not the file
	Netns    uint64 `json:"netns"`              // the namespace that it is, or is in, by its cookie
	Index    int    `json:"index,omitempty"`    // of an interface
	// Container is of CNI: the next router attaches it again.
	Container *Container `json:"container,omitempty"`
	// Found was there before: it is never removed.
	Found bool `json:"found,omitempty"`
	// Addresses and Routes, by destination, are those that the router gave to an interface.
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	Routes    []netip.Prefix `json:"routes,omitempty"`
	Gateway   netip.Addr     `json:"gateway,omitzero"`
	Gateway6  netip.Addr     `json:"gateway6,omitzero"`
	// Replaced and Former are the routes and addresses that had their place before; they are put back.
	Replaced []Route        `json:"replaced,omitempty"`
	Former   []netip.Prefix `json:"replaced_addresses,omitempty"`
	// Settings are those of net.ipv6.conf that an interface had before, which was found.
	Settings map[string]string `json:"replaced_settings,omitempty"`

	old  bool   // of an earlier run
	line []byte // as it was written last
}

// Container is whose interface one is: of a network of CNI.
type Container struct {
	Network string `json:"network"`
	ID      string `json:"id"`
	MTU     int    `json:"mtu,omitempty"` // that was asked for; 0: what fits
}

func (e *Entry) gateway(family netip.Addr) netip.Addr {
	if family.Is4() {
		return e.Gateway
	}
	return e.Gateway6
}

// Record is what was done to a host. It is written before anything is done.
type Record struct {
	Owner   Owner
	Objects []*Entry

	dir, file string
	unsaved   bool // the last save failed: what it was to tell of is not to be done
}

// ErrDamaged is about a record that cannot be read: then nothing is known to be the router's.
var ErrDamaged = errors.New("the record is damaged: what it told of is not known to be the router's any more, and is left alone")

// places are the files that the record of an uplink may be in. The first one is that of the network
// namespace that came first.
func places(dir string, o *Owner) []string {
	return []string{filepath.Join(dir, o.Uplink+".json"), filepath.Join(dir, fmt.Sprintf("%s.%d.json", o.Uplink, o.Netns))}
}

// loadRecord finds the one of this uplink in this network namespace, or begins one. With ErrDamaged
// it has begun one.
func loadRecord(dir, uplink string) (r *Record, err error) {
	r = &Record{Owner: Owner{Uplink: uplink, Boot: bootID()}, dir: dir}
	if r.Owner.Netns, err = workload.Cookie(); err != nil {
		return r, err
	}
	var damaged error
	for _, file := range places(dir, &r.Owner) {
		found, err := readRecord(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, ErrDamaged):
			damaged = err
		case err != nil:
			return r, err
		case found.Owner.is(&r.Owner):
			found.dir, found.file = dir, file
			for _, e := range found.Objects {
				e.old = true
			}
			return found, nil
		}
	}
	return r, damaged
}

// is says whether two owners are of one uplink. A record of before the machine was started is nobody's.
func (o *Owner) is(p *Owner) bool {
	return o.Uplink == p.Uplink && o.Netns == p.Netns && o.Boot == p.Boot
}

// Records are all that are there of this network namespace, of whatever uplink.
func Records() (list []*Record, err error) {
	cookie, err := workload.Cookie()
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(Directory, "*.json"))
	for _, file := range files {
		if r, err := readRecord(file); err == nil && r.Owner.Netns == cookie && r.Owner.Boot == bootID() {
			list = append(list, r)
		}
	}
	return list, err
}

type recordFile struct {
	Owner   Owner    `json:"owner"`
	Objects []*Entry `json:"objects"`
}

func readRecord(file string) (*Record, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var f recordFile
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&f); err != nil || f.Owner.Uplink == "" || slices.Contains(f.Objects, nil) {
		return nil, fmt.Errorf("%s: %w (%v)", file, ErrDamaged, err)
	}
	return &Record{Owner: f.Owner, Objects: f.Objects, file: file}, nil
}

// text has an object a line, for people.
func (r *Record) text() ([]byte, error) {
	owner, err := json.Marshal(r.Owner)
	if err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(nil)
	fmt.Fprintf(b, "{\"owner\": %s,\n \"objects\": [", owner)
	for i, e := range r.Objects {
		if e.line == nil {
			if e.line, err = json.Marshal(e); err != nil {
				return nil, err
			}
		}
		b.WriteString([]string{"\n  ", ",\n  "}[min(i, 1)])
		b.Write(e.line)
	}
	b.WriteString("\n ]}\n")
	return b.Bytes(), nil
}

// save writes the record, whole or not at all.
func (r *Record) save() error {
	r.unsaved = true
	b, err := r.text()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return fmt.Errorf("the record of what is done to the host: %w", err)
	}
	if r.file == "" {
		if err := r.claim(); err != nil {
			return fmt.Errorf("the record of what is done to the host: %w", err)
		}
	}
	if err := replaceFile(r.file, b); err != nil {
		return fmt.Errorf("the record of what is done to the host: %w", err)
	}
	r.unsaved = false
	written()
	return nil
}

// written is called after each write to the record, and after each change of the host: a test ends the process there.
var written = func() {}

// claim takes the first place that nobody else's record has. Of two that come at the same time one waits for the other.
func (r *Record) claim() error {
	d, err := os.Open(r.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		return os.NewSyscallError("flock", err)
	}
	all := places(r.dir, &r.Owner)
	empty, err := (&Record{Owner: r.Owner}).text()
	if err != nil {
		return err
	}
	next := all[1] + ".new"
	if err := os.WriteFile(next, empty, 0o644); err != nil {
		return err
	}
	defer os.Remove(next)
	for _, r.file = range all {
		if err := os.Link(next, r.file); err == nil || !errors.Is(err, fs.ErrExist) {
			return err // whoever comes at the same time finds it whole
		}
		if other, err := readRecord(r.file); err != nil || other.isGarbage() {
			return os.Rename(next, r.file)
		}
	}
	return nil
}

// isGarbage says that nothing is left of what a record of another network namespace tells of: it is of
// before the machine was started, or its router and the namespaces of its objects are gone. Of objects
// in that namespace itself nobody here knows.
func (r *Record) isGarbage() bool {
	if r.Owner.Boot != bootID() {
		return true
	}
	if Alive(r.Owner.PID, r.Owner.Start) {
		return false
	}
	return !slices.ContainsFunc(r.Objects, func(e *Entry) bool {
		if e.Namespace == "" {
			return true
		}
		cookie, err := e.Namespace.Cookie()
		return err == nil && cookie == e.Netns
	})
}

// remove takes the file away, as there is nothing to tell any more.
func (r *Record) remove() error {
	if r.file == "" {
		return nil
	}
	if err := os.Remove(r.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.file = ""
	return nil
}

func (r *Record) find(id ID) *Entry {
	for _, e := range r.Objects {
		if e.ID == id {
			return e
		}
	}
	return nil
}

func replaceFile(file string, content []byte) error {
	next := file + ".new"
	if err := os.WriteFile(next, content, 0o644); err != nil {
		return err
	}
	return os.Rename(next, file)
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}
