package workload

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
)

// Spec is what a workload is to have.
type Spec struct {
	Name      string
	Namespace Namespace // empty: the one named Name, made if it is not there
	Interface string
	Address   netip.Prefix
	Gateway   netip.Addr
	MTU       int // bytes
	Offload   bool
}

// Workload is a namespace attached to the router.
type Workload struct {
	Spec
	TAP *link.TAP
	MAC packet.MAC // of the interface in the namespace

	madeNamespace, madeInterface bool
	identity                     identity
}

// Attach gives the namespace its interface, or takes over the one that an earlier
// run left: what is as it should be is not touched. If it fails, what it made is
// taken back.
func Attach(s Spec) (*Workload, error) {
	w := &Workload{Spec: s}
	if err := w.attach(); err != nil {
		return nil, errors.Join(fmt.Errorf("workload %s: %w", s.Name, err), w.Undo())
	}
	return w, nil
}

func (w *Workload) attach() (err error) {
	if w.Namespace == "" {
		w.Namespace = Named(w.Name)
		if !w.Namespace.Exists() {
			if _, err := Create(w.Name); err != nil {
				return err
			}
			w.madeNamespace = true
		}
	}
	if w.identity, err = w.Namespace.identity(); err != nil {
		return err
	}
	return w.Namespace.Do(func() error {
		_, err := netlink.LinkByName(w.Interface)
		w.madeInterface = errors.As(err, &netlink.LinkNotFoundError{})
		if w.TAP, err = link.OpenTAP(w.Interface, w.Offload); err != nil {
			return err
		}
		return w.configure()
	})
}

// Undo takes back what Attach made, and leaves what it found.
func (w *Workload) Undo() error {
	if w.TAP != nil {
		w.TAP.Close()
	}
	if w.madeNamespace {
		return w.Namespace.Delete()
	}
	if w.madeInterface {
		return w.Namespace.Do(w.deleteInterface)
	}
	return nil
}

// FoundNamespace says that the namespace was there before this router, or an
// earlier one, had anything to do with it.
func (w *Workload) FoundNamespace() bool { return w.madeInterface && !w.madeNamespace }

// Gone says whether the namespace was removed, or replaced by another one.
func (w *Workload) Gone() bool {
	id, err := w.Namespace.identity()
	return err != nil || id != w.identity
}

// Remove takes a workload's set-up back: the interface and, if it was made for
// the workload, the namespace. Nobody may be reading the TAP.
func Remove(s Spec) error {
	w := &Workload{Spec: s}
	if s.Namespace == "" {
		if n := Named(s.Name); n.Exists() {
			return n.Delete()
		}
		return nil
	}
	if !s.Namespace.Exists() {
		return nil
	}
	return s.Namespace.Do(w.deleteInterface)
}

func (w *Workload) deleteInterface() error {
	l, err := netlink.LinkByName(w.Interface)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, ok := l.(*netlink.Tuntap); !ok {
		return fmt.Errorf("%s in %s is no TAP of ours; not removed", w.Interface, w.Namespace)
	}
	return netlink.LinkDel(l)
}

// configure is the tutorial's commands, inside the namespace:
//
//	ip addr add ADDRESS dev eth0
//	ip link set eth0 mtu MTU up
//	ip route add GATEWAY dev eth0 scope link
//	ip route add default via GATEWAY dev eth0
func (w *Workload) configure() error {
	l, err := netlink.LinkByName(w.Interface)
	if err != nil {
		return fmt.Errorf("%s: %w", w.Interface, err)
	}
	attrs := l.Attrs()
	if len(attrs.HardwareAddr) != 6 {
		return fmt.Errorf("%s is no Ethernet interface", w.Interface)
	}
	w.MAC = packet.MAC(attrs.HardwareAddr)
	if attrs.MTU != w.MTU {
		if err := netlink.LinkSetMTU(l, w.MTU); err != nil {
			return fmt.Errorf("%s: setting mtu %d: %w", w.Interface, w.MTU, err)
		}
	}
	if err := w.setAddress(l); err != nil {
		return err
	}
	if attrs.Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(l); err != nil {
			return fmt.Errorf("%s: setting it up: %w", w.Interface, err)
		}
	}
	return w.setRoutes(l)
}

// SetMTU changes the interface's MTU, in bytes.
func (w *Workload) SetMTU(mtu int) error {
	err := w.Namespace.Do(func() error {
		l, err := netlink.LinkByName(w.Interface)
		if err != nil {
			return err
		}
		return netlink.LinkSetMTU(l, mtu)
	})
	if err != nil {
		return fmt.Errorf("%s: setting mtu %d: %w", w.Interface, mtu, err)
	}
	w.MTU = mtu
	return nil
}

// setAddress leaves the interface with the one address; an old one goes.
func (w *Workload) setAddress(l netlink.Link) error {
	have, err := netlink.AddrList(l, unix.AF_INET)
	if err != nil {
		return fmt.Errorf("%s: listing addresses: %w", w.Interface, err)
	}
	want, found := ipNet(w.Address), false
	for _, a := range have {
		if a.IPNet.String() == want.String() {
			found = true
			continue
		}
		if err := netlink.AddrDel(l, &a); err != nil {
			return fmt.Errorf("%s: removing the old address %s: %w", w.Interface, a.IPNet, err)
		}
	}
	if found {
		return nil
	}
	if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: want}); err != nil {
		return fmt.Errorf("%s: adding address %s: %w", w.Interface, want, err)
	}
	return nil
}

func (w *Workload) setRoutes(l netlink.Link) error {
	gateway := netip.PrefixFrom(w.Gateway, 32)
	for _, r := range []netlink.Route{
		{LinkIndex: l.Attrs().Index, Dst: ipNet(gateway), Scope: netlink.SCOPE_LINK},
		{LinkIndex: l.Attrs().Index, Dst: ipNet(netip.MustParsePrefix("0.0.0.0/0")), Gw: w.Gateway.AsSlice()},
	} {
		if err := netlink.RouteReplace(&r); err != nil {
			return fmt.Errorf("%s: adding route %s: %w", w.Interface, r.Dst, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}
