package control

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/verdict"
	"github.com/vrouter/vrouter/rib"
)

// Rates is one sample of `vrouter top`: what went on between two moments.
type Rates struct {
	Host    string      `json:"host"`
	Time    time.Time   `json:"time"`           // of the later moment
	Seconds float64     `json:"seconds"`        // that have passed since the one before
	Ports   []PortRate  `json:"ports"`          // the busiest first, as are drops and routes; of drops what is lost before noise
	Steps   []StepRate  `json:"steps"`          // in the order of the path
	Drops   []DropRate  `json:"drops"`          // reasons that have ever counted
	Routes  []RouteRate `json:"routes"`         // the busiest, of those that packets took
	Stop    *Stop       `json:"stop,omitempty"` // where packets are stopped
}

// PortRate is what a port received and sent, as on the wire.
type PortRate struct {
	Port  string  `json:"port"`
	RxPPS float64 `json:"rx_packets_per_second"`
	RxBPS float64 `json:"rx_bits_per_second"`
	TxPPS float64 `json:"tx_packets_per_second"`
	TxBPS float64 `json:"tx_bits_per_second"`
	Drops float64 `json:"drop_packets_per_second"`  // of those received
	Noise float64 `json:"noise_packets_per_second"` // of those dropped: what nobody sent to this router
	Lost  float64 `json:"lost_packets_per_second"`  // in the kernel, before the router read them
}

// StepRate is packets a second by the verdicts of a step.
type StepRate struct {
	Step    string  `json:"step"`
	Pass    float64 `json:"pass_packets_per_second"`
	Edit    float64 `json:"edit_packets_per_second"`
	Drop    float64 `json:"drop_packets_per_second"`
	Consume float64 `json:"consume_packets_per_second"`
}

// DropRate is what is dropped for a reason.
type DropRate struct {
	Reason  string  `json:"reason"`
	PPS     float64 `json:"packets_per_second"`
	Noise   float64 `json:"noise_packets_per_second"` // of them
	Packets uint64  `json:"packets"`                  // so far
}

// RouteRate is what goes by a route, or by one of its next hops.
type RouteRate struct {
	Prefix string  `json:"prefix"`
	Text   string  `json:"text"`
	PPS    float64 `json:"packets_per_second"`
	BPS    float64 `json:"bits_per_second"`
}

// maxBusyRoutes is how many routes a sample tells of.
const maxBusyRoutes = 100

// moment is all counters at once, or nearly so.
type moment struct {
	at     time.Time
	stats  *engine.Stats
	ports  map[string]*engine.PortStats
	routes *engine.RouteCounts
}

// moment reads them, for all who ask at the same time.
func (s *Server) moment(ctx context.Context) (*moment, error) {
	stats, err := s.counted(ctx)
	if err != nil {
		return nil, err
	}
	counts, err := s.routeCounts(ctx)
	if err != nil {
		return nil, err
	}
	m := &moment{at: stats.at, stats: stats.Stats, routes: counts, ports: map[string]*engine.PortStats{}}
	for i := range m.stats.Ports {
		m.ports[m.stats.Ports[i].Name] = &m.stats.Ports[i]
	}
	return m, nil
}

// since is what went on since an earlier moment.
func (m *moment) since(o *moment) *Rates {
	p := period(m.at.Sub(o.at).Seconds())
	return &Rates{
		Time: m.at, Seconds: float64(p),
		Ports: m.portRates(o, p), Steps: m.stepRates(o, p), Drops: m.dropRates(o, p), Routes: m.routeRates(o, p),
	}
}

// period is the seconds between two moments.
type period float64

// rate is how fast a counter grew. One that is lower than before began anew, with
// its port.
func (p period) rate(now, before uint64) float64 {
	if now < before {
		before = 0
	}
	return float64(now-before) / float64(p)
}

func (m *moment) portRates(o *moment, p period) []PortRate {
	list := []PortRate{}
	for _, now := range m.stats.Ports {
		was := o.ports[now.Name]
		if was == nil {
			was = &engine.PortStats{}
		}
		_, _, dropped := now.Received.Ended()
		_, _, droppedBefore := was.Received.Ended()
		list = append(list, PortRate{
			Port:  now.Name,
			RxPPS: p.rate(now.Received.Packets, was.Received.Packets), RxBPS: 8 * p.rate(now.Received.Bytes, was.Received.Bytes),
			TxPPS: p.rate(now.TxPackets, was.TxPackets), TxBPS: 8 * p.rate(now.TxBytes, was.TxBytes),
			Drops: p.rate(dropped, droppedBefore), Noise: p.rate(now.Received.AllNoise(), was.Received.AllNoise()), Lost: p.rate(now.Lost, was.Lost),
		})
	}
	slices.SortFunc(list, func(a, b PortRate) int {
		return cmp.Or(cmp.Compare(b.RxPPS+b.TxPPS, a.RxPPS+a.TxPPS), cmp.Compare(a.Port, b.Port))
	})
	return list
}

func (m *moment) stepRates(o *moment, p period) (list []StepRate) {
	for _, s := range forwarder.Steps() {
		now, was := &m.stats.Steps[s.Number()], &o.stats.Steps[s.Number()]
		of := func(k verdict.Kind) float64 { return p.rate(now[k], was[k]) }
		list = append(list, StepRate{s.String(), of(verdict.Pass), of(verdict.Edit), of(verdict.Drop), of(verdict.Consume)})
	}
	return list
}

func (m *moment) dropRates(o *moment, p period) []DropRate {
	list := []DropRate{}
	for _, r := range verdict.Reasons() {
		if n := m.stats.Drops[r]; n > 0 {
			list = append(list, DropRate{r.String(), p.rate(n, o.stats.Drops[r]), p.rate(m.stats.Noise[r], o.stats.Noise[r]), n})
		}
	}
	slices.SortFunc(list, func(a, b DropRate) int {
		return cmp.Or(cmp.Compare(b.PPS-b.Noise, a.PPS-a.Noise), cmp.Compare(b.PPS, a.PPS), cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}

// routeRates looks at the routes that packets took, however many there are besides.
func (m *moment) routeRates(o *moment, p period) []RouteRate {
	type growth struct {
		route *rib.Route
		RouteRate
	}
	busy := []growth{}
	cut := func() {
		slices.SortFunc(busy, func(a, b growth) int {
			return cmp.Or(cmp.Compare(b.PPS, a.PPS), a.route.Prefix.Compare(b.route.Prefix))
		})
		busy = busy[:min(len(busy), maxBusyRoutes)]
	}
	for now := range m.routes.All {
		was := o.routes.Of(now.Route)
		if now.Packets == was.Packets {
			continue
		}
		busy = append(busy, growth{now.Route, RouteRate{PPS: p.rate(now.Packets, was.Packets), BPS: 8 * p.rate(now.Bytes, was.Bytes)}})
		if len(busy) == 8*maxBusyRoutes {
			cut()
		}
	}
	cut()
	list := []RouteRate{}
	for _, b := range busy {
		b.Prefix, b.Text = b.route.Prefix.String(), b.route.String()
		list = append(list, b.RouteRate)
	}
	return list
}
