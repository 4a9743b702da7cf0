package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/sketch"
	"github.com/vrouter/vrouter/internal/trace"
)

// fake is what a page asks of a router.
type fake struct {
	t      *testing.T
	socket string
	http   *http.Server

	quiet atomic.Bool // it answers nobody any more

	mu      sync.Mutex
	options []string // of the traces so far
	traces  map[chan trace.Packet]bool
	ids     uint64
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, socket: filepath.Join(t.TempDir(), "s"), traces: map[chan trace.Packet]bool{}}
	f.start()
	t.Cleanup(f.stop)
	return f
}

func (f *fake) start() {
	l, err := net.Listen("unix", f.socket)
	if err != nil {
		f.t.Fatal(err)
	}
	mux := http.NewServeMux()
	for path, v := range map[string]any{
		"/v1/version":   control.Version{Node: "a", Addresses: []netip.Addr{netip.MustParseAddr("192.168.0.11")}},
		"/v1/ports":     []control.Port{{Port: "ens160", Kind: "uplink", MAC: "02:00:00:00:00:01"}, {Port: "ns1", Kind: "workload", MAC: "ee:ee:ee:ee:ee:ee"}},
		"/v1/workloads": []control.Workload{{Name: "ns1", Addresses: []string{"10.70.1.1/24"}}},
		"/v1/routes":    []control.Route{{Prefix: "192.168.0.0/24", Type: "unicast", Dev: "ens160"}, {Prefix: "10.70.2.1/32", Type: "unicast", Via: "192.168.0.12", Dev: "ens160", Text: "…"}},
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) })
	}
	mux.HandleFunc("GET /v1/top", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil && !f.quiet.Load() {
			_ = json.NewEncoder(w).Encode(control.Rates{Host: "a", Ports: []control.PortRate{{Port: "ns1", RxPPS: 7}}, Drops: []control.DropRate{{Reason: "rpf_failed", PPS: 1, Packets: 3}, {Reason: "no_route", Packets: 2}}})
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(100 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
		<-r.Context().Done()
	})
	mux.HandleFunc("GET /v1/trace", f.trace)
	f.http = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.quiet.Load() {
			<-r.Context().Done()
			return
		}
		mux.ServeHTTP(w, r)
	})}
	go f.http.Serve(l)
}

func (f *fake) stop() { f.http.Close() }

func (f *fake) trace(w http.ResponseWriter, r *http.Request) {
	c := make(chan trace.Packet)
	f.mu.Lock()
	f.options = append(f.options, r.URL.Query().Encode())
	f.traces[c] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.traces, c)
		f.mu.Unlock()
	}()
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case p := <-c:
			if json.NewEncoder(w).Encode(p) != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// send records a packet, for all who trace.
func (f *fake) send(line string, change func(*trace.Packet)) {
	s, err := sketch.Parse(line)
	if err != nil {
		f.t.Fatal(err)
	}
	frame, err := s.Frame(packet.MAC{2, 0, 0, 0, 0, 9}, packet.MAC{2, 0, 0, 0, 0, 1})
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids++
	p := trace.Packet{
		ID: f.ids, Host: "a", Time: time.Now(), In: "ens160", Out: "ns1", Outcome: trace.Forwarded, Summary: line, Src: s.Src.String(), Dst: s.Dst.String(),
		Frame: &trace.Frame{Bytes: frame.Bytes(), Length: frame.Len}, Steps: []trace.Step{{Step: "rx", Verdict: "pass"}},
	}
	if change != nil {
		change(&p)
	}
	for c := range f.traces {
		select {
		case c <- p:
		case <-time.After(5 * time.Second):
			f.t.Error("nobody reads the trace")
		}
	}
}

func (f *fake) tracing() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.traces)
}

// pageOf is a page of a fake router.
func pageOf(t *testing.T, f *fake) *Server {
	c := control.NewClient(f.socket)
	t.Cleanup(c.Close)
	return served(t, Options{Title: "test", Kind: "hosts", Sources: []follow.Source{{Name: "a", Client: c}}})
}

// event is one that the page is told.
type event struct {
	id, name, data string
}

// events are what a page hears, by a channel that is closed at the end of the stream.
func (s *Server) hear(t *testing.T, filter, last string) (<-chan event, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.address()+"/v1/events?filter="+filter, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	c := make(chan event, 10000)
	go func() {
		defer close(c)
		defer resp.Body.Close()
		scan := bufio.NewScanner(resp.Body)
		scan.Buffer(nil, 1<<20)
		var e event
		for scan.Scan() {
			switch key, value, _ := strings.Cut(scan.Text(), ": "); key {
			case "id":
				e.id = value
			case "event":
				e.name = value
			case "data":
				e.data = value
			case "":
				if scan.Text() == "" {
					c <- e
					e = event{}
				}
			}
		}
	}()
	return c, cancel
}

// await is the next event of a name that says something.
func await(t *testing.T, c <-chan event, name, says string) event {
	t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		select {
		case e, ok := <-c:
			if !ok {
				t.Fatalf("the stream has ended before %s %q", name, says)
			}
			if e.name == name && strings.Contains(e.data, says) {
				return e
			}
		case <-deadline:
			t.Fatalf("no event %s that says %q", name, says)
		}
	}
}

// traced waits until the page listens.
func (f *fake) traced() {
	f.t.Helper()
	eventually(f.t, "somebody listens", func() bool { return f.tracing() > 0 })
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

func datagram(n int) string { return fmt.Sprintf("udp 10.70.2.1:%d > 10.70.1.1:53", 1000+n) }
