//go:build prometheus

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
	"github.com/vrouter/vrouter/metrics"
)

// The examples that the tests are about.
const (
	prometheusExamples = "../../examples/prometheus/"
	dashboard          = "../../examples/grafana/vrouter.json"
)

// prometheusAt is where Prometheus listens, inside the first host.
const prometheusAt = "127.0.0.1:9090"

// prometheus is Debian's, running on a host of the lab, with the example's configuration.
type prometheus struct {
	*running
	http http.Client
}

func startPrometheus(t *testing.T, h host) *prometheus {
	t.Helper()
	dir := t.TempDir()
	config := read(t, prometheusExamples+"prometheus.yml")
	quick := strings.Replace(config, "scrape_interval: 15s", "scrape_interval: 200ms\n    scrape_timeout: 200ms", 1)
	if quick == config {
		t.Fatal("the example has no scrape_interval of 15s")
	}
	quick = "global: {evaluation_interval: 200ms}\n" + quick // of the alerts; 1m if not said
	for name, text := range map[string]string{"prometheus.yml": quick, "alerts.yml": read(t, prometheusExamples+"alerts.yml")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(tool(t, "prometheus"), "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+prometheusAt, "--enable-feature=exemplar-storage", "--log.level=warn")
	p := &prometheus{running: start(t, cmd, h.ns.Do)}
	p.http.Transport = &http.Transport{DialContext: dialIn(h.ns)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Prometheus says: %s", read(t, p.errors))
		}
	})
	return p
}

// tool finds a program of Debian's package prometheus.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("this test needs %s: apt-get install prometheus", name)
	}
	return path
}

func dialIn(ns workload.Namespace) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = ns.Do(func() error {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
}

// get asks Prometheus's HTTP API, and returns the data; an error is Prometheus's.
func (p *prometheus) get(path string, query url.Values, data any) error {
	resp, err := p.http.Get("http://" + prometheusAt + "/api/v1/" + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return fmt.Errorf("%w: %s", err, b)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// sample is one of a query's results, at one moment.
type sample struct {
	Metric map[string]string
	Value  [2]any // time, and the value as text
}

func (p *prometheus) query(expr string) (result []sample, err error) {
	var data struct{ Result []sample }
	err = p.get("query", url.Values{"query": {expr}}, &data)
	return data.Result, err
}

// wantValue waits until a query has one result, and that is as wanted.
func (p *prometheus) wantValue(t *testing.T, expr, want string) {
	t.Helper()
	var result []sample
	var err error
	defer func() {
		if t.Failed() {
			t.Logf("%s: %v, %v", expr, result, err)
		}
	}()
	eventually(t, expr+" is "+want, func() bool {
		result, err = p.query(expr)
		return err == nil && len(result) == 1 && result[0].Value[1] == want
	})
}

// prometheusLab is the lab of the tutorial with IP-in-IP, and metrics where the
// example's configuration looks for them.
func prometheusLab(t *testing.T) []host {
	t.Helper()
	text := strings.ReplaceAll(read(t, "../../examples/lab-ipip.yaml"), "    ipip:\n", "    metrics: {listen: '0.0.0.0:9473'}\n    ipip:\n")
	return labUp(t, text)
}

func TestPrometheus(t *testing.T) {
	hosts := prometheusLab(t)
	p := startPrometheus(t, hosts[0])
	p.wantValue(t, `sum(up{job="vrouter"})`, "2")
	p.wantValue(t, `count(vrouter_build_info)`, "2")
	for range 20 {
		wantEcho(t, hosts[0].ns1, there, 62)
	}
	const lost = "10.99.0.1"
	for range 3 {
		if ttl := echo(t, hosts[0].ns1, lost, 50*time.Millisecond); ttl != 0 {
			t.Fatalf("%s answers", lost)
		}
	}
	drops := decode[[]control.Drop](t, hosts[0].ask(t, "show", "drops", "no_route", "-o", "json").wantOK(t))
	if len(drops) != 1 || drops[0].Packets == 0 {
		t.Fatalf("drops %+v", drops)
	}
	p.wantValue(t, `max(vrouter_drop_packets_total{port="ns1",reason="no_route"})`, fmt.Sprint(drops[0].Packets))
	// So that some are sampled; last, as the queue of eth0 drops what it is too full for.
	in(t, hosts[0].ns1, func() error { return datagrams(there, 3000) })
	p.wantValue(t, `sum(abs(vrouter_accounting_imbalance_packets))`, "0")
	p.wantValue(t, `count(rate(vrouter_port_receive_packets_total[20s]) > 0)`, "4") // two ports on each of two hosts
	p.wantValue(t, `count(sum by (instance) (vrouter_neighbors{port="ens160",state="reachable"}) == 1)`, "2")
	p.wantValue(t, `count(histogram_quantile(0.99, sum by (le) (rate(vrouter_step_duration_seconds_bucket{step="route"}[20s]))) > 0)`, "1")
	p.wantValue(t, `min(vrouter_tunnel_path_mtu_bytes)`, "1500")

	t.Run("alerts", func(t *testing.T) { p.wantAlerts(t) })
	t.Run("exemplar", func(t *testing.T) { p.wantExemplar(t, hosts[0]) })
	t.Run("dashboard", func(t *testing.T) { p.wantDashboard(t) })
	t.Run("names", wantKnownNames)
	t.Run("promtool", func(t *testing.T) { wantCleanMetrics(t, hosts[0]) })
}

// wantAlerts wants the alerts of the example, none of them failing, none firing.
func (p *prometheus) wantAlerts(t *testing.T) {
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, State, LastError string }
		}
	}
	names := regexp.MustCompile(`(?m)- alert: (\w+)`).FindAllStringSubmatch(read(t, prometheusExamples+"alerts.yml"), -1)
	eventually(t, "the alerts are evaluated", func() bool {
		if err := p.get("rules", nil, &data); err != nil || len(data.Groups) != 1 || len(data.Groups[0].Rules) != len(names) {
			return false
		}
		for _, r := range data.Groups[0].Rules {
			if r.Health == "unknown" {
				return false
			}
		}
		return true
	})
	for _, r := range data.Groups[0].Rules {
		if r.Health != "ok" || r.State == "firing" {
			t.Errorf("alert %+v", r)
		}
	}
}

