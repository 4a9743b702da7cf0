package metrics

import (
	"runtime"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/vrouter/vrouter/arpproxy"
	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/ipv4"
	"github.com/vrouter/vrouter/internal/ipv6"
	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/share"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// Collector turns the counters of a router into metrics, at scrape time.
type Collector struct {
	Router  *engine.Router
	RIB     *rib.Table
	Looks   *share.Looks
	Version string
	Ports   func() []string             // that are configured: their series exist though a port may be gone; nil: none are
	Repairs func() map[host.Kind]uint64 // nil: of a router without a host
}

// Registry is the collector's own, with Go's and the process's usual metrics.
func (c *Collector) Registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range table {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	s := c.Router.Stats()
	buildInfo.value(ch, 1, c.Version, runtime.Version())
	for i := range s.Ports {
		infoPort(ch, &s.Ports[i])
	}
	c.addAbsent(s)
	for i := range s.Ports {
		collectPort(ch, &s.Ports[i])
	}
	kept := c.Router.Trace().Kept(true)
	collectDrops(ch, s.Ports, kept)
	collectLosses(ch, &s.Counters, kept)
	for i, w := range s.Workers {
		workerFrames.value(ch, float64(w.Frames), strconv.Itoa(i))
		workerBatches.value(ch, float64(w.Batches), strconv.Itoa(i))
		workerSleeps.value(ch, float64(w.Sleeps), strconv.Itoa(i))
	}
	collectSteps(ch, &s.Counters)
	collectMade(ch, s)
	for i, word := range engine.ReassemblyWords {
		reassemblies.value(ch, float64(s.Reassemblies[i]), word)
	}
	for _, t := range s.Tunnels {
		tunnelTx.value(ch, float64(t.Tx), t.Peer.String())
		tunnelRx.value(ch, float64(t.Rx), t.Peer.String())
		tunnelRefused.value(ch, float64(t.Refused), t.Peer.String())
		for _, c := range []forwarder.Cut{forwarder.CutByKernel, forwarder.CutHere} {
			tunnelSuperframes.value(ch, float64(t.Superframes[c]), t.Peer.String(), c.String())
		}
		tunnelPathMTU.value(ch, float64(t.Bytes), t.Peer.String())
	}
	neighborsWaiting.value(ch, float64(s.Waits[engine.ForNeighbor].Now()))
	fragmentsWaiting.value(ch, float64(s.Waits[engine.ForFragments].Now()))
	for protocol, n := range c.RIB.Counts() {
		routes.value(ch, float64(n), protocol)
	}
	records, lost := c.Router.Trace().Counts()
	traceRecords.value(ch, float64(records))
	traceLost.value(ch, float64(lost))
	traceListeners.value(ch, float64(c.Router.Trace().Listening()))
	imbalance.value(ch, float64(s.Imbalance))
	collectLooks(ch, c.Looks, c.Router.Trace())
	if c.Repairs != nil {
		for kind, n := range c.Repairs() {
			repairs.value(ch, float64(n), string(kind))
		}
	}
}

// addAbsent adds the ports that are configured and not there, which have counted nothing.
func (c *Collector) addAbsent(s *engine.Stats) {
	if c.Ports == nil {
		return
	}
	for _, name := range c.Ports() {
		if !slices.ContainsFunc(s.Ports, func(p engine.PortStats) bool { return p.Name == name }) {
			s.Ports = append(s.Ports, engine.PortStats{PortConfig: forwarder.PortConfig{Name: name}})
		}
	}
}

// infoPort tells what a port that is there is.
func infoPort(ch chan<- prometheus.Metric, p *engine.PortStats) {
	portInfo.value(ch, 1, p.Name, p.Kind.String(), p.Interface, p.MAC.String(), strconv.Itoa(p.MTU))
}

func collectPort(ch chan<- prometheus.Metric, p *engine.PortStats) {
	portRxPackets.value(ch, float64(p.Received.Packets), p.Name)
	portRxBytes.value(ch, float64(p.Received.Bytes), p.Name)
	portTxPackets.value(ch, float64(p.TxPackets), p.Name)
	portTxBytes.value(ch, float64(p.TxBytes), p.Name)
	portRxLost.value(ch, float64(p.Lost), p.Name)
	portTxLost.value(ch, float64(p.SlowLost), p.Name)
	portSlow.value(ch, truth(p.Slow), p.Name)
	portCost.value(ch, p.Cost().Seconds(), p.Name)
	portRxErrors.value(ch, float64(p.ReadErrors), p.Name)
	fragments.value(ch, float64(p.Fragments), p.Name)
	for a := range arpproxy.NumAnswers {
		arpRequests.value(ch, float64(p.ARPRequests[a]), p.Name, arpproxy.Answer(a).String())
	}
	for a := range arpproxy.NumAnswers {
		solicitations.value(ch, float64(p.Solicitations[a]), p.Name, arpproxy.Answer(a).String())
	}
	for s := range neigh.NumStates {
		neighbors.value(ch, float64(p.Neighbors[s]), p.Name, neigh.State(s).String())
	}
}

// collectDrops leads from each count to the last packet of it that was recorded.
func collectDrops(ch chan<- prometheus.Metric, ports []engine.PortStats, records []*trace.Record) {
	for _, p := range ports {
		for _, r := range verdict.Reasons() {
			n := float64(p.Received.Drops[r])
			i := slices.IndexFunc(records, func(k *trace.Record) bool { return k.In == p.Name && k.Outcome.Reason == r })
			if i < 0 || n == 0 { // a port of that name that is gone may have left a record
				dropPackets.value(ch, n, p.Name, r.String())
				continue
			}
			dropPackets.valueLike(ch, records[i], n, p.Name, r.String())
		}
	}
}

func collectLosses(ch chan<- prometheus.Metric, c *engine.Counters, records []*trace.Record) {
	for _, r := range verdict.Reasons() {
		i := slices.IndexFunc(records, func(k *trace.Record) bool { return k.Outcome == verdict.Dropped(r) })
		if i < 0 {
			lostPackets.value(ch, float64(c.Lost(r)), r.String())
			continue
		}
		lostPackets.valueLike(ch, records[i], float64(c.Lost(r)), r.String())
	}
}

func collectSteps(ch chan<- prometheus.Metric, c *engine.Counters) {
	for s, step := range forwarder.Steps() {
		for k := range verdict.NumKinds {
			stepPackets.value(ch, float64(c.Steps[s][k]), step.Word, verdict.Kind(k).String())
		}
		collectDuration(ch, step.Word, &c.Durations[s])
	}
	for l, word := range engine.LookupWords {
		routeLookups.value(ch, float64(c.Lookups[l]), word)
	}
}

func collectDuration(ch chan<- prometheus.Metric, step string, h *engine.Histogram) {
	buckets, count := map[float64]uint64{}, uint64(0)
	for i, bound := range engine.DurationBuckets {
		count += h.Buckets[i]
		buckets[bound.Seconds()] = count
	}
	count += h.Buckets[len(engine.DurationBuckets)]
	ch <- prometheus.MustNewConstHistogram(stepDuration.desc, count, h.Sum.Seconds(), buckets, step)
}

func collectMade(ch chan<- prometheus.Metric, s *engine.Stats) {
	for o := forwarder.Received + 1; int(o) < forwarder.NumOrigins; o++ {
		originated.value(ch, float64(s.Made[o]), o.String())
		originatedLost.value(ch, float64(s.MadeLost[o]), o.String())
	}
	for _, m := range verdict.Meanings() {
		if e := ipv4.ICMPOf(m); e != (ipv4.ICMP{}) {
			icmpSent.value(ch, float64(s.Told[forwarder.FamilyIPv4][m]), strconv.Itoa(int(e.Type)), strconv.Itoa(int(e.Code)))
		}
		e := ipv6.ICMPOf(m)
		icmpv6Sent.value(ch, float64(s.Told[forwarder.FamilyIPv6][m]), strconv.Itoa(int(e.Type)), strconv.Itoa(int(e.Code)))
	}
	for f, n := range s.Forwarded() {
		forwarded.value(ch, float64(n), forwarder.Family(f).String())
	}
	for why, n := range s.Withheld {
		icmpSuppressed.value(ch, float64(n), why)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
