package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// missingOVS wants all the programs that startOVS runs.
func missingOVS() string {
	for _, name := range []string{"ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl"} {
		if _, err := exec.LookPath(name); err != nil {
			return name
		}
	}
	return ""
}

// ovs gives each host an Open vSwitch of its own, with the datapath in user space
// and packet sockets for ports, that does what a router does to a packet. With tso
// it hands superframes and unfinished checksums through, as vrouter does; as it is
// packaged it can do neither, and the workloads' stacks have to do without.
func ovs(tso bool) func(*bed) error {
	return func(b *bed) error {
		for _, s := range b.sides {
			if err := s.plug(false); err != nil {
				return err
			}
			if err := s.guest.Do(knowGateway); err != nil {
				return err
			}
			if tso {
				continue
			}
			if err := s.guest.Do(func() error { return withoutOffloads("eth0") }); err != nil {
				return err
			}
		}
		for _, s := range b.sides {
			if err := b.startSwitch(s, tso); err != nil {
				return fmt.Errorf("open vswitch: %w", err)
			}
		}
		return nil
	}
}

// withoutOffloads is `ethtool -K DEV tx off tso off gso off`.
func withoutOffloads(dev string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, command := range []uint32{unix.ETHTOOL_STSO, unix.ETHTOOL_SGSO, unix.ETHTOOL_STXCSUM} {
		value := struct{ command, data uint32 }{command, 0}
		request := struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte // struct ifreq's length
		}{data: unsafe.Pointer(&value)}
		copy(request.name[:], dev)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
			return fmt.Errorf("%s: turning offloads off: %w", dev, errno)
		}
	}
	return nil
}

// knowGateway enters what an ARP responder would say.
func knowGateway() error {
	l, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	return netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(gateway), HardwareAddr: gatewayMAC,
	})
}

func (b *bed) startSwitch(s *side, tso bool) error {
	dir, err := os.MkdirTemp(scratch, "ovs-")
	if err != nil {
		return err
	}
	env := []string{"OVS_RUNDIR=" + dir, "OVS_LOGDIR=" + dir, "OVS_DBDIR=" + dir}
	db, remote := filepath.Join(dir, "conf.db"), "unix:"+filepath.Join(dir, "db.sock")
	run := func(args ...string) error { return runOVS(s, env, args...) }
	vsctl := func(args ...string) error {
		return run(append([]string{"ovs-vsctl", "--timeout=10", "--retry", "--db=" + remote}, args...)...)
	}
	if err := run("ovsdb-tool", "create", db); err != nil {
		return err
	}
	if _, err := b.start(s.host, env, "ovsdb-server", "-vsyslog:off", "-vconsole:warn", "--remote=p"+remote, db); err != nil {
		return err
	}
	if err := vsctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".", fmt.Sprintf("other_config:userspace-tso-enable=%t", tso)); err != nil {
		return err
	}
	p, err := b.start(s.host, env, "ovs-vswitchd", "-vsyslog:off", "-vconsole:warn", remote)
	if err != nil {
		return err
	}
	b.routers = append(b.routers, p)
	if err := vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail_mode=secure",
		"--", "add-port", "br0", "veth1", "--", "set", "interface", "veth1", "ofport_request=1",
		"--", "add-port", "br0", uplink, "--", "set", "interface", uplink, "ofport_request=2"); err != nil {
		return err
	}
	return s.addFlows(run)
}

// addFlows routes to the other host's workload, and to the own one.
func (s *side) addFlows(run func(...string) error) error {
	mac, err := s.guestMAC()
	if err != nil {
		return err
	}
	for _, f := range []string{
		fmt.Sprintf("in_port=1,ip,nw_dst=%s,actions=dec_ttl,mod_dl_src:%s,mod_dl_dst:%s,output:2", s.peer.address.Addr(), s.uplinkMAC, s.peer.uplinkMAC),
		fmt.Sprintf("in_port=2,ip,nw_dst=%s,actions=dec_ttl,mod_dl_src:%s,mod_dl_dst:%s,output:1", s.address.Addr(), gatewayMAC, mac),
	} {
		if err := run("ovs-ofctl", "add-flow", "br0", f); err != nil {
			return err
		}
	}
	return nil
}

func (s *side) guestMAC() (mac net.HardwareAddr, err error) {
	err = s.guest.Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err == nil {
			mac = l.Attrs().HardwareAddr
		}
		return err
	})
	return mac, err
}

// runOVS runs a command to its end.
func runOVS(s *side, env []string, args ...string) error {
	return s.host.Do(func() error {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}
