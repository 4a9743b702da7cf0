// Package compare sends packets into a lab and into its twin, whose routers are kernels, and says what came out of each
// where, and why what differs does.
package compare

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/workload"
)

// Arena is a lab and its twin, with ears at all places where packets come out.
type Arena struct {
	lab      *lab.Lab
	vrouter  *side
	kernel   *side
	settings []setting
	mac      packet.MAC     // of the gateway
	gateways []netip.Addr   // that workloads take for their router
	routes   []netip.Prefix // of all hosts
	refused  []netip.Prefix // routes that lead nowhere
	uplinks  []netip.Prefix
	defaults bool                  // hosts have a default route
	kernels  map[netip.Addr]string // addresses of hosts, with whose they are
	devices  map[string]string     // interfaces of workloads, by HOST/WORKLOAD
	paid     map[string]time.Time  // by workload: when the router's allowance of errors about it is whole again
}

// side is one of the two.
type side struct {
	places   []*place
	names    map[packet.MAC]string
	fds      []unix.PollFd
	byOrigin map[string]*place // workloads, as HOST/WORKLOAD
}

// place is where packets come out; a workload is where they go in, too.
type place struct {
	name      string // HOST/WORKLOAD, or "HOST INTERFACE" for the uplink
	host      string
	fd        int
	index     int
	mac       packet.MAC
	mtu       int
	addresses []netip.Addr // of a workload
}

// setting is one of a namespace's, and what it was before.
type setting struct {
	in        string
	file, was string
}

// unlimited lets kernels tell all that they have to tell.
var unlimited = map[string]string{
	"/proc/sys/net/ipv4/icmp_ratemask":  "0",
	"/proc/sys/net/ipv6/icmp/ratelimit": "0",
	"/proc/sys/net/ipv6/icmp/ratemask":  "255", // of one that is none
}

// Open listens in a lab that has a twin. Until Close no kernel in it limits what ICMP tells.
func Open(l *lab.Lab) (a *Arena, err error) {
	if len(l.Twins) == 0 {
		return nil, errors.New("the lab has no twin: `vrouter lab down`, then `vrouter lab up --twin`")
	}
	for _, k := range l.Links {
		i, err := k.Impairment()
		if err != nil {
			return nil, err
		}
		if i.Any() {
			return nil, fmt.Errorf("link %s is impaired, and the twin's is not: `vrouter lab link %s none` first", k.Subnet, k.Subnet)
		}
	}
	a = &Arena{lab: l, kernels: map[netip.Addr]string{}, devices: map[string]string{}, paid: map[string]time.Time{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	for _, h := range l.Hosts {
		if err := a.learn(h); err != nil {
			return a, err
		}
	}
	if a.vrouter, err = a.side(l, l.Hosts, l.Fabric); err != nil {
		return a, err
	}
	if a.kernel, err = a.side(l, l.Twins, l.TwinFabric()); err != nil {
		return a, err
	}
	return a, a.warm()
}

// learn reads what the host's router goes by.
func (a *Arena) learn(h *lab.Host) error {
	c, err := h.Config()
	if err != nil {
		return err
	}
	for _, g := range []netip.Addr{c.Gateway.Address, c.Gateway.Address6} {
		if g.IsValid() && !slices.Contains(a.gateways, g) {
			a.gateways = append(a.gateways, g)
		}
	}
	a.mac = packet.MAC(c.Gateway.MAC)
	for _, w := range c.Workloads {
		a.devices[h.Name+"/"+w.Name] = w.Interface
	}
	for r := range c.Routes.All {
		if r.Type == config.RouteUnicast {
			a.routes = append(a.routes, r.To)
		} else {
			a.refused = append(a.refused, r.To)
		}
	}
	for _, text := range h.Addresses {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return err
		}
		a.uplinks = append(a.uplinks, p.Masked())
		a.kernels[p.Addr()] = h.Name
	}
	return nil
}

// side listens in all namespaces of one of the two.
func (a *Arena) side(l *lab.Lab, hosts []*lab.Host, fabric string) (*side, error) {
	s := &side{names: map[packet.MAC]string{a.mac: "gateway"}, byOrigin: map[string]*place{}}
	for i, h := range hosts {
		own := l.Hosts[i].Name // a twin is called as who it is a twin of
		if err := a.open(s, h.Namespace, h.Uplink, &place{name: own + " " + h.Uplink, host: own}); err != nil {
			return s, err
		}
		for _, w := range h.Workloads {
			p := &place{name: own + "/" + w.Name, host: own}
			for _, text := range w.Addresses {
				if address, err := netip.ParsePrefix(text); err == nil {
					p.addresses = append(p.addresses, address.Addr())
				}
			}
			if err := a.open(s, w.Namespace, a.devices[p.name], p); err != nil {
				return s, err
			}
			s.byOrigin[p.name] = p
		}
	}
	if fabric == "" {
		return s, nil
	}
	links, err := gatewayLinks(fabric)
	if err != nil {
		return s, err
	}
	a.defaults = len(links) > 0
	for _, k := range links {
		if err := a.open(s, fabric, k.name, &place{name: "gateway " + k.address.String()}); err != nil {
			return s, err
		}
	}
	return s, nil
}

type gatewayLink struct {
	name    string
	address netip.Addr
}

// gatewayLinks are what leads from one of the lab's links to the others.
func gatewayLinks(fabric string) (list []gatewayLink, err error) {
	err = workload.Named(fabric).Do(func() error {
		all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		if err != nil {
			return err
		}
		for _, x := range all {
			l, err := netlink.LinkByIndex(x.LinkIndex)
			if err != nil {
				return err
			}
			if ip, ok := netip.AddrFromSlice(x.IP); ok && strings.HasPrefix(l.Attrs().Name, "link") && x.Scope == unix.RT_SCOPE_UNIVERSE {
				list = append(list, gatewayLink{l.Attrs().Name, ip.Unmap()})
			}
		}
		return nil
	})
	return list, err
}

// open listens at an interface, and lifts the limits of its namespace.
func (a *Arena) open(s *side, namespace, device string, p *place) error {
	err := workload.Named(namespace).Do(func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		p.index, p.mtu = l.Attrs().Index, l.Attrs().MTU
		copy(p.mac[:], l.Attrs().HardwareAddr)
		a.lift(namespace)
		p.fd, err = listen(p.index)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	s.places = append(s.places, p)
	if p.mac != a.mac {
		s.names[p.mac] = p.name
	}
	s.fds = append(s.fds, unix.PollFd{Fd: int32(p.fd), Events: unix.POLLIN})
	return nil
}

// lift takes the limits off what the calling thread's namespace tells by ICMP.
func (a *Arena) lift(namespace string) {
	for file, value := range unlimited {
		was, err := os.ReadFile(file)
		if err == nil && os.WriteFile(file, []byte(value), 0o644) == nil {
			a.settings = append(a.settings, setting{namespace, file, string(was)})
		}
	}
}

// Close gives the kernels their limits back.
func (a *Arena) Close() error {
	var errs []error
	for _, s := range []*side{a.vrouter, a.kernel} {
		if s != nil {
			for _, p := range s.places {
				errs = append(errs, unix.Close(p.fd))
			}
		}
	}
	for _, s := range slices.Backward(a.settings) {
		errs = append(errs, workload.Named(s.in).Do(func() error { return os.WriteFile(s.file, []byte(s.was), 0o644) }))
	}
	return errors.Join(errs...)
}

// listen opens a packet socket on an interface of the calling thread's namespace.
func listen(index int) (int, error) {
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("a packet socket: %w (run as root)", err)
	}
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}),
	); err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}
