package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/workload"
)

// counters are the series of one host at one moment, by name and labels.
type counters map[string]float64

// scrapeAll reads the metrics of every host, as Prometheus would.
func scrapeAll(ctx context.Context, l *lab.Lab) ([]counters, error) {
	var all []counters
	for _, h := range l.Hosts {
		c, err := scrape(ctx, h)
		if err != nil {
			return nil, fmt.Errorf("metrics of %s: %w", h.Name, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// scrape fetches /metrics over TCP, from inside the host's namespace.
func scrape(ctx context.Context, h *lab.Host) (counters, error) {
	dial := func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = workload.Named(h.Namespace).Do(func() error {
			var d net.Dialer
			conn, err = d.DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.Metrics+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, err
	}
	c := counters{}
	for name, f := range families {
		for _, m := range f.Metric {
			if m.Counter == nil {
				continue
			}
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			if len(labels) > 0 {
				c[name+"{"+strings.Join(labels, ",")+"}"] = m.Counter.GetValue()
			} else {
				c[name] = m.Counter.GetValue()
			}
		}
	}
	return c, nil
}

// printMoved lists the router's counters that changed on any host.
func printMoved(w io.Writer, l *lab.Lab, before, after []counters) {
	fmt.Fprint(w, "\n── The counters that moved, as Prometheus scrapes them\n\n")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, h := range l.Hosts {
		fmt.Fprintf(tw, "%s\t", h.Name)
	}
	fmt.Fprintln(tw)
	for _, series := range moved(before, after) {
		for i := range after {
			fmt.Fprintf(tw, "+%.0f\t", after[i][series]-before[i][series])
		}
		fmt.Fprintln(tw, series)
	}
	tw.Flush()
}

func moved(before, after []counters) []string {
	var names []string
	for i := range after {
		for series, v := range after[i] {
			if strings.HasPrefix(series, "vrouter_") && v != before[i][series] && !slices.Contains(names, series) {
				names = append(names, series)
			}
		}
	}
	slices.Sort(names)
	return names
}
