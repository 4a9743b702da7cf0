package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/workload"
)

// kernelCounts are datagrams that a workload's kernel did not let through.
type kernelCounts struct{ unsent, unread uint64 }

// kernelOf reads Udp of RFC 4113, with what Linux has beside it, and the interface's
// counters and queue.
func kernelOf(t *testing.T, ns workload.Namespace) (k kernelCounts) {
	t.Helper()
	in(t, ns, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		k.unread = l.Attrs().Statistics.RxDropped
		queues, err := netlink.QdiscList(l)
		if err != nil {
			return err
		}
		for _, q := range queues {
			if s := q.Attrs().Statistics; s != nil && s.Queue != nil && q.Type() != "pfifo_fast" { // that one tells the sender
				k.unsent += uint64(s.Queue.Drops)
			}
		}
		udp, err := kernelCounters("Udp", "SndbufErrors", "InErrors", "NoPorts")
		k.unsent += udp["SndbufErrors"]
		k.unread += udp["InErrors"] + udp["NoPorts"] // RcvbufErrors and InCsumErrors are InErrors too
		return err
	})
	return k
}

// kernelCounters finds the two lines of a protocol in /proc/net/snmp: the names, and the
// numbers.
func kernelCounters(protocol string, needed ...string) (map[string]uint64, error) {
	b, err := os.ReadFile("/proc/thread-self/net/snmp")
	if err != nil {
		return nil, err
	}
	var names []string
	counts := map[string]uint64{}
	for line := range strings.Lines(string(b)) {
		rest, ok := strings.CutPrefix(line, protocol+": ")
		if !ok {
			continue
		}
		if names == nil {
			names = strings.Fields(rest)
			continue
		}
		for i, f := range strings.Fields(rest) {
			if n, err := strconv.ParseUint(f, 10, 64); err == nil { // MaxConn is negative
				counts[names[i]] = n
			}
		}
	}
	for _, name := range needed {
		if _, ok := counts[name]; !ok {
			return nil, fmt.Errorf("no %s of %s in /proc/net/snmp", name, protocol)
		}
	}
	return counts, nil
}

// badHeaders are the packets that a kernel's own stack found a bad IPv4 header in.
func badHeaders(t *testing.T, ns workload.Namespace) (n uint64) {
	t.Helper()
	in(t, ns, func() error {
		ip, err := kernelCounters("Ip", "InHdrErrors")
		n = ip["InHdrErrors"]
		return err
	})
	return n
}
