package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/workload"
)

// overhear opens a socket that sees what comes in by an interface. The function it
// returns reads frames until one holds the marker, and returns those before it.
func overhear(t *testing.T, ns workload.Namespace, dev string) (until func(marker []byte) [][]byte) {
	t.Helper()
	var fd int
	in(t, ns, func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return withLink(dev, func(l netlink.Link) error {
			longest := unix.NsecToTimeval(int64(patience))
			return errors.Join(
				unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
				unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &longest),
				unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: 0x0300 /* ETH_P_ALL */, Ifindex: l.Attrs().Index}),
			)
		})
	})
	t.Cleanup(func() { unix.Close(fd) })
	return func(marker []byte) (before [][]byte) {
		t.Helper()
		for {
			buf := make([]byte, 1<<16)
			n, err := unix.Read(fd, buf)
			if err != nil {
				t.Fatalf("the marker did not come by %s: %v", dev, err)
			}
			if bytes.Contains(buf[:n], marker) {
				return before
			}
			before = append(before, buf[:n])
		}
	}
}

// tagged is the packet of a frame in VLAN 5 (IEEE 802.1Q 9.6).
func tagged(to, from packet.MAC, frame []byte) []byte {
	return frameTo(to, from, 0x8100, append([]byte{0, 5}, frame[packet.EthernetLen-2:]...))
}

// A workload sees no frame that is not for it: neither what others say to each
// other, nor what the uplink carries to stations that nobody knows.
func TestHostileEavesdropper(t *testing.T) {
	b := besiege(t)
	until := overhear(t, b.w[0], "eth0")
	wantEcho(t, b.w[1], "10.70.1.3", 63)
	wantEcho(t, b.w[1], farHost, 63)
	wantEcho(t, b.w[1], "169.254.1.1", 64)
	far := packet.MAC(macOf(t, b.wire, "far"))
	x := &attacker{from: far, to: packet.MAC{2, 9, 9, 9, 9, 9}}
	group := packet.MAC{1, 0, 0x5e, 0, 0, 1}
	sendRaw(t, b.wire, "far", [][]byte{
		x.udp(farHost, here), // to a station that nobody has
		frameTo(broadcast, far, packet.EtherTypeIPv4, x.udp(farHost, here)[packet.EthernetLen:]),
		frameTo(group, far, packet.EtherTypeIPv4, x.udp(farHost, "224.0.0.1")[packet.EthernetLen:]),
		tagged(broadcast, far, x.udp(farHost, here)), tagged(packet.MAC(macOf(t, b.host, "ens160")), far, x.udp(farHost, here)), // to a VLAN
		x.arp(1, far, farHost, here), frameTo(broadcast, far, 0x88cc, make([]byte, 50)),
	})
	w1 := packet.MAC(macOf(t, b.w[0], "eth0"))
	x = &attacker{from: packet.MAC(macOf(t, b.w[1], "eth0"))}
	sendRaw(t, b.w[1], "eth0", [][]byte{ // past the router, straight to its station
		frameTo(w1, x.from, packet.EtherTypeIPv4, x.udp(honest, here)[packet.EthernetLen:]), x.arp(1, x.from, honest, here), x.arp(2, x.from, "169.254.1.1", here),
	})
	marker := []byte("all of it has been served")
	// By the uplink, and by the other workload, in the order in which each was sent.
	x = &attacker{from: far, to: packet.MAC(macOf(t, b.host, "ens160"))}
	sendRaw(t, b.wire, "far", [][]byte{x.ip(farHost, here, packet.ProtocolUDP, append(make([]byte, 8), marker...), nil)})
	seen := until(marker)
	x = &attacker{from: packet.MAC(macOf(t, b.w[1], "eth0")), to: gatewayMAC}
	sendRaw(t, b.w[1], "eth0", [][]byte{x.ip(honest, here, packet.ProtocolUDP, append(make([]byte, 8), marker...), nil)})
	for _, f := range append(seen, until(marker)...) {
		t.Errorf("the workload sees %x", f[:min(len(f), 60)])
	}
}

