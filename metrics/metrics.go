// Package metrics reads the router's counters when Prometheus scrapes them. The
// packet path knows nothing of it.
//
// Collector and Server are of a running router, and for the program alone; to others Table says what families there are.
package metrics

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vrouter/vrouter/internal/trace"
)

// Metric describes one metric family: the documentation is generated from the table.
type Metric struct {
	Name   string
	Kind   string // counter, gauge, histogram
	Labels []string
	Help   string
	desc   *prometheus.Desc
}

func counter(name, help string, labels ...string) *Metric {
	return newMetric("counter", name, help, labels)
}
func gauge(name, help string, labels ...string) *Metric {
	return newMetric("gauge", name, help, labels)
}

var table []*Metric

func newMetric(kind, name, help string, labels []string) *Metric {
	m := &Metric{Name: "vrouter_" + name, Kind: kind, Labels: labels, Help: help}
	m.desc = prometheus.NewDesc(m.Name, help, labels, nil)
	table = append(table, m)
	return m
}

// Table lists every metric family, in the order of the documentation.
func Table() []*Metric { return table }

// String is the metric as one writes it: its name with its labels.
func (m *Metric) String() string {
	if len(m.Labels) == 0 {
		return m.Name
	}
	return fmt.Sprintf("%s{%s}", m.Name, strings.Join(m.Labels, ","))
}

func (m *Metric) value(ch chan<- prometheus.Metric, v float64, labels ...string) {
	ch <- m.constant(v, labels)
}

func (m *Metric) constant(v float64, labels []string) prometheus.Metric {
	t := prometheus.CounterValue
	if m.Kind == "gauge" {
		t = prometheus.GaugeValue
	}
	return prometheus.MustNewConstMetric(m.desc, t, v, labels...)
}

// valueLike is value with an exemplar: the number of a packet that was counted, and
// whose record is kept (OpenMetrics 1.0, "Exemplars").
func (m *Metric) valueLike(ch chan<- prometheus.Metric, r *trace.Record, v float64, labels ...string) {
	with, err := prometheus.NewMetricWithExemplars(m.constant(v, labels), prometheus.Exemplar{
		Value: 1, Labels: prometheus.Labels{"packet": strconv.FormatUint(r.ID, 10)}, Timestamp: time.Unix(0, r.Time),
	})
	if err != nil {
		with = prometheus.NewInvalidMetric(m.desc, err)
	}
	ch <- with
}

