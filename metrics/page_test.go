package metrics

import (
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/vrouter/vrouter/internal/share"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// large is a metric whose answer has some megabytes, and that notes how often it was asked for.
type large struct {
	desc  *prometheus.Desc
	asked atomic.Int64
	wait  time.Duration
}

func newLarge() *large {
	return &large{desc: prometheus.NewDesc("vrouter_large", strings.Repeat("large ", 1<<19), nil, nil)}
}

func (l *large) Describe(ch chan<- *prometheus.Desc) { ch <- l.desc }

func (l *large) Collect(ch chan<- prometheus.Metric) {
	l.asked.Add(1)
	time.Sleep(l.wait)
	ch <- prometheus.MustNewConstMetric(l.desc, prometheus.GaugeValue, 7)
}

// serve serves it at a URL.
func serve(t *testing.T, l *large) string {
	t.Helper()
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := prometheus.NewRegistry()
	r.MustRegister(l)
	ended := make(chan error)
	go func() { ended <- s.serve(r, &share.New().Scrapers) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.listen.Addr().String() + "/metrics"
}

func ask(t *testing.T, url, accept, encoding string) (kind, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	r.Header.Set("Accept-Encoding", encoding)
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	from := io.Reader(resp.Body)
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if from, err = gzip.NewReader(resp.Body); err != nil {
			t.Fatal(err)
		}
		kind = "gzip "
	}
	b, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return kind + resp.Header.Get("Content-Type"), string(b)
}

// Each client has the metrics in the form that he accepts.
func TestForms(t *testing.T) {
	s := serve(t, newLarge())
	for _, c := range []struct{ accept, encoding, kind, end string }{
		{"", "", "text/plain; version=0.0.4", "vrouter_large 7\n"},
		{"*/*", "gzip, deflate", "gzip text/plain; version=0.0.4", "vrouter_large 7\n"},
		{"application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "gzip", "gzip application/openmetrics-text; version=1.0.0", "# EOF\n"},
		{"application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.5", "identity", "application/openmetrics-text; version=1.0.0", "# EOF\n"},
		{"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "", "application/vnd.google.protobuf", ""},
		{"text/html, */*;q=0.1", "", "text/plain; version=0.0.4", "vrouter_large 7\n"},
	} {
		kind, body := ask(t, s, c.accept, c.encoding)
		if !strings.HasPrefix(kind, c.kind) || !strings.HasSuffix(body, c.end) {
			t.Errorf("%q, %q: %q, ends in %q", c.accept, c.encoding, kind, body[max(0, len(body)-50):])
		}
	}
}

// Who asks at the same time has the same answer.
func TestScrapesAreShared(t *testing.T) {
	l := newLarge()
	l.wait = 200 * time.Millisecond
	s := serve(t, l)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { ask(t, s, "", "") })
	}
	all.Wait()
	if n := l.asked.Load(); n > 10 { // two, and more where some come late; 8 have a place at once
		t.Errorf("20 scrapes took %d rounds", n)
	}
}

// Who does not read is hung up on in time, and what he has not read is taken back; others are answered
// meanwhile.
func TestScrapeThatIsNotRead(t *testing.T) {
	s := serve(t, newLarge())
	var silent []net.Conn
	for range share.EachScrapers - 1 {
		c, err := net.Dial("tcp", strings.Split(s, "/")[2])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
		if _, err := io.WriteString(c, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n", 100)); err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	began := time.Now()
	if _, body := ask(t, s, "", ""); !strings.HasSuffix(body, "vrouter_large 7\n") {
		t.Error("another one gets no answer")
	}
	if took := time.Since(began); took > share.ScrapeWrite/2 {
		t.Errorf("another one waited %v", took)
	}
	time.Sleep(time.Until(began.Add(share.ScrapeWrite)))
	for _, c := range silent {
		_ = c.SetReadDeadline(time.Now().Add(share.ScrapeWrite))
		if n, err := io.Copy(io.Discard, c); err == nil || !strings.Contains(err.Error(), "reset") || n > 1<<20 {
			t.Errorf("%d bytes came, then %v", n, err)
		}
	}
}

// A client who goes while he waits costs no answer.
func TestScraperGoes(t *testing.T) {
	l := newLarge()
	l.wait = time.Second / 2
	s := serve(t, l)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second/10)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(r); err == nil {
		resp.Body.Close()
		t.Error("it was answered in no time")
	}
	http.DefaultClient.CloseIdleConnections()
	ask(t, s, "", "")
}
