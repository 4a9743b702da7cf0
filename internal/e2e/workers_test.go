package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/control"
)

// Several workers share the uplink by flow: nothing is lost, nothing comes twice,
// the books are exact, and `show ports` tells who has read what.
func TestWorkers(t *testing.T) {
	hosts := labUp(t, twoHosts("    workers: 3\n"))
	wantEcho(t, hosts[0].ns1, there, 62) // ARP is settled by now
	before := [2]series{scrape(t, hosts[0].ns), scrape(t, hosts[1].ns)}
	in(t, hosts[0].ns1, func() error { return flood(there, floodPings) })
	for i, h := range hosts {
		wantBooks(t, h.Name, scrape(t, h.ns).since(before[i]))
	}
	for range 16 { // flows: by chance alone all go to one worker once in 3^15 times
		a, b := connect(t, hosts[0].ns1, hosts[1].ns1, there)
		exchange(t, a, b, 1<<20)
	}
	var ports []control.Port
	if err := json.Unmarshal([]byte(hosts[1].ask(t, "show", "ports", "-o", "json").wantOK(t)), &ports); err != nil {
		t.Fatal(err)
	}
	for _, p := range ports {
		sum, busy := uint64(0), 0
		for _, q := range p.Queues {
			sum += q.RxPackets
			if q.RxPackets > 0 {
				busy++
			}
		}
		if sum != p.RxPackets {
			t.Errorf("%s: the queues have %d packets, the port %d", p.Port, sum, p.RxPackets)
		}
		if p.Kind == "uplink" && (len(p.Queues) != 3 || busy < 2) {
			t.Errorf("%s: %+v, want 3 queues, several of them in use", p.Port, p.Queues)
		}
	}
}

// What the host itself sends and receives is none of the router's affair: it reads
// none of it, with one socket or with several.
func TestHostsOwnTrafficIsNotRead(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprintf("workers: %d", workers), func(t *testing.T) {
			hosts := labUp(t, twoHosts(fmt.Sprintf("    workers: %d\n", workers)))
			knowEachOther(t, hosts)
			before := [2]series{scrape(t, hosts[0].ns), scrape(t, hosts[1].ns)}
			a, b := connect(t, hosts[0].ns, hosts[1].ns, "192.168.0.12")
			exchange(t, a, b, 4<<20)
			for i, h := range hosts {
				received := key("port_receive_packets_total", `port="ens160"`)
				if grown := scrape(t, h.ns).since(before[i]); grown[received] != 0 {
					t.Errorf("%s: the router received %v packets, and dropped %v", h.Name, grown[received], grown.labels("drop_packets_total{"))
				}
			}
		})
	}
}

// knowEachOther enters two hosts into each other's neighbours, so that their own
// stacks ask nobody.
func knowEachOther(t *testing.T, hosts []host) {
	t.Helper()
	for i, h := range hosts {
		mac := macOf(t, hosts[1-i].ns, uplink)
		in(t, h.ns, func() error {
			return withLink(uplink, func(l netlink.Link) error {
				return netlink.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT,
					IP: net.IPv4(192, 168, 0, byte(12-i)), HardwareAddr: mac})
			})
		})
	}
}

// Unless the configuration says so, the processors that the router may use tell how
// many workers there are, and there are never more than a fanout group takes sockets.
func TestDefaultWorkers(t *testing.T) {
	for _, c := range []struct {
		processors string
		workers    int
	}{{"1", 1}, {"3", 1}, {"4", 2}, {"16", 8}, {"1000", 64}} {
		t.Run(c.processors+" processors", func(t *testing.T) {
			t.Setenv("GOMAXPROCS", c.processors)
			const socket = "/run/vrouter/vrouter.sock"
			startRouter(t, newHost(t), socket, hostConfig)
			list := decode[[]control.Worker](t, vrouter(t, "--socket", socket, "show", "workers", "-o", "json").wantOK(t))
			if len(list) != c.workers {
				t.Errorf("%d workers, want %d", len(list), c.workers)
			}
		})
	}
}
