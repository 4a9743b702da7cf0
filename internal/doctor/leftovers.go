package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vrouter/vrouter/internal/guard"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/workload"
)

// damaged is a record that cannot be read: what it told of is nobody's any more.
func damaged(h *Host) ([]Finding, error) {
	_, err := h.record()
	if errors.Is(err, host.ErrDamaged) {
		return []Finding{{State: Warn, Means: err.Error(), Mend: "vrouter run --config FILE   # begins a new one; what it finds it takes over, and removes none of it"}}, nil
	}
	return nil, err
}

// oldGuards are those of routers that run no longer.
func oldGuards(h *Host) (found []Finding, err error) {
	list, err := guard.Interfaces()
	if err != nil {
		return nil, nil // the check of the guard says so, where one is needed
	}
	left, err := h.left()
	if errors.Is(err, host.ErrDamaged) {
		left, err = nil, nil
	}
	for _, name := range list {
		if _, held := host.Holder(name); held {
			continue
		}
		f := Finding{
			State: Warn, Means: "a killed router has left its guard on " + name + ": others on this host do not get what it drops",
			Mend: "nft delete table netdev vrouter-" + name,
		}
		if slices.ContainsFunc(left, func(r *host.Record) bool {
			return slices.ContainsFunc(r.Objects, func(e *host.Entry) bool { return e.Kind == host.KindGuard && e.Name == name })
		}) {
			f.fix = takeBack(name, func(e *host.Entry) bool { return e.Kind == host.KindGuard })
		} else {
			f.Means = "there is a guard on " + name + ", and no record of a router that set it: others on this host do not get what it drops"
		}
		found = append(found, f)
	}
	return found, err
}

// oldWorkloads are those that a router has made which runs no longer, and that the configuration does not name.
func oldWorkloads(h *Host) (found []Finding, err error) {
	left, err := h.left()
	if errors.Is(err, host.ErrDamaged) {
		return nil, nil
	}
	known := map[string]bool{}
	for i := range h.Config.Workloads {
		path, _ := h.Config.NamespaceOf(&h.Config.Workloads[i])
		known[path] = true
	}
	for _, r := range left {
		for _, e := range r.Objects {
			if e.Kind == host.KindInterface && e.Namespace != "" && !known[string(e.Namespace)] && e.There() {
				found = append(found, leftWorkload(r, e))
			}
		}
	}
	return found, err
}

// leftWorkload is removed with its namespace, if the router made that and there is nothing else in it.
func leftWorkload(r *host.Record, e *host.Entry) Finding {
	path := string(e.Namespace)
	name, named := strings.CutPrefix(path, workload.Directory+"/")
	f := Finding{
		State: Warn, Means: fmt.Sprintf("%s in namespace %s was made by a router that runs no longer, and is no workload of the configuration", e.Name, name),
		Mend: fmt.Sprintf("nsenter --net=%s ip link del %s", path, e.Name),
		fix:  takeBack(r.Owner.Uplink, func(o *host.Entry) bool { return o.ID == e.ID }),
	}
	if named {
		f.Mend = fmt.Sprintf("ip -n %s link del %s", name, e.Name)
	}
	made := slices.ContainsFunc(r.Objects, func(o *host.Entry) bool {
		return o.Kind == host.KindNamespace && o.Name == path && !o.Found && o.Netns == e.Netns
	})
	if made && alone(e) {
		f.Mend = "ip netns del " + name
		f.fix = takeBack(r.Owner.Uplink, func(o *host.Entry) bool {
			return o.Namespace == e.Namespace || o.Kind == host.KindNamespace && o.Name == path
		})
	}
	return f
}

// alone says whether a namespace has nothing but lo, the interface, and the tunnels that the kernel gives to each.
func alone(e *host.Entry) (alone bool) {
	_ = e.Namespace.Do(func() error {
		links, err := netlink.LinkList()
		alone = err == nil && !slices.ContainsFunc(links, func(l netlink.Link) bool {
			a := l.Attrs()
			return a.Flags&net.FlagLoopback == 0 && a.Index != e.Index && !slices.Contains(everywhere, a.Name)
		})
		return nil
	})
	return alone
}

// everywhere are the devices that modules of the kernel make in each namespace.
var everywhere = []string{"tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0"}

// oldSocket: nobody answers at it.
func oldSocket(h *Host) ([]Finding, error) {
	st, err := os.Lstat(h.Socket)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if st.Mode()&fs.ModeSocket == 0 {
		return []Finding{{State: Fail, Means: h.Socket + " is no socket: a router cannot listen there", Mend: "mv " + h.Socket + " " + filepath.Join("/var/tmp", filepath.Base(h.Socket))}}, nil
	}
	if host.Listens(h.Socket) {
		return nil, nil
	}
	f := Finding{
		State: Warn, Means: h.Socket + " is left by a killed router; the next start replaces it",
		Mend: "rm " + h.Socket,
	}
	left, _ := h.left()
	if slices.ContainsFunc(left, func(r *host.Record) bool { return r.Owner.Socket == h.Socket }) {
		f.fix = func() error { return os.Remove(h.Socket) }
	}
	return []Finding{f}, nil
}
