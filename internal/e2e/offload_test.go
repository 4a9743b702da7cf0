package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/ethtool"
	"github.com/vrouter/vrouter/internal/workload"
)

const (
	superframeBytes = 16 << 20
	// datagramBytes in each of perSend datagrams, that are sent as one, sends times.
	datagramBytes, perSend, sends = 1000, 20, 200
)

// hands is how an uplink hands packets over.
type hands struct {
	name string
	set  func(uplink string) error
}

// Uplinks of other hosts: what one of them sends is cut by its kernel and joined by
// the other's, as a real network card's driver does.
var joinedUplinks = []hands{
	{"with complete checksums", func(l string) error {
		return errors.Join(inSoftware(l), ethtool.Set(l, false, "tx-checksum-ip-generic"), ethtool.Set(l, true, "rx-gro", "rx-gro-list"))
	}},
	{"with pending checksums", func(l string) error {
		return errors.Join(inSoftware(l), ethtool.Set(l, true, "rx-gro", "rx-gro-list"))
	}},
	{"datagrams too", func(l string) error {
		return errors.Join(inSoftware(l), ethtool.Set(l, true, "rx-gro", "rx-udp-gro-forwarding"))
	}},
	{"longer than 64 KB", func(l string) error { return errors.Join(ethtool.Set(l, true, "rx-gro"), longer(l)) }},
	{"longer than 64 KB, of segments", func(l string) error {
		return errors.Join(inSoftware(l), ethtool.Set(l, true, "rx-gro"), longer(l))
	}},
}

// inSoftware has the kernel cut what is sent.
func inSoftware(l string) error {
	return ethtool.Set(l, false, "tx-tcp-segmentation", "tx-tcp-ecn-segmentation", "tx-tcp-mangleid-segmentation", "tx-tcp6-segmentation", "tx-udp-segmentation")
}

// longer is `ip link set … gro_ipv4_max_size 150000 gso_ipv4_max_size 150000`.
func longer(name string) error {
	return withLink(name, func(l netlink.Link) error {
		return errors.Join(netlink.LinkSetGROIPv4MaxSize(l, 150000), netlink.LinkSetGSOMaxSize(l, 150000), netlink.LinkSetGSOIPv4MaxSize(l, 150000))
	})
}

// However an uplink joins packets, and whether their checksums are made or not, all of
// them arrive: TCP's from the other host itself too, whose superframes are the longest.
func TestJoinedByTheUplink(t *testing.T) {
	for _, h := range joinedUplinks {
		for _, offload := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, offload: %t", h.name, offload), func(t *testing.T) {
				hosts := labUp(t, twoHosts(fmt.Sprintf("    offload: %t\n", offload)))
				for _, host := range hosts {
					in(t, host.ns, func() error { return h.set(uplink) })
				}
				in(t, hosts[0].ns, func() error { return hostRoute(there, "192.168.0.12") })
				for _, from := range []workload.Namespace{hosts[0].ns1, hosts[0].ns} {
					a, b := connect(t, from, hosts[1].ns1, there)
					exchange(t, a, b, superframeBytes)
				}
				exchangeSegmented(t, hosts[0].ns, "192.168.0.11", hosts[1].ns1)
				nothingDropped(t, hosts)
			})
		}
	}
}

// hostRoute has a host's own stack send to a workload of another one.
func hostRoute(to, via string) error {
	return netlink.RouteAdd(&netlink.Route{Dst: netlink.NewIPNet(netip.MustParseAddr(to).AsSlice()), Gw: netip.MustParseAddr(via).AsSlice()})
}

// nothingDropped wants all that came to be forwarded. What a workload sends faster than its TAP's queue takes has not come.
func nothingDropped(t *testing.T, hosts []host) {
	t.Helper()
	for _, h := range hosts {
		s := scrape(t, h.ns)
		for _, k := range append(s.labels("drop_packets_total{"), s.labels("receive_lost_packets_total{", `port="`+uplink+`"`)...) {
			if s[k] != 0 {
				t.Errorf("%s: %s is %v", h.Name, k, s[k])
			}
		}
		if n := s[key("accounting_imbalance_packets")]; n != 0 {
			t.Errorf("%s: imbalance of %v packets", h.Name, n)
		}
	}
}

