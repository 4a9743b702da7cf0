package e2e

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/workload"
)

// partyFor is set in a process of this program that plays a hostile party: a hostile, in JSON.
const partyFor = "VROUTER_E2E_PARTY"

// isUp is what it says when it is under way.
const isUp = "up"

// hostile is a process that works in a workload of one host, and in an accomplice on the other.
// It has the lowest priority: what it takes of the processors by itself is the
// machine's to bound and not the router's, and would be measured instead.
type hostile struct {
	Party       string
	Here, There workload.Namespace
	Own, Its    string // addresses
}

// party is what it does, with little traffic of its own.
type party struct {
	name string
	slow int // the host, from 1 on, whose w1 has a slow stack; 0: none
	do   func(x *hostile) error
}

var parties = []party{
	{"400 superframes a second of one-byte segments", 0, func(x *hostile) error { return x.drip(400, x.superframe(4096, 1)) }},
	{"50 superframes a second of as many segments as may be", 0, func(x *hostile) error { return x.drip(50, x.superframe(65000, 16)) }},
	{"eight TCP streams of small segments", 0, func(x *hostile) error {
		_, err := newStreams(x.Here, x.There, x.Its, 8, 88)
		return errors.Join(err, stay())
	}},
	{"2,000 datagrams a second into a slow stack of its own", 1, func(x *hostile) error {
		return errors.Join(burden(x.Here, x.Own), x.drip(2000, x.datagram(x.Own)))
	}},
	{"2,000 datagrams a second into the other host's slow stack", 2, func(x *hostile) error {
		return errors.Join(burden(x.There, x.Its), x.drip(2000, x.datagram(x.Its)))
	}},
}

// starts has a party begin, and waits until it is under way.
func (f *field) starts(t *testing.T, p party) *running {
	t.Helper()
	return p.begin(t, hostile{Here: f.w[0][0], There: f.w[1][0], Own: f.address(0, 0), Its: f.address(1, 0)})
}

func (p party) begin(t *testing.T, x hostile) *running {
	t.Helper()
	x.Party = p.name
	text, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), partyFor+"="+string(text))
	r := start(t, cmd, outsideOfAll)
	within(t, commandTimeout, p.name, func() bool { return r.hasEnded() || read(t, r.out) == isUp })
	if r.hasEnded() {
		t.Fatalf("%s: %+v", p.name, r.wait(t))
	}
	return r
}

func playParty() error {
	x := &hostile{}
	if err := json.Unmarshal([]byte(os.Getenv(partyFor)), x); err != nil {
		return err
	}
	i := slices.IndexFunc(parties, func(p party) bool { return p.name == x.Party })
	if i < 0 {
		return fmt.Errorf("no party %q", x.Party)
	}
	return errors.Join(beLast(), parties[i].do(x))
}

// beLast gives all threads that there are the lowest priority. Those to come have it from them.
func beLast() error {
	tasks, err := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		id, _ := strconv.Atoi(task.Name())
		err = errors.Join(err, unix.Setpriority(unix.PRIO_PROCESS, id, 19))
	}
	return err
}

// stay says that it is under way, and goes on with it until somebody ends this process.
func stay() error {
	if _, err := os.Stdout.WriteString(isUp); err != nil {
		return err
	}
	select {}
}

// frame is one of its own station's for the router, behind a virtio header.
func (x *hostile) frame(compose func(a *attacker) (packet.Offload, []byte)) func() ([]byte, error) {
	return func() ([]byte, error) {
		a := &attacker{Rand: rand.New(rand.NewPCG(1, 2)), to: gatewayMAC, own: x.Own}
		if err := x.Here.Do(func() error {
			return withLink("eth0", func(l netlink.Link) error {
				a.from = packet.MAC(l.Attrs().HardwareAddr)
				return netlink.LinkSetMTU(l, 9000) // a workload may do so
			})
		}); err != nil {
			return nil, err
		}
		o, frame := compose(a)
		b := append(make([]byte, packet.VnetLen), frame...)
		o.Put(b)
		return b, nil
	}
}

func (x *hostile) datagram(to string) func() ([]byte, error) {
	return x.frame(func(a *attacker) (packet.Offload, []byte) { return packet.Offload{}, a.datagram(x.Own, to) })
}

