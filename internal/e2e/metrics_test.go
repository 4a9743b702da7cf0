package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/vrouter/vrouter/internal/workload"
)

const metricsAt = "127.0.0.1:9473"

// series are the values of a router's metrics, by name and labels.
type series map[string]float64

// scrape fetches the metrics over TCP from inside the host's namespace.
func scrape(t *testing.T, ns workload.Namespace) series {
	t.Helper()
	s, err := tryScrape(t, ns)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tryScrape is scrape where others may have all places.
func tryScrape(t *testing.T, ns workload.Namespace) (series, error) {
	t.Helper()
	resp := fetch(t, ns, "")
	defer resp.Body.Close()
	return parse(resp)
}

// fetch asks for the metrics in a format. The body is to be closed.
func fetch(t *testing.T, ns workload.Namespace, accept string) *http.Response {
	t.Helper()
	dial := func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = ns.Do(func() error {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	req, err := http.NewRequest(http.MethodGet, "http://"+metricsAt+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func parse(resp *http.Response) (series, error) {
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	s := series{}
	for name, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			// Of these three one is there; the others are 0.
			s[key(name, labels...)] = m.Counter.GetValue() + m.Gauge.GetValue() + float64(m.Histogram.GetSampleCount())
		}
	}
	return s, err
}

// key is a series by its name, without the usual prefix, and its labels.
func key(name string, labels ...string) string {
	slices.Sort(labels)
	return strings.TrimPrefix(name, "vrouter_") + "{" + strings.Join(labels, ",") + "}"
}

// since are the series that grew, and by how much.
func (s series) since(before series) series {
	grown := series{}
	for k, v := range s {
		if v != before[k] {
			grown[k] = v - before[k]
		}
	}
	return grown
}

// labels are those of one metric's series that contain all the words, sorted.
func (s series) labels(words ...string) []string {
	var found []string
	for k := range maps.Keys(s) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(k, w) }) {
			found = append(found, k)
		}
	}
	slices.Sort(found)
	return found
}

const (
	contractSteps    = "rx arp check decap nd rpf local route ttl mtu encap neigh tx"
	contractVerdicts = "pass edit drop consume"
	contractReasons  = `frame_too_short not_for_router unknown_ethertype arp_malformed arp_ignored ip_too_short
		ip_bad_version ip_bad_header_length ip_bad_length ip_bad_checksum l2_broadcast martian_source
		martian_destination link_local rpf_failed ttl_exceeded no_route blackhole unreachable prohibit
		mtu_exceeded neighbor_unresolved neighbor_queue_full ipip_unknown_peer ipip_bad_inner
		ipip_inner_ttl_zero ipip_ecn ipip_loop reassembly_timeout reassembly_limit local_unsupported
		tx_error tx_queue_full`
)

// zeros are the series of the documentation that a router shows at 0 before the
// first packet, each label with all its values.
func zeros(ports, peers string) []string {
	l := func(label, values string) [2]string { return [2]string{label, values} }
	port, peer := l("port", ports), l("peer", peers)
	return slices.Concat(
		product("port_receive_packets_total", port), product("port_receive_bytes_total", port),
		product("port_transmit_packets_total", port), product("port_transmit_bytes_total", port),
		product("port_receive_lost_packets_total", port), product("port_transmit_lost_packets_total", port), product("port_slow", port),
		product("step_packets_total", l("step", contractSteps), l("verdict", contractVerdicts)),
		product("drop_packets_total", port, l("reason", contractReasons)),
		product("lost_packets_total", l("reason", contractReasons)),
		product("originated_packets_total", l("kind", "arp_request arp_reply echo_reply icmp_error")),
		product("arp_requests_received_total", port, l("answer", "gateway proxy own ignored")),
		product("neighbors", port, l("state", "incomplete reachable stale probe failed")),
		product("route_lookups_total", l("result", "hit miss blackhole")),
		product("tunnel_transmit_packets_total", peer), product("tunnel_receive_packets_total", peer),
		product("tunnel_errors_refused_total", peer),
		product("icmp_errors_sent_total", l("type", "3"), l("code", "0 1 2 4 13")),
		product("icmp_errors_sent_total", l("type", "11"), l("code", "0 1")),
		product("icmp_errors_suppressed_total", l("reason", "icmp_error fragment broadcast source rate_limit")),
		product("fragments_created_total", port), product("reassemblies_total", l("result", "ok timeout limit")),
		product("neighbor_waiting_packets"), product("reassembly_waiting_packets"),
		product("step_duration_seconds", l("step", contractSteps)),
		product("trace_records_total"), product("trace_lost_records_total"), product("accounting_imbalance_packets"),
	)
}

// product is a metric's series with every combination of the labels' values.
func product(name string, labels ...[2]string) []string {
	combinations := [][]string{nil}
	for _, l := range labels {
		var more [][]string
		for _, c := range combinations {
			for value := range strings.FieldsSeq(l[1]) {
				more = append(more, append(slices.Clone(c), fmt.Sprintf("%s=%q", l[0], value)))
			}
		}
		combinations = more
	}
	var keys []string
	for _, c := range combinations {
		keys = append(keys, key(name, c...))
	}
	return keys
}

// A dashboard can be made before the first packet: every series is there.
func TestMetricsOfAFreshRouter(t *testing.T) {
	ns := newHost(t)
	config := withNamespace(string(newNamespace(t)))
	startRouter(t, ns, "/run/vrouter/vrouter.sock", config+"ipip: {mode: always}\nroutes: [{to: 10.70.2.1, via: 192.168.0.12}]\n")
	got := scrape(t, ns)
	for _, k := range zeros("ens160 w1", "192.168.0.12") {
		if v, ok := got[k]; !ok || v != 0 {
			t.Errorf("%s is %v, there: %v; want 0", k, v, ok)
		}
	}
	for _, words := range [][]string{
		{"build_info{", `goversion="go`, `version="`},
		{"port_info{", `interface="ens160"`, `kind="uplink"`, `mac="`, `mtu="1500"`, `port="ens160"`},
		{"port_info{", `interface="eth0"`, `kind="workload"`, `mac="ee:ee:ee:ee:ee:ee"`, `mtu="1480"`, `port="w1"`},
		{"neighbors{", `port="w1"`, `state="permanent"`},
		{"routes{", `protocol="static"`}, {"routes{", `protocol="workload"`}, {"routes{", `protocol="kernel"`},
		{"tunnel_path_mtu_bytes{", `peer="192.168.0.12"`},
	} {
		if found := got.labels(words...); len(found) != 1 || got[found[0]] == 0 {
			t.Errorf("series with %v: %v", words, found)
		}
	}
}
