package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/guard"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/workload"
)

// oldGuards are those on interfaces that no router reads.
func oldGuards(h *Host) (found []Finding, err error) {
	list, err := guard.Interfaces()
	if err != nil {
		return nil, nil // the check of the guard says so, where one is needed
	}
	for _, name := range list {
		if h.Router != nil && h.Config != nil && name == h.Config.Uplink.Interface {
			continue
		}
		pids, err := routersOn(name)
		if err != nil {
			return found, err
		}
		if len(pids) > 0 {
			continue
		}
		found = append(found, Finding{
			State: Warn, Means: "a killed router has left its guard on " + name + ": others on this host do not get what it drops",
			Mend: "nft delete table netdev vrouter-" + name, fix: func() error { return guard.Remove(name) },
		})
	}
	return found, nil
}

// oldWorkloads are namespaces with a TAP that nobody reads and the routes of a
// workload, but neither in the configuration nor in the lab.
func oldWorkloads(h *Host) (found []Finding, err error) {
	files, err := os.ReadDir(workload.Directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	known := h.knownNamespaces()
	for _, f := range files {
		ns := workload.Named(f.Name())
		if slices.Contains(known, ns) || !ns.Exists() {
			continue
		}
		var tap netlink.Link
		alone := false
		if nserr := ns.Do(func() (err error) {
			tap, alone, err = h.abandonedTAP()
			return err
		}); nserr != nil {
			return found, nserr
		}
		if tap != nil {
			found = append(found, leftWorkload(ns, f.Name(), tap, alone))
		}
	}
	return found, err
}

// leftWorkload is removed with its namespace, if there is nothing else in it.
func leftWorkload(ns workload.Namespace, name string, tap netlink.Link, alone bool) Finding {
	ifname := tap.Attrs().Name
	f := Finding{
		State: Warn, Means: fmt.Sprintf("%s in namespace %s is an interface that a router made and none reads, and no workload of the configuration", ifname, name),
		Mend: fmt.Sprintf("ip -n %s link del %s", name, ifname),
		fix:  func() error { return ns.Do(func() error { return netlink.LinkDel(tap) }) },
	}
	if alone {
		f.Mend, f.fix = "ip netns del "+name, ns.Delete
	}
	return f
}

func (h *Host) knownNamespaces() (known []workload.Namespace) {
	for _, w := range h.Config.Workloads {
		known = append(known, namespace(w.Namespace, w.Name))
	}
	l, err := lab.Load()
	if err != nil {
		return known // no lab
	}
	for _, host := range l.Hosts {
		for _, w := range host.Workloads {
			known = append(known, workload.Named(w.Namespace))
		}
	}
	return known
}

// abandonedTAP looks in the calling thread's namespace: a TAP without carrier, as it has
// while nobody reads it, by which the gateway's address is reached. alone: there
// is nothing else but lo.
func (h *Host) abandonedTAP() (tap netlink.Link, alone bool, err error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, false, err
	}
	all, err := mainTable()
	for _, l := range links {
		if l.Type() != "tuntap" || l.Attrs().RawFlags&unix.IFF_LOWER_UP != 0 {
			continue
		}
		for _, r := range all {
			if r.LinkIndex == l.Attrs().Index && r.Gw.Equal(h.Config.Gateway.Address.AsSlice()) {
				tap = l
			}
		}
	}
	others := slices.DeleteFunc(links, func(l netlink.Link) bool { return l.Type() == "tuntap" || l.Attrs().Flags&net.FlagLoopback != 0 })
	return tap, len(others) == 0, err
}

// oldSocket: nobody answers at it.
func oldSocket(h *Host) ([]Finding, error) {
	st, err := os.Lstat(h.Socket)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := net.DialTimeout("unix", h.Socket, time.Second)
	if err == nil {
		return nil, c.Close()
	}
	if st.Mode()&fs.ModeSocket == 0 {
		return []Finding{{State: Fail, Means: h.Socket + " is no socket: a router cannot listen there", Mend: "mv " + h.Socket + " " + filepath.Join("/var/tmp", filepath.Base(h.Socket))}}, nil
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return nil, err
	}
	return []Finding{{
		State: Warn, Means: h.Socket + " is left by a killed router; the next start replaces it",
		Mend: "rm " + h.Socket, fix: func() error { return os.Remove(h.Socket) },
	}}, nil
}
