// Package doctor looks for what on a host would break the forwarding, or double
// it, and mends what it can.
package doctor

import (
	"context"
	"errors"
	"fmt"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/control"
)

// State is how grave a finding is.
type State string

// States of a finding.
const (
	OK   State = "ok"
	Warn State = "warn" // something is lost or misled in some cases, or lies about unused
	Fail State = "fail" // the router cannot work, or packets are lost or doubled
)

// Finding is what one check says.
type Finding struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	Means string `json:"means"`          // in one line
	Mend  string `json:"mend,omitempty"` // the command that mends it, or what to do where none does
	Done  string `json:"done,omitempty"` // what --fix did about it

	fix func() error // does what Mend says; nil: a person has to decide
}

// Host is what the checks look at, besides the host itself. They look at the
// network namespace of the calling thread.
type Host struct {
	Config *config.Host     // nil: none was found
	Socket string           // control socket of the router
	Router *control.Version // the router that answers there; nil: nobody does
}

// check is one thing to look at.
type check struct {
	name   string
	fine   string // what it means that there is no problem
	config bool   // it needs a configuration
	look   func(*Host) ([]Finding, error)
}

// checks are in the order in which they are made: what others depend on comes first.
var checks = []check{
	{"capabilities", "this process has all the rights that a router needs", false, capabilities},
	{"tun", "/dev/net/tun can be opened", false, tun},
	{"uplink", "it is up and has an address", true, uplink},
	{"router", "the uplink is this router's, or nobody's", true, otherRouters},
	{"record", "what was done to this host is known", true, damaged},
	{"ip_forward", "the host's own stack forwards nothing that the router forwards", true, ipForward},
	{"guard", "the host's own stack is kept out, or nothing needs that", true, guardInPlace},
	{"ipip", "no tunnel of the host's own takes the router's IP-in-IP", true, kernelTunnels},
	{"vxlan", "no device of the host's own takes the router's VXLAN", true, kernelVXLAN},
	{"ipv6", "the host's own stack has IPv6 on the uplink, or nothing needs that", true, ipv6},
	{"rp_filter", "the host accepts packets of the other hosts' workloads", true, rpFilter},
	{"bridge_filter", "no netfilter of a bridge changes packets before the router", true, bridgeFilter},
	{"workloads", "the router's workloads are attached, and set up as they are to be", true, workloads},
	{"mtu", "the workloads' packets fit through the uplink", true, mtu},
	{"offload", "the uplink hands over packets as they came", true, largeReceiveOffload},
	{"addresses", "no interface of the host has a workload's or the gateway's address", true, addresses},
	{"routes", "no other program leads the workloads' addresses elsewhere", true, routes},
	{"rules", "no policy rule takes the workloads' packets elsewhere", true, rules},
	{"import", "the host's routes to import are there, and leave by the uplink", true, imports},
	{"next_hops", "the next hops of the routes are on the uplink's link, or the host has a way to them", true, nextHops},
	{"ipip_source", "the other hosts know this one by the address that its tunnels come from", true, tunnelSource},
	{"old_guard", "no guard of a killed router is left", false, oldGuards},
	{"old_workloads", "no workload is left that nobody serves", true, oldWorkloads},
	{"old_socket", "no socket of a killed router is left", false, oldSocket},
}

// errNoUplink leaves a check out: the one of the uplink has said that there is none.
var errNoUplink = errors.New("there is no uplink")

// Examine makes all checks and, if it is to, mends what can be mended.
func Examine(ctx context.Context, h *Host, fix bool) []Finding {
	var all []Finding
	for i := range checks {
		c := &checks[i]
		if ctx.Err() != nil {
			return all
		}
		if c.config && h.Config == nil {
			continue
		}
		found := c.run(h)
		if fix {
			found = c.mend(h, found)
		}
		all = append(all, found...)
	}
	return all
}

// run is what the check says now: its problems, or that all is fine.
func (c *check) run(h *Host) []Finding {
	found, err := c.look(h)
	switch {
	case errors.Is(err, errNoUplink):
		return nil
	case err != nil:
		found = append(found, Finding{State: Fail, Means: fmt.Sprintf("cannot tell: %v", err)})
	case len(found) == 0:
		found = []Finding{{State: OK, Means: c.fine}}
	}
	for i := range found {
		found[i].Name = c.name
	}
	return found
}

// mend does what mends each problem, and looks again. A mended problem is a finding that is
// fine; what could not be done, or did not help, is as it was.
func (c *check) mend(h *Host, found []Finding) []Finding {
	var mended []Finding
	for i, f := range found {
		if f.fix == nil {
			continue
		}
		if err := f.fix(); err != nil {
			found[i].Means += fmt.Sprintf("; mending it failed: %v", err)
			continue
		}
		mended = append(mended, Finding{Name: c.name, State: OK, Means: c.fine, Done: f.Mend})
	}
	if len(mended) == 0 {
		return found
	}
	for _, f := range c.run(h) {
		if f.State != OK {
			mended = append(mended, f)
		}
	}
	return mended
}

// Failures counts the findings that fail.
func Failures(all []Finding) (n int) {
	for _, f := range all {
		if f.State == Fail {
			n++
		}
	}
	return n
}
