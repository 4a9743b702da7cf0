package cni

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
)

// add gives a container its interface. What is begun is written down first, so that GC finds it whenever this
// process ends; what fails is taken back.
func add(e *errand) (err error) {
	if err := e.checkNames(); err != nil {
		return err
	}
	if e.RawPrevResult != nil {
		return failure(types.ErrInvalidNetworkConfig, "put vrouter first in the list of plugins", "there is a prevResult, and it is vrouter that makes the container's interface")
	}
	if err := e.checkNamespace(); err != nil {
		return err
	}
	if err := e.router.answers(); err != nil {
		return failure(types.ErrTryAgainLater, "start the router (systemctl start vrouter), or give its control socket as `socket`", "%v", err)
	}
	journal := e.journal()
	if err := journal.begin(e); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.takeBack())
			err = asFailure(err, codeRefused, "mend that and try again")
		}
	}()
	addresses, dns, err := e.addresses()
	if err != nil {
		return err
	}
	path, err := e.keepNamespace()
	if err != nil {
		return err
	}
	w, err := e.router.add(control.NewWorkload{
		Name: e.name(), Addresses: addresses, Interface: e.IfName, Namespace: path,
		Container: &control.Container{Network: e.Name, ID: e.ContainerID},
	})
	if err != nil {
		return refusal(err)
	}
	result, err := e.result(w)
	if err != nil {
		return err
	}
	result.DNS = dns
	return types.PrintResult(result, e.CNIVersion)
}

// checkNamespace refuses what is no namespace of a container's, or has the interface already.
func (e *errand) checkNamespace() error {
	const mend = "give the path of the container's network namespace as CNI_NETNS"
	ns := workload.Namespace(e.Netns)
	cookie, err := ns.Cookie()
	switch {
	case errors.Is(err, workload.ErrNone) && missing(e.Netns):
		return failure(types.ErrUnknownContainer, "the container has gone: nothing is left to do", "%s is not there", e.Netns)
	case errors.Is(err, workload.ErrNone):
		return failure(types.ErrInvalidEnvironmentVariables, mend, "CNI_NETNS %s is no network namespace", e.Netns)
	case err != nil:
		return failure(types.ErrIOFailure, mend, "CNI_NETNS: %v", err)
	}
	if own, err := workload.Cookie(); err != nil || own == cookie {
		return failure(types.ErrInvalidEnvironmentVariables, mend, "CNI_NETNS %s is the host's own namespace", e.Netns)
	}
	return ns.Do(func() error {
		if _, err := netlink.LinkByName(e.IfName); err == nil {
			return failure(types.ErrInvalidEnvironmentVariables, "call DEL first, or give another CNI_IFNAME", "%s exists in %s", e.IfName, e.Netns)
		}
		return nil
	})
}

// addresses are those that the IPAM plugin has chosen. The container has each for itself, without a subnet, as all
// others are behind the gateway.
func (e *errand) addresses() (all []string, dns types.DNS, err error) {
	chosen, err := e.ipam("ADD")
	if err != nil {
		return nil, dns, asFailure(err, types.ErrInvalidNetworkConfig, "look at the `ipam` of the configuration")
	}
	r, err := resultOf(chosen)
	if err != nil {
		return nil, dns, failure(types.ErrDecodingFailure, "look at the version of the IPAM plugin", "what ipam %s has answered: %v", e.IPAM.Type, err)
	}
	for _, ip := range r.IPs {
		a, ok := netip.AddrFromSlice(ip.Address.IP)
		if a = a.Unmap(); ok {
			all = append(all, netip.PrefixFrom(a, a.BitLen()).String())
		}
	}
	if len(all) == 0 {
		return nil, dns, failure(types.ErrInvalidNetworkConfig, "give it `ranges`", "ipam %s has given no address", e.IPAM.Type)
	}
	return all, r.DNS, nil
}

// kept is the name of a namespace whose path is a process's.
func (e *errand) kept() workload.Namespace { return workload.Named("vrouter-cni-" + e.name()) }

// keepNamespace gives a namespace that is known by a process alone a name: the number of a process is given out again,
// and the router may not look into those that may do more than it.
func (e *errand) keepNamespace() (path string, err error) {
	if !strings.HasPrefix(e.Netns, "/proc/") {
		return e.Netns, nil
	}
	d, err := workload.Namespace(e.Netns).Open()
	if err == nil {
		err = d.Name(e.kept())
	}
	if err != nil {
		return "", failure(types.ErrIOFailure, "look whether there is room in "+workload.Directory, "%v", err)
	}
	return string(e.kept()), nil
}

// refusal is the router's, with the code that its reason has in the specification.
func refusal(err error) error {
	var f *control.Failure
	if !errors.As(err, &f) {
		return failure(types.ErrTryAgainLater, "look whether the router runs (systemctl status vrouter)", "%v", err)
	}
	switch f.Field {
	case "name", "interface", "namespace":
		return failure(types.ErrInvalidEnvironmentVariables, "call DEL first if the container was added before", "the router: %v", err)
	case "address":
		return failure(types.ErrInvalidNetworkConfig, "the IPAM plugin has to give an address that is free: look at its `ranges`", "the router: %v", err)
	case "":
		return failure(types.ErrIOFailure, "the router's log tells more", "the router: %v", err)
	}
	return failure(codeRefused, "the router's log tells more", "the router: %v", err)
}

// result tells of the interface as the router made it.
func (e *errand) result(w *control.Workload) (*types100.Result, error) {
	gateway, err := e.router.gateway()
	if err != nil {
		return nil, err
	}
	r := &types100.Result{
		CNIVersion: types100.ImplementedSpecVersion,
		Interfaces: []*types100.Interface{{Name: w.Interface, Mac: w.MAC, Mtu: w.MTU, Sandbox: e.Netns}},
	}
	link := 253 // RT_SCOPE_LINK
	scope := &link
	if e.CNIVersion != "1.1.0" { // which has these two first
		r.Interfaces[0].Mtu, scope = 0, nil
	}
	for _, text := range w.Addresses {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("the router's answer: %w", err)
		}
		via, index := gateway.For(p.Addr()), 0
		r.IPs = append(r.IPs, &types100.IPConfig{Interface: &index, Address: ipNet(p), Gateway: via.AsSlice()})
		all := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if p.Addr().Is4() {
			all = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
			r.Routes = append(r.Routes, &types.Route{Dst: ipNet(netip.PrefixFrom(via, 32)), Scope: scope})
		}
		r.Routes = append(r.Routes, &types.Route{Dst: ipNet(all), GW: via.AsSlice()})
	}
	return r, nil
}

func ipNet(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// del takes back what there is of a container's interface, which may be nothing.
func del(e *errand) error {
	if err := e.checkNames(); err != nil {
		return nil // what cannot have been added
	}
	return e.takeBack()
}

// takeBack removes the interface, the name of its namespace and its addresses, and at last what was written down.
func (e *errand) takeBack() error {
	err := e.router.remove(e.Name, e.ContainerID, e.IfName)
	if err == nil {
		if err = e.kept().Delete(); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return asFailure(err, codeLeftOver, "try again")
	}
	if _, err := e.ipam("DEL"); err != nil {
		return asFailure(err, codeLeftOver, "look at the `ipam` of the configuration, and try again")
	}
	return e.journal().end(e)
}
