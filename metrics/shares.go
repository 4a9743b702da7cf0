package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/vrouter/vrouter/internal/share"
	"github.com/vrouter/vrouter/internal/trace"
)

// What those who look take, and what they are refused.
var (
	lookConnections = gauge("look_connections", "Connections of those who may only look, by how they come: to the control socket, to control.listen with a certificate and before they have shown one, and to the metrics.", "by")
	lookWaiting     = gauge("look_waiting_connections", "Connections that wait for such a place, or on which nothing was said yet.", "by")
	lookRefused     = counter("look_refused_connections_total", "Connections that were refused, or had to make room for another one, as the party or all of them had their share.", "by")
	lookStreams     = gauge("look_streams", "Traces, tops, replays, plans and long lists of those who may only look.")
	lookStreamsNot  = counter("look_refused_streams_total", "Of them, those that were refused, as the party or all of them had their share.")
	lookSeconds     = counter("look_seconds_total", "Time of a processor that those who may only look have taken.")

	traceSkipped = counter("trace_skipped_packets_total", "Packets that a trace asked for and that were not recorded, as it had its share of records.")
	traceEnded   = counter("trace_ended_total", "Traces that were ended, as their filter took more than its share of the router's time.")
	traceBytes   = gauge("trace_ring_bytes", "Memory of the records that traces have not read yet.")
)

func collectLooks(ch chan<- prometheus.Metric, l *share.Looks, h *trace.Hub) {
	for by, c := range map[string]*share.Conns{"socket": &l.Lookers, "listen": &l.Guests, "listen_stranger": &l.Strangers, "metrics": &l.Scrapers} {
		lookConnections.value(ch, float64(c.Taken()), by)
		lookWaiting.value(ch, float64(c.Waiting()), by)
		lookRefused.value(ch, float64(c.Refused()), by)
	}
	lookStreams.value(ch, float64(l.Streams.Taken()))
	lookStreamsNot.value(ch, float64(l.Streams.Refused()))
	lookSeconds.value(ch, l.Turns.Used().Seconds())
	skipped, ended, bytes := h.Shares()
	traceSkipped.value(ch, float64(skipped))
	traceEnded.value(ch, float64(ended))
	traceBytes.value(ch, float64(bytes))
}