// Every metric family. Packets and bytes are counted as they are on the wire,
// bytes with their Ethernet header: an offloaded frame of 44 segments is 44 packets.
var (
	buildInfo = gauge("build_info", "The version of vrouter, and of the Go that built it; always 1.", "version", "goversion")
	portInfo  = gauge("port_info", "What a port is; always 1. The mac is the router's own.", "port", "kind", "interface", "mac", "mtu")

	portRxPackets = counter("port_receive_packets_total", "Packets read from a port.", "port")
	portRxBytes   = counter("port_receive_bytes_total", "Bytes read from a port, with Ethernet headers.", "port")
	portTxPackets = counter("port_transmit_packets_total", "Packets sent by a port, those that the router made among them.", "port")
	portTxBytes   = counter("port_transmit_bytes_total", "Bytes sent by a port, with Ethernet headers.", "port")
	portRxLost    = counter("port_receive_lost_packets_total", "Frames that the kernel dropped before the router could read them, or could not hand over: superframes that are neither TCP nor UDP.", "port")

	portTxLost = counter("port_transmit_lost_packets_total", "Packets that the slow lane has taken and could not write: the port was removed, or its device did not take them.", "port")
	portSlow   = gauge("port_slow", "1 while a workload's own stack takes so long over what is written to it that a thread of the lowest priority does that; else 0.", "port")
	portCost   = counter("port_worker_seconds_total", "Time of the workers that frames read from a port have cost: with what is made of them, and all writes.", "port")

	portRxErrors = counter("port_receive_errors_total", "Reads of a port that failed, and passed.", "port")

	workerFrames  = counter("worker_frames_total", "Frames that a worker has read; an offloaded one is one frame.", "worker")
	workerBatches = counter("worker_batches_total", "Batches in which a worker has read them.", "worker")
	workerSleeps  = counter("worker_sleeps_total", "How often a worker has gone to sleep for want of frames.", "worker")

	stepPackets = counter("step_packets_total", "Received packets by the verdict that a step of the path gave them; a packet is counted when its way ends.", "step", "verdict")
	dropPackets = counter("drop_packets_total", "Packets dropped, by the port they came in by and the reason. Exemplars have the number of a packet: `vrouter show packets NUMBER` shows it.", "port", "reason")

	lostPackets = counter("lost_packets_total", "Packets dropped that somebody had sent to this router: `vrouter_drop_packets_total` without the noise, which is what a link carries for others.", "reason")

	forwarded = counter("forwarded_packets_total", "Received packets that were sent on, as they are without an outer header.", "family")

	originated     = counter("originated_packets_total", "Packets that the router made itself.", "kind")
	originatedLost = counter("originated_drop_packets_total", "Packets that the router made itself and could not send.", "kind")
	arpRequests    = counter("arp_requests_received_total", "ARP requests by how they are answered; on the uplink the host's own stack answers for `own`. A `conflict` claims an address of the router, which defends it once in ten seconds.", "port", "answer")
	solicitations  = counter("nd_solicitations_received_total", "Neighbour solicitations by how they are answered, as ARP requests are.", "port", "answer")

	neighbors        = gauge("neighbors", "Neighbours by state.", "port", "state")
	neighborsWaiting = gauge("neighbor_waiting_packets", "Received packets that wait for a neighbour's hardware address.")
	fragmentsWaiting = gauge("reassembly_waiting_packets", "Fragments that wait for the rest of their datagram.")
	routes           = gauge("routes", "Routes by protocol.", "protocol")
	routeLookups     = counter("route_lookups_total", "Lookups of received packets: hit, miss, or a route that leads nowhere.", "result")

	tunnelTx          = counter("tunnel_transmit_packets_total", "Packets encapsulated to a peer.", "peer")
	tunnelRx          = counter("tunnel_receive_packets_total", "Packets of a peer that were decapsulated.", "peer")
	tunnelRefused     = counter("tunnel_errors_refused_total", "ICMP errors about a tunnel to a peer that were not believed: they quote no packet that was lately sent there, or came among too many that do not.", "peer")
	tunnelSuperframes = counter("tunnel_superframes_total", "Superframes that went into a tunnel to a peer, by where they are cut: by the kernel on their way out, or by the router, which takes much more time.", "peer", "cut")
	tunnelPathMTU     = gauge("tunnel_path_mtu_bytes", "The largest outer packet that the path to a peer carries; the inner one is 20 bytes less, 40 where the peer is an IPv6 address.", "peer")

	icmpSent       = counter("icmp_errors_sent_total", "ICMP errors sent.", "type", "code")
	icmpv6Sent     = counter("icmpv6_errors_sent_total", "ICMPv6 errors sent.", "type", "code")
	icmpSuppressed = counter("icmp_errors_suppressed_total", "ICMP errors that were not sent: about what none may be sent, or too many a second.", "reason")
	fragments      = counter("fragments_created_total", "Fragments that packets were cut into, by the port they leave by.", "port")
	reassemblies   = counter("reassemblies_total", "Datagrams for the router that came in fragments.", "result")

	stepDuration = newMetric("histogram", "step_duration_seconds", "How long a step takes, from one frame in 1,024 of each queue of a port.", []string{"step"})

	traceRecords   = counter("trace_records_total", "Packets recorded for a trace.")
	traceLost      = counter("trace_lost_records_total", "Records that a trace lost, as its reader fell behind, or too many packets waited.")
	traceListeners = gauge("trace_listeners", "Traces that run now.")
	repairs        = counter("host_repairs_total", "How often something that the router has on its host was made right again, as somebody else had changed it: guard, program (at the uplink, for superframes in tunnels), interface, routes (kernel.export).", "kind")
	imbalance      = gauge("accounting_imbalance_packets", "Received less forwarded, consumed and dropped, without what waits for a neighbour or for its other fragments: 0, always.")
)
