package node

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/guard"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/workload"
)

// wanted is what is to be on the host: it follows from the configuration, and from what the kernel says of the
// uplink. Those of commands are told from those of the file.
func wanted(c *config.Host, u *uplink, own []netip.Addr, six bool, vxlan uint16, mtu int, tunnels bool, byCommand workloadChanges) (all []host.Object) {
	if c.Kernel.Guard {
		all = append(all, &host.Guard{Uplink: c.Uplink.Interface, Device: u.name, Index: u.index, Own: own, IPv6: six, VXLAN: vxlan})
	}
	if tunnels && c.Offload && u.index != 0 {
		all = append(all, &host.Program{Uplink: c.Uplink.Interface, Index: u.index, Cookies: u.cookies})
	}
	if c.Kernel.Export {
		own := config.Workload{}
		for _, w := range c.Workloads { // of the families that they have
			own.Addresses = append(own.Addresses, w.Addresses...)
		}
		all = append(all, &host.Interface{Name: config.HostInterface, IPv6: own.SpeaksIPv6(), MTU: own.MTUWhere(mtu), Offload: c.Offload})
	}
	namespaces := map[string]*host.Namespace{}
	for i := range c.Workloads {
		w := &c.Workloads[i]
		path, named := c.NamespaceOf(w)
		command := byCommand[w.Name] != nil
		ns := namespaces[path]
		if ns == nil {
			ns = &host.Namespace{Path: workload.Namespace(path), Workload: w.Name, Command: command}
			namespaces[path] = ns
			all = append(all, ns)
		}
		ns.Make, ns.Command = ns.Make || named, ns.Command && command
		all = append(all, interfaceOf(c, w, mtu, command))
	}
	return all
}

func interfaceOf(c *config.Host, w *config.Workload, mtu int, command bool) *host.Interface {
	path, _ := c.NamespaceOf(w)
	var container *host.Container
	if w.Container.ID != "" {
		container = &host.Container{Network: w.Container.Network, ID: w.Container.ID, MTU: w.MTU}
	}
	return &host.Interface{
		Container: container, Netns: w.Container.Netns,
		Namespace: workload.Namespace(path), Name: w.Interface, Addresses: w.Addresses, Gateway: c.Gateway.Address, Gateway6: c.Gateway.Address6,
		MTU: w.MTUWhere(mtu), Offload: c.Offload, Workload: w.Name, Command: command,
	}
}

// present is wanted for the configuration in force. While the uplink is gone, what needs it stays as it is.
func (n *Node) present() []host.Object {
	all := wanted(n.config, n.uplink, n.ownToo(n.uplink), n.speaksIPv6(), n.vxlanPort(), n.workloadMTU(), n.outerMost() > 0, n.live)
	for i, o := range all {
		if _, ok := o.(*host.Guard); !ok || n.uplink.index != 0 {
			continue
		}
		all[i] = all[len(all)-1]
		all = all[:len(all)-1]
		if it := n.what.Item(o.ID()); it != nil && it.Object != nil {
			all = append(all, it.Object)
		}
		break
	}
	return all
}

// bringAbout has what is wanted be there, and all that follows from what is there then. What cannot be done is said,
// and tried again; only without a guard where one is needed it is an error.
func (n *Node) bringAbout() error {
	if n.what == nil {
		return nil // a test's, without a host
	}
	return errors.Join(n.apply(), n.checkGuard())
}

// apply is bringAbout for a change that no guard is needed for: an error is about what could not be taken away, or not
// be written down.
func (n *Node) apply() error {
	var later []host.ID
	if n.config.Kernel.Export {
		later = append(later, (&host.Exports{Device: config.HostInterface}).ID())
	}
	n.mtu, n.six, n.guarded = n.workloadMTU(), n.speaksIPv6(), n.vxlanPort()
	err := n.what.Apply(n.present(), later...)
	n.carry()
	return errors.Join(err, n.followWhatStands())
}

// followFit gives workloads without an MTU of their own the one that fits now, and the guard the rules of what
// the router speaks.
func (n *Node) followFit() error {
	if n.workloadMTU() == n.mtu && n.speaksIPv6() == n.six && n.vxlanPort() == n.guarded {
		return nil
	}
	return n.bringAbout()
}

// settle makes right, one by one, what somebody has changed, or what could not be done.
func (n *Node) settle() {
	for n.settleOne() {
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.stopped {
		n.sayWhatWaits()
	}
}

func (n *Node) settleOne() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped || !n.what.Settle(time.Now()) {
		return false
	}
	n.carry()
	if err := n.followWhatStands(); err != nil {
		n.failed(err)
	}
	return true
}

