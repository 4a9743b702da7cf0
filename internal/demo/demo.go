// Package demo is `vrouter demo`: the tutorial, built, pinged through and shown.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
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

const topology6 = `
  k8s-master-1                                              k8s-node-1
 ┌──────────────────────────────────────┐                  ┌──────────────────────────────────────┐
 │  ns1                                 │                  │                                 ns1  │
 │ ┌──────────────┐  TAP  ┌─────────┐   │                  │   ┌─────────┐  TAP  ┌──────────────┐ │
 │ │ eth0         ├───────┤ vrouter ├───┤ ens160           ├───┤ vrouter ├───────┤         eth0 │ │
 │ │ fd00:70:1::1 │       └─────────┘   │ fd00:192::11     │   └─────────┘       │ fd00:70:2::1 │ │
 │ └──────────────┘                     ├──────────────────┤                     └──────────────┘ │
 │  default via                         │     fd00:192::12 │                         default via  │
 │  fe80::ecee:eeff:feee:eeee           │           ens160 │           fe80::ecee:eeff:feee:eeee  │
 └──────────────────────────────────────┘                  └──────────────────────────────────────┘
   fd00:70:2::1 via fd00:192::12 dev ens160                  fd00:70:1::1 via fd00:192::11 dev ens160
`

const (
	pings = 3
	// pingEvery is how often there is one for the page.
	pingEvery = 2 * time.Second
)

// Run builds the lab, pings from its first host's workload to its second one's,
// by IPv6 if it is to, and tells what happened. Whatever it built ends with this process.
func Run(ctx context.Context, w io.Writer, c *config.Lab, six bool) (err error) {
	fmt.Fprintln(w, "The tutorial's two hosts, as network namespaces, with a vrouter process on each:")
	picture, protocol, listenTo := topology, 4, "arp or icmp"
	if six {
		picture, protocol, listenTo = topology6, 41, "icmp6"
	}
	fmt.Fprint(w, picture, "\n")
	if c.Hosts[0].IPIP.Mode != config.ModeNever {
		fmt.Fprintf(w, "  Between the hosts every packet travels in another one: IP-in-IP, protocol %d.\n\n", protocol)
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
	stories, err := listen(ctx, l, listenTo)
	if err != nil {
		return err
	}
	result, err := runPing(ctx, w, from, to, six)
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
	if six {
		fmt.Fprintln(w, "\nTo look around in this network: vrouter lab up -f examples/lab-dual-stack.yaml, then vrouter lab exec k8s-master-1/ns1 -- ping fd00:70:2::1")
		return nil
	}
	fmt.Fprintln(w, "\nTo look around in this network: vrouter lab up, then vrouter lab exec k8s-master-1/ns1 -- ping 10.70.2.1")
	return nil
}

func runPing(ctx context.Context, w io.Writer, from, to *lab.Host, six bool) (*ping.Result, error) {
	target := to.Workloads[0].AddressOf(six)
	fmt.Fprintf(w, "── From %s in %s on %s, through the kernel's own stack: ping -c %d %s\n\n",
		from.Workloads[0].AddressOf(six), from.Workloads[0].Name, from.Name, pings, target)
	var result *ping.Result
	err := workload.Named(from.Workloads[0].Namespace).Do(func() (err error) {
		result, err = ping.Run(ctx, w, ping.Options{To: target, Count: pings, Interval: 200 * time.Millisecond, Timeout: 2 * time.Second})
		return err
	})
	return result, err
}

// KeepPinging pings every other second, until the context ends, so that there is something to see.
func KeepPinging(ctx context.Context, l *lab.Lab, six bool) {
	from, to := l.Hosts[0].Workloads[0], l.Hosts[1].Workloads[0].AddressOf(six)
	for ctx.Err() == nil {
		_ = workload.Named(from.Namespace).Do(func() error { // where none comes back, the page shows why
			_, err := ping.Run(ctx, io.Discard, ping.Options{To: to, Count: 1, Timeout: pingEvery})
			return err
		})
		select {
		case <-time.After(pingEvery):
		case <-ctx.Done():
		}
	}
}
