package web

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// served is a page that is served until the test ends.
func served(t *testing.T, o Options) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(l, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask sends a request, as it is changed, with the page's token.
func (s *Server) ask(t *testing.T, method, path, body string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.address()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	if change != nil {
		change(r)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// Whoever has not the token, or comes by another site, or by another name, is told nothing.
func TestWhoMaySeeThePage(t *testing.T) {
	s := served(t, Options{})
	_, port, _ := net.SplitHostPort(s.address())
	for name, c := range map[string]struct {
		method, path string
		change       func(*http.Request)
		want         int
	}{
		"the page":                    {"GET", "/v1/topology", nil, 200},
		"its files":                   {"GET", "/", func(r *http.Request) { r.Header.Del("Authorization") }, 200},
		"without a token":             {"GET", "/v1/topology", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"with another token":          {"GET", "/v1/topology", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+strings.Repeat("0", 32)) }, 401},
		"with the token in the query": {"GET", "/v1/topology?token=" + s.token, func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"by localhost":                {"GET", "/v1/topology", func(r *http.Request) { r.Host = "localhost:" + port }, 200},
		"by IPv6":                     {"GET", "/v1/topology", func(r *http.Request) { r.Host = "[::1]:" + port }, 200},
		"by a name (DNS rebinding)":   {"GET", "/v1/topology", func(r *http.Request) { r.Host = "evil.example:" + port }, 421},
		"files by a name":             {"GET", "/", func(r *http.Request) { r.Host = "evil.example:" + port }, 421},
		"by another address":          {"GET", "/v1/topology", func(r *http.Request) { r.Host = "192.0.2.1:" + port }, 421},
		"by another port":             {"GET", "/v1/topology", func(r *http.Request) { r.Host = "127.0.0.1:1" }, 421},
		"a wrong file":                {"POST", "/v1/read", nil, 400},
		"a file from another site":    {"POST", "/v1/read", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"a file of another origin":    {"POST", "/v1/read", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		"a deed without --write":      {"POST", "/v1/deeds", nil, 403},
		"undoing without --write":     {"DELETE", "/v1/deeds/1", nil, 403},
		"nothing of that name":        {"GET", "/v1/nothing", nil, 404},
	} {
		resp, text := s.ask(t, c.method, c.path, "{}", c.change)
		if resp.StatusCode != c.want {
			t.Errorf("%s: status %d, want %d: %s", name, resp.StatusCode, c.want, text)
		}
		if c.want == 401 && strings.Contains(text, s.token) {
			t.Errorf("%s: the answer has the token", name)
		}
		if c.want != 403 || c.path != "/v1/read" {
			for header, want := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';",
				"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			} {
				if got := resp.Header.Get(header); !strings.HasPrefix(got, want) {
					t.Errorf("%s: %s is %q", name, header, got)
				}
			}
			if strings.Contains(resp.Header.Get("Content-Security-Policy"), "unsafe") {
				t.Errorf("%s: something unsafe is allowed", name)
			}
		}
	}
}

func TestTokenIsInTheFragment(t *testing.T) {
	a, b := served(t, Options{}), served(t, Options{})
	if a.token == b.token || len(a.token) != 32 || a.URL() != fmt.Sprintf("http://%s/#token=%s", a.address(), a.token) {
		t.Errorf("%s, %s", a.URL(), b.URL())
	}
}

// Requests that are too long, or never end, are refused.
func TestLongRequests(t *testing.T) {
	s := served(t, Options{})
	r := httptest.NewRequest("POST", "http://"+s.address()+"/v1/read", strings.NewReader(strings.Repeat(" ", maxBody+1)))
	r.Header.Set("Authorization", "Bearer "+s.token)
	w := httptest.NewRecorder()
	if s.http.Handler.ServeHTTP(w, r); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of %d bytes: status %d: %s", maxBody+1, w.Code, w.Body)
	}
	long, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.address()+"/v1/filter?filter="+strings.Repeat("a", 2*maxHeader), nil)
	long.Header.Set("Authorization", "Bearer "+s.token)
	if resp, err := http.DefaultTransport.RoundTrip(long); err == nil { // else it is hung up on, while it still speaks
		if resp.Body.Close(); resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a head of %d bytes: status %d", 2*maxHeader, resp.StatusCode)
		}
	}
}

// What is no body of one JSON value, or has other fields, is refused with what to do.
func TestWrongBodies(t *testing.T) {
	s := served(t, Options{})
	for body, want := range map[string]string{
		"":                      "body: it ends too early: send JSON as a whole",
		"{":                     "body: it ends too early: send JSON as a whole",
		"x":                     "send JSON as docs/control-api.md has it",
		`{"packet": ["icmp"]}`:  "packet: a JSON array stands where string is expected",
		`{"paket": "icmp"}`:     "paket: there is no such field: leave it out",
		`{"packet": "icmp"} {}`: "body: it goes on after its end: send one JSON value",
		`{"packet": "` + strings.Repeat("a", 1<<20) + `"}`: "bytes that are read: send less at a time",
	} {
		r := httptest.NewRequest("POST", "http://"+s.address()+"/v1/explain", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+s.token)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		status := http.StatusBadRequest
		if len(body) > 1<<20 {
			status = http.StatusRequestEntityTooLarge
		}
		if s.http.Handler.ServeHTTP(w, r); w.Code != status || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%.40q: status %d: %s, want %d: %s", body, w.Code, w.Body, status, want)
		}
	}
}

// One more page than there may be is refused, and served when another one goes.
func TestStreamsOfPagesAreBounded(t *testing.T) {
	s := served(t, Options{})
	open := func() (*http.Response, context.CancelFunc) {
		ctx, cancel := context.WithCancel(t.Context())
		r, _ := http.NewRequestWithContext(ctx, "GET", "http://"+s.address()+"/v1/events", nil)
		r.Header.Set("Authorization", "Bearer "+s.token)
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp, func() { cancel(); resp.Body.Close() }
	}
	_, first := open()
	for range maxStreams - 1 {
		_, end := open()
		defer end()
	}
	if resp, end := open(); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("stream %d: status %d", maxStreams+1, resp.StatusCode)
	} else {
		end()
	}
	first()
	eventually(t, "a page that has gone makes room", func() bool {
		resp, end := open()
		end()
		return resp.StatusCode == http.StatusOK
	})
}
