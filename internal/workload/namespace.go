// Package workload gives a network namespace the set-up of the tutorial: an
// interface whose other end the router reads, an address, the link route to the
// gateway and the default route by way of it.
package workload

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

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
	_, err := n.identity()
	return err == nil
}

type identity struct{ dev, ino uint64 }

// identity tells one namespace from the next one at the same path.
func (n Namespace) identity() (identity, error) {
	var fs unix.Statfs_t
	err := unix.Statfs(string(n), &fs)
	if errors.Is(err, os.ErrPermission) { // as with /proc/PID/ns/net of a process that may more than we
		return identity{}, fmt.Errorf("%s: %w; name the namespace (ip netns attach NAME PID) and give %s/NAME", n, err, Directory)
	}
	if err != nil || fs.Type != unix.NSFS_MAGIC {
		return identity{}, fmt.Errorf("%s: no network namespace there", n)
	}
	var st unix.Stat_t
	if err := unix.Stat(string(n), &st); err != nil {
		return identity{}, fmt.Errorf("%s: %w", n, err)
	}
	return identity{uint64(st.Dev), st.Ino}, nil
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

// Create makes a named namespace, as `ip netns add` does, with lo up.
func Create(name string) (Namespace, error) {
	n := Named(name)
	err := onThread(func() error {
		h, err := netns.NewNamed(name)
		if err != nil {
			return err
		}
		return h.Close()
	})
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			err = fmt.Errorf("%w (run as root, or with CAP_SYS_ADMIN)", err)
		}
		return "", fmt.Errorf("creating namespace %s: %w", n, err)
	}
	if err := n.Do(loopbackUp); err != nil {
		return "", errors.Join(err, n.Delete())
	}
	return n, nil
}

// Delete removes a named namespace, as `ip netns del` does.
func (n Namespace) Delete() error {
	if err := netns.DeleteNamed(filepath.Base(string(n))); err != nil {
		return fmt.Errorf("removing namespace %s: %w", n, err)
	}
	return nil
}
