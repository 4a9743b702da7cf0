package metrics

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"

	"github.com/vrouter/vrouter/internal/share"
)

// formats are those in which the metrics are had, by what a client accepts; each as it is, and packed.
var formats = []struct {
	kind   expfmt.FormatType
	accept string
}{
	{expfmt.TypeTextPlain, "text/plain;version=0.0.4"},
	{expfmt.TypeOpenMetrics, "application/openmetrics-text;version=1.0.0"},
	{expfmt.TypeProtoDelim, "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"},
}

// packed is the bit of a form beside its format: gzip.
const packed = 1

// pages are the metrics as they were at one moment, made once for all who ask at the same time.
type pages struct {
	gather share.Gather[map[int]*page]
}

// page is an answer in one form.
type page struct {
	header http.Header
	body   bytes.Buffer
	status int
}

func newPages(from prometheus.Gatherer) *pages {
	p := &pages{}
	p.gather.Time = share.ScrapeTime
	p.gather.Make = func(forms uint) map[int]*page {
		once := prometheus.GathererFunc(always(from.Gather()))
		handler, all := promhttp.HandlerFor(once, promhttp.HandlerOpts{EnableOpenMetrics: true}), map[int]*page{}
		for form := range 2 * len(formats) {
			if forms&(1<<form) != 0 {
				all[form] = &page{header: http.Header{}, status: http.StatusOK}
				handler.ServeHTTP(all[form], request(form))
			}
		}
		return all
	}
	return p
}

// always is a function that returns what another one has returned.
func always[T any](v T, err error) func() (T, error) { return func() (T, error) { return v, err } }

// form is what a client asks for.
func form(r *http.Request) (n int) {
	kind := expfmt.NegotiateAccept(r.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...).FormatType()
	for i, f := range formats {
		if f.kind == kind {
			n = 2 * i
		}
	}
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		n |= packed
	}
	return n
}

// request asks for a form.
func request(form int) *http.Request {
	r := &http.Request{Method: http.MethodGet, Header: http.Header{"Accept": {formats[form/2].accept}}}
	if form&packed != 0 {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	return r.WithContext(context.Background())
}

func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := form(r)
	all, err := p.gather.Get(r.Context(), 1<<n)
	if err != nil {
		return // the client has gone
	}
	answer := all[n]
	p.gather.Charge(answer.body.Len())
	for k, v := range answer.header {
		w.Header()[k] = v
	}
	// Until then the page, too, is kept in memory.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(share.ScrapeWrite))
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body.Bytes())
}

// page is an http.ResponseWriter.
func (p *page) Header() http.Header { return p.header }

func (p *page) WriteHeader(status int) { p.status = status }

func (p *page) Write(b []byte) (int, error) { return p.body.Write(b) }