// exchangeSegmented sends datagrams by the segment (UDP_SEGMENT), and wants each.
func exchangeSegmented(t *testing.T, from workload.Namespace, address string, to workload.Namespace) {
	t.Helper()
	server, client := listenUDP(t, to, there).(*net.UDPConn), listenUDP(t, from, address).(*net.UDPConn)
	raw, err := client.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, datagramBytes) }); errors.Join(cerr, err) != nil {
		t.Fatal(cerr, err)
	}
	buf := make([]byte, 1<<16)
	for i := range sends {
		var data []byte
		for j := range perSend {
			data = append(data, bytes.Repeat([]byte{byte(i), byte(j)}, datagramBytes/2)...)
		}
		if _, err := client.WriteTo(data, server.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		for j := range perSend {
			if err := server.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, _, err := server.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("datagram %d of send %d did not come", j, i)
			}
			if want := data[j*datagramBytes:][:datagramBytes]; err != nil || !bytes.Equal(buf[:n], want) {
				t.Fatalf("datagram %d of send %d: %d bytes: %v", j, i, n, err)
			}
		}
	}
}

// vxlan makes an end of a tunnel of its own, with an address in it.
func vxlan(address, local, remote string, checksum bool) error {
	v := &netlink.Vxlan{
		LinkAttrs: netlink.LinkAttrs{Name: "vx0"}, VxlanId: 7, Port: 4789, UDPCSum: checksum,
		SrcAddr: net.ParseIP(local), Group: net.ParseIP(remote),
	}
	a, err := netlink.ParseAddr(address)
	if err != nil {
		return err
	}
	return errors.Join(netlink.LinkAdd(v), netlink.AddrAdd(v, a), netlink.LinkSetUp(v))
}

// Superframes in a tunnel that is none of the router's, as the other host's kernel sends
// them and this host's joins them, arrive at the tunnel's end in a workload.
func TestTunnelOfOthers(t *testing.T) {
	const inA, inB = "10.9.0.1", "10.9.0.2"
	for _, checksum := range []bool{false, true} {
		for name, set := range map[string]func(string) error{
			"superframes": func(l string) error { return ethtool.Set(l, true, "rx-gro") },
			"joined": func(l string) error {
				return errors.Join(inSoftware(l), ethtool.Set(l, false, "tx-checksum-ip-generic", "tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation"), ethtool.Set(l, true, "rx-gro"))
			},
		} {
			t.Run(fmt.Sprintf("%s, outer checksum: %t", name, checksum), func(t *testing.T) {
				hosts := labUp(t, twoHosts(""))
				a, b := hosts[0].ns, hosts[1].ns1
				in(t, a, func() error {
					return errors.Join(set(uplink), hostRoute(there, "192.168.0.12"), vxlan(inA+"/24", "192.168.0.11", there, checksum))
				})
				in(t, b, func() error { return vxlan(inB+"/24", there, "192.168.0.11", checksum) })
				// The kernel joins what some socket of its own would take: it looks at the port.
				in(t, hosts[1].ns, func() error {
					return errors.Join(set(uplink), vxlan("10.99.0.1/24", "192.168.0.12", "192.168.0.99", checksum))
				})
				x, y := connect(t, a, b, inB)
				exchange(t, x, y, superframeBytes)
				nothingDropped(t, hosts)
			})
		}
	}
}

// A frame that the far end of the cable is too small for is not told as a full queue.
func TestFarEndWithASmallerMTU(t *testing.T) {
	hosts := labUp(t, twoHosts(""))
	wantEcho(t, hosts[0].ns1, there, 62)
	in(t, hosts[1].ns, func() error {
		return withLink(uplink, func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1000) })
	})
	client := listenUDP(t, hosts[0].ns1, here)
	dropped := func(reason string) float64 {
		return scrape(t, hosts[0].ns)[key("drop_packets_total", `port="ns1"`, `reason="`+reason+`"`)]
	}
	eventually(t, "a datagram of 1,400 bytes is refused", func() bool {
		if _, err := client.WriteTo(make([]byte, 1400), &net.UDPAddr{IP: net.ParseIP(there), Port: 9}); err != nil {
			t.Fatal(err)
		}
		return dropped("tx_error")+dropped("tx_queue_full") > 0
	})
	if n := dropped("tx_queue_full"); n != 0 {
		t.Errorf("tx_queue_full is %v, but no queue is full", n)
	}
	wantEcho(t, hosts[0].ns1, there, 62)
}
