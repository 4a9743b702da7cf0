// Package lab builds hosts as network namespaces on one machine, joins them, and
// runs a vrouter process on each: the tutorial's network, or the one of a lab file.
package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/workload"
)

const (
	// Directory holds what a running lab is known by.
	Directory = "/run/vrouter/lab"
	// prefix of all namespaces that a lab makes.
	prefix = "vrouter-"
	fabric = prefix + "fabric"
)

// Lab is a lab that was built, as it is kept in Directory.
type Lab struct {
	Hosts     []*Host `json:"hosts"`
	Twins     []*Host `json:"twins,omitempty"`  // hosts whose kernel is the router (twin.go)
	Fabric    string  `json:"fabric,omitempty"` // namespace of what joins the hosts
	Links     []*Link `json:"links,omitempty"`  // those that are impaired
	Made      []made  `json:"made"`             // namespaces; others are not the lab's to remove
	temporary bool    // the routers end with this process
}

// made is a namespace that the lab made.
type made struct {
	Name   string `json:"name"`
	Cookie uint64 `json:"cookie"` // tells it from a later one of that name
}

// Host is one host of the lab.
type Host struct {
	Name      string     `json:"name"`
	Namespace string     `json:"namespace"` // by name, as for `ip netns exec`
	Uplink    string     `json:"uplink"`
	Address   string     `json:"address"` // the first of them
	Addresses []string   `json:"addresses"`
	Socket    string     `json:"socket"`
	Metrics   string     `json:"metrics,omitempty"`
	Log       string     `json:"log"`
	Router    *process   `json:"router"`
	Commands  string     `json:"commands,omitempty"` // of a twin: file with those that have made it
	Workloads []Workload `json:"workloads"`
	config    config.Host
}

// Workload is one workload of a host.
type Workload struct {
	Name      string   `json:"name"`
	Namespace string   `json:"namespace"`
	Address   string   `json:"address"` // the first of them
	Addresses []string `json:"addresses"`
}