// isSix says whether an address is one of IPv6.
func isSix(address string) bool { return netip.MustParseAddr(address).Is6() }

// datagram is one of UDP, of the family of its addresses.
func (x *attacker) datagram(src, dst string) []byte {
	if isSix(dst) {
		return x.udp6(src, dst)
	}
	return x.udp(src, dst)
}

// superframe is TCP with so much data, of which each segment is to carry size bytes.
func (x *hostile) superframe(data, size int) func() ([]byte, error) {
	return x.frame(func(a *attacker) (packet.Offload, []byte) {
		segment := make([]byte, packet.TCPMinLen+data)
		binary.BigEndian.PutUint16(segment, 7001)
		binary.BigEndian.PutUint16(segment[2:], 7001)
		segment[12] = packet.TCPMinLen / 4 << 4
		segment[13] = 0x10 // ACK
		o := packet.Offload{Flags: 1, GSOType: packet.GSOTCPv4, GSOSize: uint16(size), CsumStart: packet.EthernetLen + packet.IPv4MinLen, CsumOffset: 16}
		if isSix(x.Its) {
			o.GSOType, o.CsumStart = packet.GSOTCPv6, packet.EthernetLen+packet.IPv6MinLen
		}
		o.HeaderLen = o.CsumStart + packet.TCPMinLen
		if isSix(x.Its) {
			return o, a.ip6(x.Own, x.Its, packet.ProtocolTCP, segment, nil)
		}
		return o, a.ip(x.Own, x.Its, packet.ProtocolTCP, segment, nil)
	})
}

// drip sends a frame so often a second.
func (x *hostile) drip(rate int, frame func() ([]byte, error)) error {
	b, err := frame()
	if err != nil {
		return err
	}
	var fd int
	var at *unix.SockaddrLinklayer
	if err := x.Here.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
			return err
		}
		return withLink("eth0", func(l netlink.Link) error {
			at = &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index}
			return nil
		})
	}); err != nil {
		return err
	}
	go func() {
		for start, sent := time.Now(), 0; ; time.Sleep(time.Millisecond) {
			for ; sent < int(time.Since(start).Seconds()*float64(rate)); sent++ {
				_ = unix.Sendto(fd, b, unix.MSG_DONTWAIT, at) // what finds no room is not sent
			}
		}
	}()
	return stay()
}

// burden has a workload's own stack work for milliseconds on each packet that it gets, until
// this process ends: many packet sockets, each with a filter as long as one may be. A
// hundred thousand nftables rules do the same, but take longer to make.
func burden(ns workload.Namespace, address string) error {
	protocol := binary.NativeEndian.Uint16([]byte{0x08, 0x00}) // ETH_P_IP, in network order
	if isSix(address) {
		protocol = binary.NativeEndian.Uint16([]byte{0x86, 0xdd})
	}
	const sockets, instructions = 512, 4096
	filter := make([]unix.SockFilter, instructions)
	for i := range filter {
		filter[i] = unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_MUL | unix.BPF_K, K: 3}
	}
	filter[0] = unix.SockFilter{Code: unix.BPF_LD | unix.BPF_IMM, K: 1}
	filter[instructions-1] = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	program := unix.SockFprog{Len: instructions, Filter: &filter[0]}
	return ns.Do(func() error {
		for range sockets {
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
				return err
			}
			if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol /* what comes in, alone */}); err != nil {
				return err
			}
		}
		return nil
	})
}

// withMSS has a socket send segments of no more than that, and ask for no larger ones.
func withMSS(mss int) func(_, _ string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) (err error) {
		if mss == 0 {
			return nil
		}
		if cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, mss) }); cerr != nil {
			return cerr
		}
		return err
	}
}

func listenMSS(address string, mss int) (net.Listener, error) {
	c := net.ListenConfig{Control: withMSS(mss)}
	return c.Listen(context.Background(), "tcp", net.JoinHostPort(address, "0"))
}

func dialMSS(address string, mss int) (net.Conn, error) {
	d := net.Dialer{Timeout: patience, Control: withMSS(mss)}
	return d.Dial("tcp", address)
}
