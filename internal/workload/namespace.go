// Package workload knows network namespaces: which is at a path, how to get in, how to make one and
// give it a name.
package workload

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Directory is where ip-netns(8) keeps named namespaces.
const Directory = "/run/netns"

// Namespace is a network namespace by its path, such as /run/netns/ns1.
type Namespace string

// Named is the namespace that `ip netns` calls by name.
func Named(name string) Namespace { return Namespace(filepath.Join(Directory, name)) }

// Exists says whether the path leads to a namespace.
func (n Namespace) Exists() bool {
	_, err := n.Inode()
	return err == nil
}

// Inode tells one namespace from another one for as long as somebody holds it: a number is
// given out again.
type Inode struct{ dev, ino uint64 }

// Inode is that of the namespace at the path.
func (n Namespace) Inode() (Inode, error) {
	var fs unix.Statfs_t
	err := unix.Statfs(string(n), &fs)
	if errors.Is(err, os.ErrPermission) { // as with /proc/PID/ns/net of a process that may more than we
		return Inode{}, fmt.Errorf("%s: %w; name the namespace (ip netns attach NAME PID) and give %s/NAME", n, err, Directory)
	}
	if err != nil || fs.Type != unix.NSFS_MAGIC {
		return Inode{}, fmt.Errorf("%s: %w there", n, ErrNone)
	}
	var st unix.Stat_t
	if err := unix.Stat(string(n), &st); err != nil {
		return Inode{}, fmt.Errorf("%s: %w", n, err)
	}
	return Inode{uint64(st.Dev), st.Ino}, nil
}

// ErrNone is about a path that leads to no namespace.
var ErrNone = errors.New("no network namespace")

// Cookie is the number of the calling thread's network namespace, which no other one has until the machine
// is started again (SO_NETNS_COOKIE, Linux 5.14).
func Cookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("SO_NETNS_COOKIE: %w (it needs Linux 5.14)", err)
	}
	return cookie, nil
}

// Cookie is that of the namespace at the path.
func (n Namespace) Cookie() (cookie uint64, err error) {
	if _, err := n.Inode(); err != nil {
		return 0, err
	}
	err = n.Do(func() (err error) {
		cookie, err = Cookie()
		return err
	})
	return cookie, err
}

// Do runs f on a thread inside the namespace. That thread does nothing else
// afterwards: it ends with f, so no other code can run in the wrong namespace.
func (n Namespace) Do(f func() error) error {
	return onThread(func() error {
		h, err := netns.GetFromPath(string(n))
		if err != nil {
			return fmt.Errorf("namespace %s: %w", n, err)
		}
		defer h.Close()
		if err := netns.Set(h); err != nil {
			return fmt.Errorf("entering namespace %s: %w (run as root, or with CAP_SYS_ADMIN)", n, err)
		}
		return f()
	})
}

// Room is a thread inside a namespace that does one errand after the other.
type Room struct {
	errands chan func() error
	done    chan error
}

// Enter opens one. Whatever becomes of the path, it is in that namespace until Leave.
func (n Namespace) Enter() (*Room, error) {
	r := &Room{make(chan func() error), make(chan error)}
	go func() {
		r.done <- n.Do(func() error {
			r.done <- nil
			for f := range r.errands {
				r.done <- f()
			}
			return nil
		})
	}()
	if err := <-r.done; err != nil {
		return nil, err
	}
	return r, nil
}

// Do does an errand.
func (r *Room) Do(f func() error) error {
	r.errands <- f
	return <-r.done
}

// Leave ends the thread.
func (r *Room) Leave() {
	close(r.errands)
	<-r.done
}

// Start starts a command inside the namespace, and says when it has ended. The
// thread that starts it stays until then: a command with a death signal dies with
// the thread that made it.
func (n Namespace) Start(cmd *exec.Cmd) (ended <-chan struct{}, err error) {
	started, end := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(end)
		err := n.Do(func() error {
			err := cmd.Start()
			started <- err
			if err == nil {
				_ = cmd.Wait()
			}
			return nil
		})
		if err != nil {
			started <- err
		}
	}()
	return end, <-started
}

func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		result <- f()
	}()
	return <-result
}

// Draft is a namespace that has no name yet: it goes with the process that made it.
type Draft struct {
	Cookie uint64
	fd     int
}

// Open is the one that is at the path already, to be given another name.
func (n Namespace) Open() (*Draft, error) {
	if _, err := n.Inode(); err != nil {
		return nil, err
	}
	fd, err := unix.Open(string(n), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", n, err)
	}
	return &Draft{fd: fd}, nil
}

// New makes one, with lo up.
func New() (d *Draft, err error) {
	err = onThread(func() error {
		h, err := netns.New()
		if err != nil {
			return err
		}
		d = &Draft{fd: int(h)}
		if err = loopbackUp(); err == nil {
			d.Cookie, err = Cookie()
		}
		return err
	})
	if err != nil && d != nil {
		d.Drop()
	}
	if errors.Is(err, os.ErrPermission) {
		err = fmt.Errorf("%w (run as root, or with CAP_SYS_ADMIN)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("creating a namespace: %w", err)
	}
	return d, nil
}

// Drop lets it go.
func (d *Draft) Drop() { unix.Close(d.fd) }

// Name gives it a name, as `ip netns add` does. An empty file there, as is left where a name was
// that others do not see, is none.
func (d *Draft) Name(n Namespace) error {
	defer d.Drop()
	if Hidden() {
		return fmt.Errorf("creating namespace %s: nobody else would see it, as this process has mounts of its own (`ip netns exec` gives it them): make it first (ip netns add %s), or start the router with nsenter --net=PATH",
			n, filepath.Base(string(n)))
	}
	if err := os.MkdirAll(filepath.Dir(string(n)), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(string(n), os.O_CREATE|os.O_EXCL, 0o444)
	switch {
	case err == nil:
		f.Close()
	case !errors.Is(err, os.ErrExist) || !n.emptyFile():
		return fmt.Errorf("creating namespace %s: %w", n, err)
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", d.fd), string(n), "bind", unix.MS_BIND, ""); err != nil {
		os.Remove(string(n))
		return fmt.Errorf("creating namespace %s: %w (run as root, or with CAP_SYS_ADMIN)", n, err)
	}
	return nil
}

// emptyFile says whether there is but the file that a name is mounted on.
func (n Namespace) emptyFile() bool {
	st, err := os.Lstat(string(n))
	return err == nil && st.Mode().IsRegular() && st.Size() == 0 && !n.Exists()
}

// Sweep removes the file of a name that is no more.
func (n Namespace) Sweep() {
	if n.emptyFile() {
		os.Remove(string(n))
	}
}

// Create makes a named namespace, as `ip netns add` does, with lo up.
func Create(name string) (Namespace, error) {
	n := Named(name)
	if n.Exists() {
		return "", fmt.Errorf("creating namespace %s: %w", n, os.ErrExist)
	}
	d, err := New()
	if err != nil {
		return "", err
	}
	return n, d.Name(n)
}

// Delete removes a named namespace, as `ip netns del` does.
func (n Namespace) Delete() error {
	// Not where others have mounted it: then it goes with the file.
	_ = unix.Unmount(string(n), unix.MNT_DETACH)
	if err := os.Remove(string(n)); err != nil {
		return fmt.Errorf("removing namespace %s: %w", n, err)
	}
	return nil
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}