// AddressOf is the address of a family; invalid if it has none.
func (w *Workload) AddressOf(six bool) netip.Addr {
	for _, a := range w.Addresses {
		if p, err := netip.ParsePrefix(a); err == nil && p.Addr().Is6() == six {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

func texts(addresses []netip.Prefix) (all []string) {
	for _, a := range addresses {
		all = append(all, a.String())
	}
	return all
}

// Options of a lab.
type Options struct {
	// Temporary routers end with this process, whatever becomes of it.
	Temporary bool
	// Twin builds a second network beside it, with kernels for routers.
	Twin bool
}

// Up builds the lab. If it fails, or ctx ends, what was built is taken down. Of one that is up it starts what has
// ended.
func Up(ctx context.Context, c *config.Lab, o Options) (*Lab, error) {
	l := &Lab{temporary: o.Temporary}
	for i := range c.Hosts {
		l.Hosts = append(l.Hosts, newHost(&c.Hosts[i]))
	}
	if o.Twin {
		l.planTwins(c)
	}
	if err := l.apart(); err != nil {
		return nil, err
	}
	if up, err := Load(); err == nil {
		return up, up.again(ctx, l)
	}
	impaired := slices.ContainsFunc(c.Links, func(link config.Link) bool { return link.Impair != nil })
	if len(c.Links) > 1 || len(c.Hosts) != 2 || impaired {
		l.Fabric = fabric
	}
	if err := l.build(ctx, c); err != nil {
		return nil, errors.Join(err, l.Down())
	}
	return l, nil
}

// apart refuses names that make one name for two namespaces.
func (l *Lab) apart() error {
	taken := map[string]string{fabric: "what joins the hosts", fabric + twinned: "what joins their twins"}
	claim := func(namespace, what string) error {
		if other, ok := taken[namespace]; ok {
			return fmt.Errorf("lab: the namespace of %s would be %s, which is that of %s: give one of them another name", what, namespace, other)
		}
		taken[namespace] = what
		return nil
	}
	var errs []error
	for _, h := range slices.Concat(l.Hosts, l.Twins) {
		errs = append(errs, claim(h.Namespace, "host "+h.Name))
		for _, w := range h.Workloads {
			errs = append(errs, claim(w.Namespace, fmt.Sprintf("workload %s of host %s", w.Name, h.Name)))
		}
	}
	return errors.Join(errs...)
}

// again starts the routers and carriers of a lab that is up, and is the same as the wanted one, which have ended.
func (l *Lab) again(ctx context.Context, want *Lab) error {
	same := slices.EqualFunc(l.Hosts, want.Hosts, func(a, b *Host) bool { return a.Name == b.Name && slices.Equal(a.Addresses, b.Addresses) })
	ended := slices.ContainsFunc(l.Hosts, func(h *Host) bool { return !h.Router.Running() }) ||
		slices.ContainsFunc(l.Links, func(k *Link) bool { return !k.Carrier.Running() })
	if !same || !ended || len(l.Twins) != len(want.Twins) {
		return errors.New("a lab is up already; `vrouter lab down` takes it down")
	}
	if err := l.carry(ctx); err != nil {
		return err
	}
	var started []*Host
	for _, h := range l.Hosts {
		if h.Router.Running() {
			continue
		}
		if err := h.launch(false); err != nil {
			return err
		}
		started = append(started, h)
	}
	if err := l.save(); err != nil {
		return err
	}
	for _, h := range started {
		if err := h.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

func newHost(c *config.Host) *Host {
	dir := filepath.Join(Directory, c.Node)
	h := &Host{
		Name: c.Node, Namespace: prefix + c.Node, Uplink: c.Uplink.Interface, Address: c.Uplink.Addresses[0].String(), Addresses: texts(c.Uplink.Addresses),
		Socket: filepath.Join(dir, "vrouter.sock"), Log: filepath.Join(dir, "vrouter.log"), Metrics: c.Metrics.Listen, config: *c,
	}
	h.config.Control.Socket = h.Socket
	for i := range h.config.Workloads {
		w := &h.config.Workloads[i]
		name := h.Namespace + "-" + w.Name
		w.Namespace = string(workload.Named(name))
		h.Workloads = append(h.Workloads, Workload{Name: w.Name, Namespace: name, Address: w.Addresses[0].String(), Addresses: texts(w.Addresses)})
	}
	return h
}

// build makes everything, in the order in which a person would. The plan is
// saved first, so that `lab down` finds whatever was begun.
func (l *Lab) build(ctx context.Context, c *config.Lab) error {
	if err := l.save(); err != nil {
		return err
	}
	for _, h := range l.Hosts {
		if err := l.makeNamespaces(h); err != nil {
			return err
		}
	}
	if err := l.join(c, l.Hosts, l.Fabric); err != nil {
		return err
	}
	if err := l.carry(ctx); err != nil {
		return err
	}
	for _, h := range l.Hosts {
		if err := h.start(l.temporary); err != nil {
			return err
		}
	}
	for _, h := range l.Hosts {
		if err := h.ready(ctx); err != nil {
			return err
		}
	}
	if err := l.buildTwins(c); err != nil {
		return err
	}
	return l.save()
}

// makeNamespaces makes the host's and its workloads'. The lab's own networks
// speak IPv6 only where they have addresses of it: its announcements would be noise in the traces.
func (l *Lab) makeNamespaces(h *Host) error {
	names := []string{h.Namespace}
	for _, w := range h.Workloads {
		names = append(names, w.Namespace)
	}
	for _, name := range names {
		n, err := l.makeNamespace(name)
		if err != nil {
			return err
		}
		if err := n.Do(quiet); err != nil {
			return err
		}
	}
	return nil
}

// makeNamespace makes one, and writes down before it has a name that it is the lab's.
func (l *Lab) makeNamespace(name string) (workload.Namespace, error) {
	n := workload.Named(name)
	if n.Exists() {
		return n, fmt.Errorf("namespace %s is there, and none of this lab's: `ip netns del %s` if nobody needs it, or take other names", n, name)
	}
	d, err := workload.New()
	if err != nil {
		return n, err
	}
	l.Made = append(l.Made, made{name, d.Cookie})
	if err := l.save(); err != nil {
		d.Drop()
		return n, err
	}
	return n, d.Name(n)
}

// quiet turns off what would add to the packets of the tutorial. Where /proc/sys
// may not be written, the noise stays.
func quiet() error {
	for _, f := range []string{"ipv6/conf/all/disable_ipv6", "ipv6/conf/default/disable_ipv6"} {
		_ = os.WriteFile("/proc/sys/net/"+f, []byte("1"), 0o644)
	}
	_ = os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0o644)
	return nil
}

// Down stops the routers and removes all that Up made, and what the routers did.
func (l *Lab) Down() error {
	var errs []error
	for _, h := range l.Hosts {
		errs = append(errs, h.Router.stop())
	}
	for _, link := range l.Links {
		errs = append(errs, link.Carrier.stop())
	}
	for _, h := range l.Hosts {
		if cookie := l.cookie(h.Namespace); cookie != 0 {
			errs = append(errs, l.takeBack(h, cookie))
		}
	}
	for _, m := range slices.Backward(l.Made) {
		n := workload.Named(m.Name)
		cookie, err := n.Cookie()
		switch {
		case errors.Is(err, workload.ErrNone):
			n.Sweep()
		case err != nil:
			errs = append(errs, err)
		case cookie == m.Cookie:
			errs = append(errs, n.Delete())
		}
	}
	for _, h := range l.Hosts {
		if cookie := l.cookie(h.Namespace); cookie != 0 {
			errs = append(errs, host.Forget(cookie))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.RemoveAll(Directory)
}

func (l *Lab) cookie(namespace string) uint64 {
	for _, m := range l.Made {
		if m.Name == namespace {
			return m.Cookie
		}
	}
	return 0
}

// takeBack removes what the host's router has made, such as the workloads of commands; but for what goes with the
// lab's own namespaces, which for a thousand workloads one by one takes long.
func (l *Lab) takeBack(h *Host, cookie uint64) error {
	n := workload.Named(h.Namespace)
	if now, err := n.Cookie(); err != nil || now != cookie {
		return host.Forget(cookie)
	}
	return n.Do(func() error {
		_, err := host.TakeBack(h.Uplink, func(e *host.Entry) bool {
			return !slices.ContainsFunc(l.Made, func(m made) bool { return m.Cookie == e.Netns })
		}, slog.New(slog.DiscardHandler))
		return err
	})
}

// Prefix is what the names of namespaces begin with that a router makes, where it is one of a lab's: "" else.
func Prefix() string {
	l, err := Load()
	if err != nil {
		return ""
	}
	for _, h := range l.Hosts {
		// Not of the process: its first thread may have stayed in a workload's.
		if workload.SameFile("/proc/thread-self/ns/net", string(workload.Named(h.Namespace))) {
			return h.Namespace + "-"
		}
	}
	return ""
}

// Load finds the lab that is up.
func Load() (*Lab, error) {
	b, err := os.ReadFile(filepath.Join(Directory, "lab.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no lab is up; `vrouter lab up` builds one")
	}
	if err != nil {
		return nil, err
	}
	l := &Lab{}
	if err := json.Unmarshal(b, l); err != nil {
		return nil, fmt.Errorf("%s: %w", Directory, err)
	}
	return l, nil
}

func (l *Lab) save() error {
	if err := os.MkdirAll(Directory, 0o755); err != nil {
		return fmt.Errorf("lab: %w (run as root)", err)
	}
	return writeJSON(filepath.Join(Directory, "lab.json"), l)
}

// Host finds a host by name.
func (l *Lab) Host(name string) (*Host, error) {
	var names []string
	for _, h := range slices.Concat(l.Hosts, l.Twins) {
		if h.Name == name {
			return h, nil
		}
		names = append(names, h.Name)
	}
	return nil, fmt.Errorf("no host %q in the lab; there is %v", name, names)
}

// Workload finds a workload of the host by name.
func (h *Host) Workload(name string) (*Workload, error) {
	var names []string
	all := h.workloads()
	for i := range all {
		if all[i].Name == name {
			return &all[i], nil
		}
		names = append(names, all[i].Name)
	}
	return nil, fmt.Errorf("no workload %q on %s; there is %v", name, h.Name, names)
}

// workloads are those that the host's router has, or those of the lab's file while none runs.
func (h *Host) workloads() (all []Workload) {
	if h.Socket == "" { // a twin
		return h.Workloads
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	client := control.NewClient(h.Socket)
	defer client.Close()
	var list []control.Workload
	if client.Get(ctx, "/v1/workloads", &list) != nil {
		return h.Workloads
	}
	for _, w := range list {
		all = append(all, Workload{Name: w.Name, Namespace: strings.TrimPrefix(w.Namespace, workload.Directory+"/"), Address: w.Address, Addresses: w.Addresses})
	}
	return all
}

// Again starts what of the lab has ended.
func (l *Lab) Again(ctx context.Context) error { return l.again(ctx, l) }
