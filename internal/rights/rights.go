// Package rights is what a router may do on its host: the capabilities it cannot
// do without, and that it keeps no others.
package rights

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Right is a capability that the router uses.
type Right struct {
	Name string // CAP_NET_ADMIN
	For  string
	bit  cap.Value
	// namespaces says that it is of use for workloads alone.
	namespaces bool
}

func (r Right) String() string { return r.Name + " (" + r.For + ")" }

// Needed are the capabilities of a router, see capabilities(7).
var Needed = []Right{
	{"CAP_NET_ADMIN", "TAPs, addresses, routes and the guard", cap.NET_ADMIN, false},
	{"CAP_NET_RAW", "the packet socket on the uplink", cap.NET_RAW, false},
	{"CAP_SYS_ADMIN", "making and entering the workloads' namespaces", cap.SYS_ADMIN, true},
}

// Missing lists what this process lacks for a router with, or without, workloads.
func Missing(workloads bool) ([]Right, error) {
	have := cap.GetProc()
	var missing []Right
	for _, r := range Needed {
		ok, err := have.GetFlag(cap.Effective, r.bit)
		if err != nil {
			return nil, fmt.Errorf("reading the capabilities of this process: %w", err)
		}
		if !ok && (workloads || !r.namespaces) {
			missing = append(missing, r)
		}
	}
	return missing, nil
}

// Require is an error that names what is missing, each with what it is for.
func Require(workloads bool) error {
	missing, err := Missing(workloads)
	if err != nil || len(missing) == 0 {
		return err
	}
	var words []string
	for _, r := range missing {
		words = append(words, r.String())
	}
	return fmt.Errorf("missing %s: run as root, or give the process these capabilities", strings.Join(words, ", "))
}

// Drop gives up, on all threads and for good, every capability that is not
// needed; those that are needed and missing stay missing. What this process may
// ever have again (the bounding set) shrinks alike where it has CAP_SETPCAP, and
// no program that it starts can have more than itself.
func Drop() error {
	if err := dropBounding(); err != nil {
		return fmt.Errorf("giving up the right to regain capabilities: %w", err)
	}
	have, keep := cap.GetProc(), cap.NewSet()
	for _, r := range Needed {
		for _, flag := range []cap.Flag{cap.Permitted, cap.Effective} {
			ok, err := have.GetFlag(flag, r.bit)
			if err == nil && ok {
				err = keep.SetFlag(flag, true, r.bit)
			}
			if err != nil {
				return err
			}
		}
	}
	if err := keep.SetProc(); err != nil {
		return fmt.Errorf("giving up capabilities that are not needed: %w", err)
	}
	if _, err := cap.Prctlw(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up set-user-id programs: %w", err)
	}
	return nil
}

func dropBounding() error {
	for bit := range cap.MaxBits() {
		if slices.ContainsFunc(Needed, func(r Right) bool { return r.bit == bit }) {
			continue
		}
		err := cap.DropBound(bit)
		if errors.Is(err, unix.EPERM) {
			return nil // without CAP_SETPCAP; what is not permitted can't be used either
		}
		if err != nil {
			return err
		}
	}
	return nil
}
