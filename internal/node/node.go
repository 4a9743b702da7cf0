// Package node puts one host's router together: configuration in; ports, routes
// and neighbours for the forwarder out; and it follows what the host changes.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/guard"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/workload"
	"github.com/vrouter/vrouter/rib"
)

// watchEvery is how often namespaces are looked for that were removed: the kernel
// tells nobody about it, and our own end of the TAP keeps a namespace alive.
const watchEvery = time.Second

// Node is the running router of one host.
type Node struct {
	Router *engine.Router
	RIB    *rib.Table
	log    *slog.Logger

	mu        sync.Mutex   // over all that follows, and what is built from it
	config    *config.Host // without routes, which are in statics
	statics   *statics
	file      []config.Workload // what the file says, without what commands changed
	live      workloadChanges
	uplink    *uplink
	workloads map[string]*attached
	found     map[string]bool // workloads, by name: their namespace was there before they were first attached
	vacant    map[string]bool // workloads whose namespace was removed, until there is one again
	host      *hostPort       // nil without kernel.export
	guarded   bool
	stopped   bool
	stale     bool        // the uplink changed, and not all followed
	again     bool        // look at the host again at the next tick
	connected []rib.Route // as they were entered
	mirror    mirror      // of the host's routes
	reach     reach       // of next hops in no subnet of the uplink
	changed   int         // routes, since memory was last given back
	giveBack  *time.Timer // nil: not needed so far
	told      map[string]map[string]bool
	lock      io.Closer   // held on the uplink
	gone      chan string // ports whose device vanished
	follower  *follower   // from Follow on
}

// attached is a workload and its port.
type attached struct {
	*workload.Workload
	config config.Workload
	port   int
	named  bool // the namespace is the workload's by its name, not one that something else made
}

// Start builds the router and begins to forward. If it fails, what it built is
// taken back. The configuration is the node's from then on.
func Start(c *config.Host, log *slog.Logger) (n *Node, err error) {
	n = &Node{
		config: c, file: c.Workloads, live: workloadChanges{}, RIB: rib.NewTable(), log: log, workloads: map[string]*attached{}, found: map[string]bool{},
		vacant: map[string]bool{}, mirror: newMirror(), told: map[string]map[string]bool{}, gone: make(chan string, 16),
	}
	pollers, err := newPollers(workers(c))
	if err != nil {
		return n, err
	}
	n.Router = engine.New(n.RIB, log, n.portGone, pollers...)
	defer func() {
		if err != nil {
			n.abandon()
		}
	}()
	if err := n.checkImport(); err != nil {
		return n, err
	}
	if n.statics, err = newStatics(0).reloaded(&c.Routes); err != nil {
		return n, err
	}
	c.Routes = config.Routes{} // there may be many
	if err := n.lockUplink(); err != nil {
		return n, err
	}
	if err := n.openUplink(); err != nil {
		return n, err
	}
	if err := n.checkNextHops(n.statics); err != nil {
		return n, err
	}
	if err := n.openHostPort(); err != nil {
		return n, err
	}
	for i := range c.Workloads {
		if err := n.attach(&c.Workloads[i]); err != nil {
			return n, err
		}
	}
	if err := n.setStaticRoutes(); err != nil {
		return n, err
	}
	return n, n.importAll()
}

// processors is how many this program may use: those of the machine, or fewer by a
// cgroup's limit, or what GOMAXPROCS says in the environment. Asked for now, as
// newPollers sets another number.
var processors = runtime.GOMAXPROCS(0)

// workers is how many threads forward: as configured, or else one for every two
// processors, as what the workloads do with their packets needs the others.
func workers(c *config.Host) int {
	if c.Workers > 0 {
		return c.Workers
	}
	return min(max(1, processors/2), config.MaxWorkers)
}

// newPollers makes a poller for each worker. A worker that has something to do does
// not let go of its processor, so Go gets as many more for all the rest.
func newPollers(count int) (all []link.Poller, err error) {
	for range count {
		p, err := link.NewPoller()
		if err != nil {
			for _, open := range all {
				open.Close()
			}
			return nil, err
		}
		all = append(all, p)
	}
	runtime.GOMAXPROCS(processors + count)
	return all, nil
}

