//go:build peer

package peer_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vrouter/vrouter/internal/peer"
	"github.com/vrouter/vrouter/internal/workload"
)

// config6 has a workload with an address for each kind of tunnel: 6in4, 6in6, 4in6.
const config6 = `node: host-a
uplink: {interface: ens160}
workloads:
  - {name: ns1, addresses: [10.70.1.1/24, "fd00:70:1::1/128", "fd00:71:1::1/128", 10.72.1.1/24]}
  - {name: wide, addresses: [10.70.1.2/24, "fd00:70:1::2/128", "fd00:71:1::2/128"], mtu: 1500}
routes:
  - {to: 10.70.2.0/26, via: PEER}
  - {to: "fd00:70:2::/64", via: PEER}
  - {to: "fd00:71:2::/64", via: "fd00:192::12"}
  - {to: 10.72.2.0/24, via: "fd00:192::12"}
ipip: {mode: MODE}
metrics: {listen: ""}
control: {socket: SOCKET}
`

var six = peer.Setup6{
	Address: netip.MustParsePrefix("fd00:192::12/64"), Local4: netip.MustParseAddr("192.168.0.12"), Peer4: hostA, Peer6: netip.MustParseAddr("fd00:192::11"),
	In4: []netip.Prefix{netip.MustParsePrefix("fd00:70:1::/64")}, In6: []netip.Prefix{netip.MustParsePrefix("fd00:71:1::/64"), netip.MustParsePrefix("10.72.1.0/24")},
	Workload: []netip.Prefix{netip.MustParsePrefix("fd00:70:2::1/128"), netip.MustParsePrefix("fd00:71:2::1/128"), netip.MustParsePrefix("10.72.2.1/32")},
}

// kinds are the tunnels that end at a sit and an ip6_tunnel device of Linux.
var kinds = []struct {
	name, from, to string
	mtu            int // of what goes through
}{
	{"6in4", "fd00:70:1::", "fd00:70:2::1", 1480},
	{"6in6", "fd00:71:1::", "fd00:71:2::1", 1460},
}

func TestLinuxBothFamilies(t *testing.T) {
	namespaces(t, "host-a", "host-b", "ns1", "wide")
	must(t, workload.Named("host-a").Do(func() error {
		for _, name := range []string{"all", "default"} {
			for key, value := range map[string]string{"disable_ipv6": "0", "accept_dad": "0", "accept_ra": "0"} {
				if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/"+key, []byte(value), 0o644); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	cable(t, "host-a", uplinkA, "host-b", "eth0")
	address(t, "host-a", uplinkA, "192.168.0.11/24")
	address(t, "host-a", uplinkA, "fd00:192::11/64")
	b := newBedOf(t, config6, "always", direct)
	must(t, b.call("Setup6", six, nil))
	must(t, workload.Named("ns1").Do(func() error {
		l, err := peer.Serve6()
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	}))
	for _, k := range kinds {
		b.run(k.name, func(b *bed) {
			b.ping6("ns1", k.from+"1", k.to, 56, "ttl=62")
			b.ping6("wide", k.from+"2", k.to, k.mtu-48, "ttl=62")
			b.ping6("wide", k.from+"2", k.to, k.mtu-47, fmt.Sprintf("mtu=%d", k.mtu))
			b.ping6("wide", k.from+"2", k.to, 4000, "ttl=62") // in fragments
			b.transfer("ns1", netip.MustParseAddr(k.to), 16)
			b.transfer(workloadB, netip.MustParseAddr(k.from+"1"), 16)
		})
	}
	b.run("4in6", func(b *bed) {
		b.ping6("ns1", "10.72.1.1", "10.72.2.1", 56, "ttl=62")
		b.ping6("ns1", "10.72.1.1", "10.72.2.1", 1432, "ttl=62")
	})
	for reason, n := range b.drops() {
		if reason != "mtu_exceeded" && reason != "not_for_router" && reason != "nd_ignored" && reason != "arp_ignored" {
			t.Errorf("%d packets were dropped: %s", n, reason)
		}
	}
}

// ping6 pings from an address of a workload, with so much data, until the answer says what it is to say.
func (b *bed) ping6(from, src, to string, size int, want string) {
	b.Helper()
	var out []byte
	must(b.T, workload.Named(from).Do(func() error {
		args := []string{"-n", "-c", "3", "-i", "0.2", "-W", "5", "-I", src, "-s", fmt.Sprint(size), to}
		if strings.HasPrefix(want, "mtu=") {
			args = append([]string{"-M", "do"}, args...)
		}
		out, _ = exec.Command("ping", args...).CombinedOutput()
		return nil
	}))
	lost := strings.Count(string(out), "bytes from "+to) < 3
	if size > 1400 && lost {
		lost = !strings.Contains(string(out), "icmp_seq=3 ttl") // B's workload had first to be told what fits into its end of the tunnel
	}
	if !strings.Contains(string(out), want) || want == "ttl=62" && lost {
		b.Errorf("%d bytes from %s to %s: no %s in\n%s", size, src, to, want, out)
	}
}
