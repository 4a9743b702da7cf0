// Package demo is `vrouter demo`: the tutorial, built, pinged through and shown.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/ping"
	"github.com/vrouter/vrouter/internal/workload"
)

const topology = `
  k8s-master-1                                          k8s-node-1
 ┌──────────────────────────────────────┐              ┌──────────────────────────────────────┐
 │  ns1                                 │              │                                 ns1  │
 │ ┌─────────────┐  TAP   ┌─────────┐   │              │   ┌─────────┐   TAP  ┌─────────────┐ │
 │ │ eth0        ├────────┤ vrouter ├───┤ ens160       ├───┤ vrouter ├────────┤        eth0 │ │
 │ │ 10.70.1.1   │        └─────────┘   │ 192.168.0.11 │   └─────────┘        │   10.70.2.1 │ │
 │ └─────────────┘       169.254.1.1    ├──────────────┤  169.254.1.1         └─────────────┘ │
 │  default via 169.254.1.1             │ 192.168.0.12 │             default via 169.254.1.1  │
 └──────────────────────────────────────┘       ens160 └──────────────────────────────────────┘
   10.70.2.1 via 192.168.0.12 dev ens160                  10.70.1.1 via 192.168.0.11 dev ens160
`

const pings = 3

// Run builds the lab, pings from its first host's workload to its second one's,
// and tells what happened. Whatever it built ends with this process.
func Run(ctx context.Context, w io.Writer, c *config.Lab) (err error) {
	fmt.Fprintln(w, "The tutorial's two hosts, as network namespaces, with a vrouter process on each:")
	fmt.Fprint(w, topology, "\n")
	if c.Hosts[0].IPIP.Mode != config.IPIPNever {
		fmt.Fprint(w, "  Between the hosts every packet travels in another one: IP-in-IP, protocol 4.\n\n")
	}
	l, err := lab.Up(ctx, c, lab.Options{Temporary: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Down()) }()

	from, to := l.Hosts[0], l.Hosts[1]
	before, err := scrapeAll(ctx, l)
	if err != nil {
		return err
	}
	stories, err := listen(ctx, l)
	if err != nil {
		return err
	}
	result, err := runPing(ctx, w, from, to)
	if err != nil {
		return err
	}
	printTimeline(w, stories.stop())
	if len(result.Replies) == 0 {
		return errors.New("no reply came back; the trace above tells where the packets ended")
	}
	after, err := scrapeAll(ctx, l)
	if err != nil {
		return err
	}
	printMoved(w, l, before, after)
	fmt.Fprintln(w, "\nTo look around in this network: vrouter lab up, then vrouter lab exec k8s-master-1/ns1 -- ping 10.70.2.1")
	return nil
}

func runPing(ctx context.Context, w io.Writer, from, to *lab.Host) (*ping.Result, error) {
	target := netip.MustParsePrefix(to.Workloads[0].Address).Addr()
	fmt.Fprintf(w, "── From %s in %s on %s, through the kernel's own stack: ping -c %d %s\n\n",
		netip.MustParsePrefix(from.Workloads[0].Address).Addr(), from.Workloads[0].Name, from.Name, pings, target)
	var result *ping.Result
	err := workload.Named(from.Workloads[0].Namespace).Do(func() (err error) {
		result, err = ping.Run(ctx, w, ping.Options{To: target, Count: pings, Interval: 200 * time.Millisecond, Timeout: 2 * time.Second})
		return err
	})
	return result, err
}