// abandon ends a start that failed: what this run made goes, what it found stays.
func (n *Node) abandon() {
	if err := n.withdrawAll(); err != nil {
		n.log.Warn("taking back the host's routes", "error", err)
	}
	n.Router.Close()
	if err := n.undoHostPort(); err != nil {
		n.log.Warn("taking back the host's interface", "error", err)
	}
	if err := n.removeGuard(); err != nil {
		n.log.Warn("taking back the guard", "error", err)
	}
	for _, w := range n.workloads {
		if err := w.Undo(); err != nil {
			n.log.Warn("taking back a workload", "workload", w.Name, "error", err)
		}
	}
	n.unlock()
}

func (n *Node) unlock() {
	if n.lock != nil {
		n.lock.Close()
	}
}

// Follow begins to follow the host, until ctx ends: what is asked of the router from then
// on, it is asked about the host as it is.
func (n *Node) Follow(ctx context.Context) { n.follower = n.follow(ctx) }

// Run takes over what changes on the host, after Follow, until ctx ends; then the router
// stops, and workloads keep their interfaces, addresses, routes and connections for the
// next start.
func (n *Node) Run(ctx context.Context) error {
	f := n.follower
	n.catchUp(everything()) // what changed before the subscription
	watch := time.NewTicker(watchEvery)
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			return n.Close()
		case <-f.arrived:
			n.catchUp(f.take())
		case <-watch.C:
			n.watchNamespaces()
			n.tryAgain()
		case port := <-n.gone:
			n.detachGone(port)
		}
	}
}

// Close stops forwarding, and takes the guard back.
func (n *Node) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = true
	defer n.unlock()
	err := n.withdrawAll() // first, so that the other hosts hear of it
	n.Router.Close()
	return errors.Join(err, n.removeGuard())
}

func (n *Node) portGone(port string) {
	select {
	case n.gone <- port:
	default: // the watch over the namespaces will find it as well
	}
}

// attach sets a workload up and gives it a port and a route.
func (n *Node) attach(c *config.Workload) error {
	mtu := c.MTU
	if mtu == 0 {
		mtu = n.workloadMTU()
	}
	w, err := workload.Attach(workload.Spec{
		Name: c.Name, Namespace: workload.Namespace(c.Namespace), Interface: c.Interface,
		Address: c.Address, Gateway: n.config.Gateway.Address, MTU: mtu, Offload: n.config.Offload,
	})
	if err != nil {
		return err
	}
	port, err := n.Router.AddPort(n.workloadPort(c, mtu), w.TAP)
	if err != nil {
		return errors.Join(err, w.Undo())
	}
	a := &attached{Workload: w, config: *c, port: port, named: c.Namespace == ""}
	n.workloads[c.Name] = a
	if _, again := n.found[c.Name]; !again {
		n.found[c.Name] = w.FoundNamespace()
	}
	n.Router.SetNeighbor(a.port, c.Address.Addr(), w.MAC)
	if err := n.Router.StartPort(a.port); err != nil {
		return err
	}
	n.log.Info("workload attached", "workload", c.Name, "namespace", w.Namespace, "interface", c.Interface, "address", c.Address, "mtu", mtu)
	return errors.Join(
		n.RIB.Replace(rib.Route{Prefix: a.hostRoute(), Dev: c.Name, Port: port, Protocol: "workload", Source: rib.Workload}),
		n.exportAll())
}

// hostRoute leads to the workload: `10.70.1.1 dev ns1 scope link`.
func (a *attached) hostRoute() netip.Prefix { return netip.PrefixFrom(a.Address.Addr(), 32) }

// watchNamespaces detaches workloads whose namespace was removed, and attaches
// those again for which there is one.
func (n *Node) watchNamespaces() {
	n.mu.Lock()
	var gone []string
	for name, w := range n.workloads {
		if w.Gone() {
			gone = append(gone, name)
		}
	}
	n.mu.Unlock()
	for _, name := range gone {
		n.detachGone(name)
	}
	n.attachVacant()
}

// attachVacant attaches the workloads again whose namespace came back. Who removed
// one for good would not have it made by the router.
func (n *Node) attachVacant() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped || len(n.vacant) == 0 {
		return
	}
	var failed []complaint
	for name := range n.vacant {
		i := slices.IndexFunc(n.config.Workloads, func(w config.Workload) bool { return w.Name == name })
		if i < 0 || n.workloads[name] != nil {
			delete(n.vacant, name) // a reload or a command has seen to it
			continue
		}
		c := &n.config.Workloads[i]
		if !namespaceOf(c).Exists() {
			continue
		}
		if err := errors.Join(n.attach(c), n.followWorkload(c.Address.Addr())); err != nil {
			failed = append(failed, complaint{"the workload's namespace is there again, but it cannot be attached; trying again", []any{"workload", name, "error", err}})
			continue
		}
		delete(n.vacant, name)
	}
	n.complain("namespaces", failed...)
}