// wantExemplar follows a count of drops to a packet: an exemplar has its number.
func (p *prometheus) wantExemplar(t *testing.T, h host) {
	var data []struct {
		SeriesLabels map[string]string
		Exemplars    []struct{ Labels map[string]string }
	}
	query := url.Values{
		"query": {`vrouter_drop_packets_total{reason="no_route"}`},
		"start": {fmt.Sprint(time.Now().Add(-time.Minute).Unix())}, "end": {fmt.Sprint(time.Now().Add(time.Minute).Unix())},
	}
	eventually(t, "there is an exemplar of no_route", func() bool {
		return p.get("query_exemplars", query, &data) == nil && len(data) > 0 && len(data[0].Exemplars) > 0
	})
	out := h.ask(t, "show", "packets", data[0].Exemplars[0].Labels["packet"]).wantOK(t)
	if !strings.Contains(out, "no_route: no route contains 10.99.0.1") {
		t.Errorf("the packet of the exemplar %v is\n%s", data[0].Exemplars, out)
	}
}

// panels are those of the example's dashboard, with what each asks.
func panels(t *testing.T) (list []struct {
	Title   string
	Targets []struct{ Expr string }
}) {
	t.Helper()
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, dashboard)), &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		if len(p.Targets) > 0 {
			list = append(list, p)
		}
	}
	if len(list) < 20 {
		t.Fatalf("only %d panels", len(list))
	}
	return list
}

// wantDashboard wants that each panel shows something. Grafana's variables have
// the values that it gives them for "All".
func (p *prometheus) wantDashboard(t *testing.T) {
	fill := strings.NewReplacer("$job", ".+", "$instance", ".+", "$__rate_interval", "20s")
	for _, panel := range panels(t) {
		for _, target := range panel.Targets {
			var err error
			var result []sample
			eventually(t, fmt.Sprintf("panel %q shows something: %s", panel.Title, target.Expr), func() bool {
				result, err = p.query(fill.Replace(target.Expr))
				return err != nil || len(result) > 0
			})
			if err != nil {
				t.Errorf("panel %q: %v", panel.Title, err)
			}
		}
	}
}

// wantKnownNames holds the dashboard and the alerts to the metrics that there are.
func wantKnownNames(t *testing.T) {
	var known []string
	for _, m := range metrics.Table() {
		known = append(known, m.Name)
	}
	used := read(t, prometheusExamples+"alerts.yml") + read(t, dashboard)
	for _, n := range regexp.MustCompile(`\bvrouter_\w+`).FindAllString(used, -1) {
		if !slices.Contains(known, strings.TrimSuffix(n, "_bucket")) {
			t.Errorf("there is no metric %s", n)
		}
	}
}

// wantCleanMetrics has promtool look at what a router serves.
func wantCleanMetrics(t *testing.T, h host) {
	client := http.Client{Transport: &http.Transport{DialContext: dialIn(h.ns), DisableKeepAlives: true}}
	resp, err := client.Get("http://" + metricsAt + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	check := exec.Command(tool(t, "promtool"), "check", "metrics")
	check.Stdin = resp.Body
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
