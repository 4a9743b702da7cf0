package cni

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/workload"
)

// check says whether the container's interface is as it was added, and whether packets get through.
func check(e *errand) error {
	said, err := e.previous()
	if err != nil {
		return err
	}
	if err := e.router.answers(); err != nil {
		return failure(types.ErrTryAgainLater, "start the router (systemctl start vrouter), or give its control socket as `socket`", "%v", err)
	}
	list, err := e.router.containers(e.Name)
	if err != nil {
		return asFailure(err, types.ErrIOFailure, "the router's log tells more")
	}
	i := slices.IndexFunc(list, func(w control.Workload) bool { return w.Container.ID == e.ContainerID && w.Interface == e.IfName })
	if i < 0 {
		return failure(codeChanged, "call DEL and ADD", "the router knows no interface %s of container %s", e.IfName, e.ContainerID)
	}
	if err := e.compare(&list[i], said); err != nil {
		return err
	}
	if _, err := e.ipam("CHECK"); err != nil {
		return asFailure(err, codeChanged, "call DEL and ADD")
	}
	for _, text := range list[i].Addresses {
		if err := e.checkPackets(netip.MustParsePrefix(text).Addr()); err != nil {
			return err
		}
	}
	return nil
}

// previous is what ADD has answered, as the runtime tells it.
func (e *errand) previous() (*types100.Result, error) {
	const mend = "give what ADD has printed as prevResult"
	if e.RawPrevResult == nil {
		return nil, failure(types.ErrInvalidNetworkConfig, mend, "prevResult is missing")
	}
	if err := version.ParsePrevResult(&e.PluginConf); err != nil {
		return nil, failure(types.ErrDecodingFailure, mend, "prevResult: %v", err)
	}
	r, err := resultOf(e.PrevResult)
	if err != nil {
		return nil, failure(types.ErrDecodingFailure, mend, "prevResult: %v", err)
	}
	return r, nil
}

// compare holds what ADD has said against what there is.
func (e *errand) compare(w *control.Workload, said *types100.Result) error {
	i := slices.IndexFunc(said.Interfaces, func(i *types100.Interface) bool { return i.Name == e.IfName && i.Sandbox == e.Netns })
	if i < 0 {
		return failure(types.ErrInvalidNetworkConfig, "give what ADD has printed as prevResult", "prevResult has no interface %s in %s", e.IfName, e.Netns)
	}
	var addresses []string
	for _, ip := range said.IPs {
		if ip.Interface != nil && *ip.Interface == i {
			addresses = append(addresses, ip.Address.String())
		}
	}
	const mend = "call DEL and ADD, or put back what was changed in the container"
	mac, gone := "", netip.Prefix{}
	if err := workload.Namespace(e.Netns).Do(func() error {
		l, err := netlink.LinkByName(e.IfName)
		if err != nil {
			return err
		}
		mac = l.Attrs().HardwareAddr.String()
		there, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		for _, text := range w.Addresses {
			p := netip.MustParsePrefix(text)
			if !slices.ContainsFunc(there, func(a netlink.Addr) bool { return a.IP.Equal(p.Addr().AsSlice()) }) {
				gone = p
			}
		}
		return err
	}); err != nil {
		return failure(codeChanged, mend, "%s in %s: %v", e.IfName, e.Netns, err)
	}
	switch {
	case w.Waits != "":
		return failure(codeChanged, mend, "%s is not attached: %s", w.Interface, w.Waits)
	case w.Note != "":
		return failure(codeChanged, mend, "%s", w.Note)
	case !slices.Equal(addresses, w.Addresses):
		return failure(codeChanged, mend, "prevResult says %s for %s, and the router has %s", strings.Join(addresses, ", "), w.Interface, strings.Join(w.Addresses, ", "))
	case gone.IsValid():
		return failure(codeChanged, mend, "%s has no longer %s", w.Interface, gone)
	case said.Interfaces[i].Mac != mac:
		return failure(codeChanged, mend, "prevResult says %s for %s, and it is %s", said.Interfaces[i].Mac, w.Interface, mac)
	}
	return nil
}

// remotes is how many next hops CHECK tries.
const remotes = 8

// checkPackets explains the first packet of an address to the gateway, and those to other hosts and from there.
func (e *errand) checkPackets(a netip.Addr) error {
	uplink, err := e.router.uplink()
	if err != nil {
		return asFailure(err, types.ErrTryAgainLater, "bring the uplink back")
	}
	gateway, err := e.router.gateway()
	if err != nil {
		return asFailure(err, types.ErrIOFailure, "the router's log tells more")
	}
	remote, err := e.router.remote(a.Is6(), remotes)
	if err != nil {
		return asFailure(err, types.ErrIOFailure, "the router's log tells more")
	}
	icmp, packets := "icmp6", []string(nil)
	if a.Is4() {
		icmp = "icmp"
		packets = append(packets, fmt.Sprintf("icmp %s > %s", a, gateway.Address))
	}
	for _, r := range remote {
		packets = append(packets, fmt.Sprintf("%s %s > %s", icmp, a, r), fmt.Sprintf("%s %s > %s in %s", icmp, r, a, uplink))
	}
	if len(remote) == 0 {
		any := within(netip.PrefixFrom(a, 0).Masked())
		packets = append(packets, fmt.Sprintf("%s %s > %s in %s", icmp, any, a, uplink))
	}
	for _, p := range packets {
		x, err := e.router.explain(p)
		if err != nil {
			return asFailure(err, types.ErrIOFailure, "the router's log tells more")
		}
		if err := dropped(p, x); err != nil {
			return err
		}
	}
	return nil
}

// dropped is the error about a packet that would be.
func dropped(p string, x *control.Explanation) error {
	if len(x.Packets) == 0 || x.Packets[0].Outcome != trace.Dropped {
		return nil
	}
	first := &x.Packets[0]
	details := first.Reason
	if n := len(first.Steps); n > 0 {
		details = fmt.Sprintf("at step %s: %s", first.Steps[n-1].Step, first.Reason)
		if d := first.Steps[n-1].Detail; d != "" {
			details += ": " + d
		}
	}
	if first.Mend != "" {
		details += "; " + first.Mend
	}
	return failure(codeDropped, details, "%q would be dropped: %s", p, first.Reason)
}