func namespaceOf(c *config.Workload) workload.Namespace {
	if c.Namespace == "" {
		return workload.Named(c.Name)
	}
	return workload.Namespace(c.Namespace)
}

// tryAgain does what could not be done, or could not be known, when the host
// changed.
func (n *Node) tryAgain() {
	n.mu.Lock()
	again := n.again
	n.mu.Unlock()
	if again {
		n.catchUp(everything())
	}
}

func (n *Node) detachGone(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name == config.HostInterface && n.host != nil {
		n.reopenHostPort()
		return
	}
	w := n.workloads[name]
	if w == nil {
		return
	}
	delete(n.found, name)
	if err := errors.Join(n.removePort(name), n.followWorkload(w.Address.Addr())); err != nil {
		n.log.Error("routes of the workloads", "error", err)
	}
	if w.Gone() {
		n.vacant[name] = true
		n.log.Error("workload detached: its namespace was removed; it is attached again as soon as there is one",
			"workload", name, "namespace", w.Namespace)
		return
	}
	n.log.Error("workload detached: its interface was removed; `vrouter reload` attaches it again",
		"workload", name, "namespace", w.Namespace, "interface", w.Interface)
}

// removePort takes an attached workload out of the router; its set-up stays.
func (n *Node) removePort(name string) error {
	w := n.workloads[name]
	n.Router.RemovePort(w.port)
	delete(n.workloads, name)
	return errors.Join(n.RIB.Delete(w.hostRoute(), rib.Workload, 0), n.exportAll())
}

// workloadMTU is what fits through the uplink, with the outer header where
// packets may get one.
func (n *Node) workloadMTU() int {
	mtu := n.uplink.mtu
	if n.tunnels() {
		mtu -= packet.IPv4MinLen
	}
	return mtu
}

// followMTU gives workloads without an MTU of their own the one that fits now.
func (n *Node) followMTU() {
	n.followHostMTU()
	for i := range n.config.Workloads {
		c := &n.config.Workloads[i]
		w := n.workloads[c.Name]
		if w == nil || c.MTU != 0 || w.MTU == n.workloadMTU() {
			continue
		}
		if err := w.SetMTU(n.workloadMTU()); err != nil {
			n.log.Error("the workload's MTU", "workload", c.Name, "error", err)
			continue
		}
		n.Router.UpdatePort(w.port, n.workloadPort(c, w.MTU))
	}
}

func (n *Node) workloadPort(c *config.Workload, mtu int) forwarder.PortConfig {
	return forwarder.PortConfig{
		Name: c.Name, Kind: forwarder.Workload, Interface: c.Interface,
		MAC: packet.MAC(n.config.Gateway.MAC), MTU: mtu, Addresses: []netip.Addr{c.Address.Addr()},
	}
}

// tunnels says whether any packet may be encapsulated.
func (n *Node) tunnels() bool {
	if n.config.IPIP.Mode != config.IPIPNever {
		return true
	}
	for h := range n.statics.hops {
		if encapWords[h.encap] == config.EncapIPIP {
			return true
		}
	}
	return false
}

// Remove takes back what a router with this configuration leaves on the host.
func Remove(c *config.Host) error {
	var errs []error
	if err := guard.Remove(c.Uplink.Interface); err != nil && c.Kernel.Guard {
		errs = append(errs, err) // without a guard, only what an earlier configuration left is taken back
	}
	if err := removeHostPort(); err != nil && c.Kernel.Export {
		errs = append(errs, err)
	}
	for _, w := range c.Workloads {
		err := workload.Remove(workload.Spec{Name: w.Name, Namespace: workload.Namespace(w.Namespace), Interface: w.Interface})
		if err != nil {
			errs = append(errs, fmt.Errorf("workload %s: %w", w.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Config is the configuration in force, without its routes. It does not change; a
// reload makes another one.
func (n *Node) Config() *config.Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.config
}

// Workloads lists what is attached, by name, as it is now.
func (n *Node) Workloads() []workload.Workload {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []workload.Workload
	for _, name := range slices.Sorted(maps.Keys(n.workloads)) {
		list = append(list, *n.workloads[name].Workload)
	}
	return list
}
