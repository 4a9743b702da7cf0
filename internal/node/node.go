// Package node puts one host's router together: configuration in; ports, routes
// and neighbours for the forwarder out; and it follows what the host changes.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/rib"
)

// watchEvery is how often namespaces are looked for that were removed, and what could not be done is tried again.
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
	what      *host.Host           // is on the host
	workloads map[string]*attached // those with a port
	mtu       int                  // of workloads without one of their own
	six       bool                 // what is on the host is for a router that speaks IPv6
	guarded   uint16               // and VXLAN by this port; 0: none
	moved     bool                 // a workload has come or gone, and not all followed
	host      *hostPort            // nil while it does not stand
	stopped   bool
	stale     bool         // the uplink changed, and not all followed
	again     bool         // look at the host again at the next tick
	connected []rib.Route  // as they were entered
	own       []netip.Addr // as the uplink's sockets were told
	ownBut    uint16       // the same: the port of VXLAN
	mirror    mirror       // of the host's routes
	reach     reach        // of next hops in no subnet of the uplink
	changed   int          // routes, since memory was last given back
	giveBack  *time.Timer  // nil: not needed so far
	told      map[string]map[string]bool
	gone      chan string // ports whose device vanished
	follower  *follower   // from Follow on
}

// New makes a router whose threads wait. They have their priority, which takes a right (CAP_SYS_NICE)
// that is of no use any more. The configuration is the node's from then on.
func New(c *config.Host, log *slog.Logger) (*Node, error) {
	n := &Node{
		config: c, file: c.Workloads, live: workloadChanges{}, RIB: rib.NewTable(), log: log, workloads: map[string]*attached{},
		mirror: newMirror(), told: map[string]map[string]bool{}, gone: make(chan string, 16),
	}
	pollers, err := newPollers(workers(c))
	if err != nil {
		return nil, err
	}
	n.Router = engine.New(n.RIB, log, n.portGone, pollers...)
	return n, nil
}

// Start begins to forward. If it fails, what it built is taken back. A workload that cannot be attached
// is no failure: it is said, and tried again.
func (n *Node) Start() (err error) {
	c := n.config
	defer func() {
		if err != nil {
			n.abandon()
		}
	}()
	if err := errors.Join(n.checkImport(), checkTUN(c)); err != nil {
		return err
	}
	if n.statics, err = newStatics(0).reloaded(&c.Routes); err != nil {
		return err
	}
	c.Routes = config.Routes{} // there may be many
	if n.what, err = host.Open(c.Uplink.Interface, c.Control.Socket, n.log); err != nil {
		return inUse(err)
	}
	n.what.Stands, n.what.Lost = n.stands, n.lost
	n.restoreContainers()
	if err := n.openUplink(); err != nil {
		return err
	}
	if err := errors.Join(n.checkAddresses(c), n.checkNextHops(n.statics)); err != nil {
		return err
	}
	if err := host.ButLeft(n.bringAbout()); err != nil {
		return err
	}
	if err := n.Router.StartPort(n.uplink.port); err != nil {
		return err
	}
	if err := n.setStaticRoutes(); err != nil {
		return err
	}
	n.sayWhatWaits()
	return n.importAll()
}

// checkTUN refuses workloads where the host cannot have any.
func checkTUN(c *config.Host) error {
	if len(c.Workloads) == 0 {
		return nil
	}
	if err := link.CheckTUN(c.Workloads[0].Interface); err != nil {
		return fmt.Errorf("workload %s: %w", c.Workloads[0].Name, err)
	}
	return nil
}

// inUse says what two routers on one uplink would do.
func inUse(err error) error {
	if busy := (*host.Busy)(nil); errors.As(err, &busy) && busy.PID != 0 {
		return fmt.Errorf("%w: each packet would be sent twice; stop that one first, or let it be", err)
	}
	return err
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
	if n.what != nil {
		if err := errors.Join(n.what.Undo(), n.what.Close()); err != nil {
			n.log.Warn("taking back what was made", "error", err)
		}
	}
	n.Router.Close()
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
		case <-n.what.News():
		case <-n.missed():
			n.lookAtProgram()
		case <-watch.C:
			n.lookForNamespaces()
			n.lookAtProgram()
			n.tryAgain()
		case port := <-n.gone:
			n.look(port)
		}
		n.settle()
	}
}

// Close stops forwarding, and takes back what is of no use without.
func (n *Node) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = true
	err := n.what.Withdraw(host.KindExports) // first, so that the other hosts hear of it
	n.Router.Close()
	return errors.Join(err, n.what.Withdraw(host.KindProgram), n.what.Withdraw(host.KindGuard), n.what.Close())
}

// portGone hears from the forwarder that a port's device vanished.
func (n *Node) portGone(port string) {
	select {
	case n.gone <- port:
	default: // it is found as well by whoever watches the namespace
	}
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

// workloadMTU is what fits through the uplink, with the outer header where
// packets may get one.
func (n *Node) workloadMTU() int {
	return n.uplink.mtu - n.outerMost()
}

// outerMost is that of the longest that any packet may get.
func (n *Node) outerMost() (most int) {
	if encap, mode := n.config.Mode(); mode != config.ModeNever {
		e, _ := rib.EncapNamed(encap)
		most = forwarder.OuterLen(e, netip.IPv4Unspecified())
	}
	for h := range n.statics.hops {
		if via := h.addr(); via.IsValid() {
			if e := n.encap(&config.Route{Via: via, Encap: encapWords[h.encap]}); e != rib.None {
				most = max(most, forwarder.OuterLen(e, via))
			}
		}
	}
	for end, e := range n.mirror.ends {
		most = max(most, forwarder.OuterLen(e, end))
	}
	return most
}

// Config is the configuration in force, without its routes. It does not change; a
// reload makes another one.
func (n *Node) Config() *config.Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.config
}