// What a workload claims by ARP moves nobody's traffic: not another workload's, not
// the gateway's, not the host's, and none of it reaches another's wire.
func TestHostileARP(t *testing.T) {
	b := besiege(t)
	before := vrouter(t, "--socket", b.socket, "show", "neighbors", "-o", "json").wantOK(t)
	others := []func([]byte) [][]byte{overhear(t, b.w[1], "eth0"), overhear(t, b.wire, "far")}
	x := &attacker{from: packet.MAC(macOf(t, b.w[0], "eth0")), to: gatewayMAC}
	var claims [][]byte
	for _, who := range []string{honest, "10.70.1.3", "169.254.1.1", hostAddress, farHost, there} {
		for op := range uint16(2) {
			claims = append(claims, x.arp(op+1, x.from, who, who), x.arp(op+1, x.from, who, "169.254.1.1"), x.arp(op+1, x.from, who, honest))
		}
	}
	sendRaw(t, b.w[0], "eth0", claims)
	marker := []byte("all of it has been served")
	sendRaw(t, b.w[0], "eth0", [][]byte{
		x.ip(here, honest, packet.ProtocolUDP, append(make([]byte, 8), marker...), nil), x.ip(here, farHost, packet.ProtocolUDP, append(make([]byte, 8), marker...), nil),
	})
	for i, until := range others {
		for _, f := range until(marker) {
			t.Errorf("wire %d carries %x", i, f[:min(len(f), 60)])
		}
	}
	type entry struct{ Address, MAC string }
	list := func(s string) (l []entry) {
		for _, n := range decode[[]map[string]any](t, s) {
			l = append(l, entry{fmt.Sprint(n["address"]), fmt.Sprint(n["mac"])})
		}
		return l
	}
	after := vrouter(t, "--socket", b.socket, "show", "neighbors", "-o", "json").wantOK(t)
	if was, is := fmt.Sprint(list(before)), fmt.Sprint(list(after)); was != is {
		t.Errorf("neighbours were %s, and are %s", was, is)
	}
	wantEcho(t, b.w[1], "10.70.1.3", 63)
	wantEcho(t, b.w[1], farHost, 63)
}

// Of the host a workload reaches an echo, and nothing else: no service of the host's,
// not the metrics, not the sockets by which routers find each other.
func TestHostileReachForTheHost(t *testing.T) {
	b := besiege(t)
	var service net.Listener
	in(t, b.host, func() (err error) {
		service, err = net.Listen("tcp4", "0.0.0.0:8080")
		return err
	})
	defer service.Close()
	in(t, b.host, func() error { // it does listen
		c, err := net.DialTimeout("tcp4", hostAddress+":8080", patience)
		if err == nil {
			c.Close()
		}
		return err
	})
	wantEcho(t, b.w[0], hostAddress, 64)
	wantEcho(t, b.w[0], "169.254.1.1", 64)
	before := scrape(t, b.host)
	for _, to := range []string{hostAddress + ":8080", hostAddress + ":9473", "169.254.1.1:9473", "127.0.0.1:9473", "127.0.0.1:8080"} {
		in(t, b.w[0], func() error {
			if c, err := net.DialTimeout("tcp4", to, time.Second); err == nil {
				c.Close()
				t.Errorf("a workload reaches %s", to)
			}
			return nil
		})
	}
	grown := scrape(t, b.host).since(before)
	if n := grown[key("drop_packets_total", `port="w1"`, `reason="local_unsupported"`)]; n < 3 {
		t.Errorf("%v packets to the host are dropped as local_unsupported", n)
	}
	const abstractName = "@vrouter/uplink/ens160"
	dial := func(ns workload.Namespace) error {
		return ns.Do(func() error {
			c, err := net.Dial("unix", abstractName)
			if err == nil {
				c.Close()
			}
			return err
		})
	}
	if err := dial(b.host); err != nil {
		t.Fatalf("%s: %v", abstractName, err)
	}
	if dial(b.w[0]) == nil {
		t.Errorf("a workload reaches %s", abstractName)
	}
}
