// Package lab builds hosts as network namespaces on one machine, joins them, and
// runs a vrouter process on each: the tutorial's network, or the one of a lab file.
package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/vrouter/vrouter/internal/config"
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
	Fabric    string  `json:"fabric,omitempty"` // namespace of what joins the hosts
	Links     []*Link `json:"links,omitempty"`  // those that are impaired
	temporary bool    // the routers end with this process
}

// Host is one host of the lab.
type Host struct {
	Name      string     `json:"name"`
	Namespace string     `json:"namespace"` // by name, as for `ip netns exec`
	Uplink    string     `json:"uplink"`
	Address   string     `json:"address"`
	Socket    string     `json:"socket"`
	Metrics   string     `json:"metrics,omitempty"`
	Log       string     `json:"log"`
	Router    *process   `json:"router"`
	Workloads []Workload `json:"workloads"`
	config    config.Host
}

// Workload is one workload of a host.
type Workload struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Address   string `json:"address"`
}

// Options of a lab.
type Options struct {
	// Temporary routers end with this process, whatever becomes of it.
	Temporary bool
}

// Up builds the lab. If it fails, or ctx ends, what was built is taken down.
func Up(ctx context.Context, c *config.Lab, o Options) (*Lab, error) {
	if _, err := Load(); err == nil {
		return nil, errors.New("a lab is up already; `vrouter lab down` takes it down")
	}
	l := &Lab{temporary: o.Temporary}
	for i := range c.Hosts {
		l.Hosts = append(l.Hosts, newHost(&c.Hosts[i]))
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

func newHost(c *config.Host) *Host {
	dir := filepath.Join(Directory, c.Node)
	h := &Host{
		Name: c.Node, Namespace: prefix + c.Node, Uplink: c.Uplink.Interface, Address: c.Uplink.Address.String(),
		Socket: filepath.Join(dir, "vrouter.sock"), Log: filepath.Join(dir, "vrouter.log"), Metrics: c.Metrics.Listen, config: *c,
	}
	h.config.Control.Socket = h.Socket
	for i := range h.config.Workloads {
		w := &h.config.Workloads[i]
		name := h.Namespace + "-" + w.Name
		w.Namespace = string(workload.Named(name))
		h.Workloads = append(h.Workloads, Workload{Name: w.Name, Namespace: name, Address: w.Address.String()})
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
		if err := h.makeNamespaces(); err != nil {
			return err
		}
	}
	if err := l.join(c); err != nil {
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
	return l.save()
}

// makeNamespaces makes the host's and its workloads'. The lab's own networks
// speak no IPv6, whose announcements would only be noise in the traces.
func (h *Host) makeNamespaces() error {
	names := []string{h.Namespace}
	for _, w := range h.Workloads {
		names = append(names, w.Namespace)
	}
	for _, name := range names {
		n, err := workload.Create(name)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w; it is of an earlier lab: `ip netns del %s`", err, name)
		}
		if err != nil {
			return err
		}
		if err := n.Do(quiet); err != nil {
			return err
		}
	}
	return nil
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

// Down stops the routers and removes all that Up made.
func (l *Lab) Down() error {
	var errs []error
	for _, h := range l.Hosts {
		errs = append(errs, h.Router.stop())
	}
	for _, link := range l.Links {
		errs = append(errs, link.Carrier.stop())
	}
	for _, h := range l.Hosts {
		for _, w := range h.Workloads {
			errs = append(errs, remove(w.Namespace))
		}
		errs = append(errs, remove(h.Namespace))
	}
	if l.Fabric != "" {
		errs = append(errs, remove(l.Fabric))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.RemoveAll(Directory)
}

func remove(name string) error {
	if n := workload.Named(name); n.Exists() {
		return n.Delete()
	}
	return nil
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
	b, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(Directory, 0o755); err != nil {
		return fmt.Errorf("lab: %w (run as root)", err)
	}
	return os.WriteFile(filepath.Join(Directory, "lab.json"), b, 0o644)
}

// Host finds a host by name.
func (l *Lab) Host(name string) (*Host, error) {
	var names []string
	for _, h := range l.Hosts {
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
	for i := range h.Workloads {
		if h.Workloads[i].Name == name {
			return &h.Workloads[i], nil
		}
		names = append(names, h.Workloads[i].Name)
	}
	return nil, fmt.Errorf("no workload %q on %s; there is %v", name, h.Name, names)
}