func (n *Node) lookForNamespaces() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.stopped {
		if err := n.forgetContainers(); err != nil {
			n.failed(err)
		}
	}
}

// look has a port's interface be looked at, as something is new about it.
func (n *Node) look(port string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w := n.workloads[port]; w != nil {
		n.what.Touch(w.object.ID())
	} else if port == config.HostInterface {
		n.what.Touch(hostInterface)
	}
}

// sayWhatWaits tells of each thing that is not as it is to be.
func (n *Node) sayWhatWaits() {
	var all []complaint
	for _, it := range n.what.Waiting() {
		switch o := it.Object.(type) {
		case *host.Interface:
			if o.Workload == "" {
				all = append(all, complaint{"kernel.export: the host's own interface cannot be made; trying again", []any{"interface", o.Name, "error", it.Err}})
				continue
			}
			all = append(all, complaint{"the workload is not attached; trying again", []any{"workload", o.Workload, "reason", it.Why()}})
		case *host.Program:
			all = append(all, complaint{"superframes in tunnels are cut before they leave, which takes much more time; trying again", []any{"uplink", o.Uplink, "reason", it.Err}})
		case *host.Exports:
			all = append(all, complaint{"kernel.export: the host's routes are not all as they are to be; trying again", []any{"error", it.Err}})
		}
	}
	for name, w := range n.workloads {
		if note := n.what.Item(w.object.ID()).Note; note != "" {
			all = append(all, complaint{"the workload has changed its interface; it is let be", []any{"workload", name, "what", note}})
		}
	}
	n.complain("what waits", all...)
}

// checkGuard is an error where the host would forward on its own, and there is no guard against that.
func (n *Node) checkGuard() error {
	needed, six := guard.Needed(n.uplink.name), n.speaksIPv6() && guard.Needed6(n.uplink.name)
	setting := fmt.Sprintf("net.ipv4.conf.%s.forwarding", n.uplink.name)
	if !needed && six {
		needed, setting = true, "net.ipv6.conf.all.forwarding"
	}
	if !n.config.Kernel.Guard {
		if n.config.Kernel.Export && needed {
			n.complain("guard", complaint{"kernel.export gives the host routes to the workloads, and it forwards what comes in by the uplink: without the guard it forwards a second copy of what comes in for them", nil})
		}
		return nil
	}
	it := n.what.Item((&host.Guard{Uplink: n.config.Uplink.Interface}).ID())
	if it == nil || it.Err == nil {
		n.complain("guard")
		return nil
	}
	if needed {
		return fmt.Errorf("%w; the host forwards what comes in by %s (%s), so each packet would be sent twice: turn that off, or set `kernel.guard: false` to accept it", it.Err, n.uplink.name, setting)
	}
	n.complain("guard", complaint{"no guard over the host's own stack; it does not forward at present, so none is needed", []any{"error", it.Err}})
	return nil
}

// checkAddresses refuses a workload, or a gateway, with an address of the uplink's: the host would answer for it.
func (n *Node) checkAddresses(c *config.Host) error {
	own := map[netip.Addr]bool{}
	for _, want := range c.Uplink.Addresses {
		soon := want.Addr().Is6() && n.uplink.tentative
		if !soon && !slices.Contains(n.uplink.addresses, want) {
			return n.otherAddress(want)
		}
	}
	for _, a := range n.uplink.addresses {
		own[a.Addr()] = true
	}
	if a := c.Gateway.Address; own[a] {
		return &config.FieldError{Field: "gateway.address", Reason: fmt.Sprintf("%s is the address of %s, this host's uplink: give the gateway another one, such as %s", a, n.uplink.name, config.DefaultGatewayAddress)}
	}
	for _, w := range c.Workloads {
		if err := n.checkAddress(w); err != nil {
			return fmt.Errorf("workload %s: %w", w.Name, err)
		}
	}
	return nil
}

// otherAddress is about an uplink that has not the address by which the file tells the other hosts to reach it.
func (n *Node) otherAddress(want netip.Prefix) error {
	has := "none"
	if len(n.uplink.addresses) > 0 {
		has = words(n.uplink.addresses)
	}
	return &config.FieldError{Field: "uplink.address", Reason: fmt.Sprintf("the file gives this host %s, and %s has %s: give it that, correct the file, or name another host as --node", want, n.uplink.name, has)}
}

func (n *Node) checkAddress(w config.Workload) error {
	for _, a := range n.uplink.addresses {
		if w.Has(a.Addr()) {
			return &config.FieldError{Field: "address", Reason: fmt.Sprintf("%s is the address of %s, this host's uplink: give the workload another one", a.Addr(), n.uplink.name)}
		}
	}
	return nil
}
