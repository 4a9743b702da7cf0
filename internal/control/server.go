package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/host"
	"github.com/vrouter/vrouter/internal/node"
	"github.com/vrouter/vrouter/internal/share"
	"github.com/vrouter/vrouter/internal/trace"
)

// Server answers commands about one router.
type Server struct {
	node    *node.Node
	reload  func() ([]string, error)
	version Version
	listen  net.Listener
	http    http.Server
	remote  http.Server // of control.listen
	self    *selfListener
	stop    context.CancelFunc
	bulk    sync.Mutex // held by the one long list of routes that is being read

	lookBulk chan struct{} // has room for the one plan of those who only look

	looks    *share.Looks
	counters share.Gather[counters]
	counts   share.Gather[*engine.RouteCounts]
}

// counters are all that the router counts, and when they were read.
type counters struct {
	*engine.Stats
	at time.Time
}

// Listen takes the socket, or says who has it.
func Listen(socket string) (net.Listener, error) {
	if host.Listens(socket) {
		return nil, fmt.Errorf("control socket %s: another vrouter answers there; stop it, or give this one its own `control.socket`", socket)
	}
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return nil, fmt.Errorf("control socket %s: %w", socket, err)
	}
	if st, err := os.Lstat(socket); err == nil && st.Mode()&os.ModeSocket != 0 {
		os.Remove(socket) // left by one that was killed: nobody answers there
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", socket, err)
	}
	if err := os.Chmod(socket, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket %s: %w", socket, err)
	}
	return l, nil
}

const (
	// maxHeader is how long the head of a request may be, in bytes: a filter is in there.
	maxHeader = 256 << 10
	// patience is how long a client may take to send a request, to send the next one,
	// and to read any part of the answer. A trace may be read as slowly as one likes.
	patience = 10 * time.Second
)

// NewServer serves a node on a listener until Close.
// reload reads the configuration file again and applies it.
func NewServer(n *node.Node, reload func() ([]string, error), l net.Listener, v Version, looks *share.Looks, log *slog.Logger) *Server {
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{node: n, reload: reload, version: v, looks: looks, listen: l, self: newSelfListener(), stop: stop, lookBulk: make(chan struct{}, 1)}
	s.counters.Time, s.counters.Make = share.CountersTime, func(uint) counters { return counters{at: time.Now(), Stats: n.Router.Stats()} }
	s.counts.Time, s.counts.Make = share.CountersTime, func(uint) *engine.RouteCounts { return n.Router.RouteCounts() }
	s.http = http.Server{
		Handler:     caught(log, s.inTurn(guardChanges(s.routes(), mayChange))),
		ConnContext: withPeer, ConnState: share.State,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ReadTimeout: patience, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	s.remote = http.Server{
		Handler:     caught(log, s.inTurn(guardChanges(s.routes(), nobodyMayChange))),
		ConnContext: withPeer, ConnState: share.State,
		BaseContext: s.http.BaseContext, ReadTimeout: patience, MaxHeaderBytes: maxHeader, ErrorLog: s.http.ErrorLog,
	}
	return s
}

// caught tells of a fault of ours, to who asked and in the log: it ends that request alone.
func caught(log *slog.Logger, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			fault := recover()
			if fault == nil {
				return
			}
			if fault == http.ErrAbortHandler {
				panic(fault)
			}
			log.Error("a fault of the router in a request: please report it", "request", r.Method+" "+r.URL.Path, "fault", fault, "stack", string(debug.Stack()))
			fail(w, fmt.Errorf("%s: a fault of the router, of which its log tells more: %v", r.URL.Path, fault))
		}()
		h.ServeHTTP(w, r)
	})
}

// Serve answers until Close.
func (s *Server) Serve() error {
	go func() { _ = s.http.Serve(s.self) }()
	l, err := share.Listen(s.listen, share.Options{Peer: peerOf, Who: partyAt, Where: s.places, Refuse: refusal})
	if err != nil {
		return err
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends all answers, the traces that are running among them.
func (s *Server) Close() error {
	s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second/2)
	defer cancel()
	var errs []error
	for _, h := range []*http.Server{&s.http, &s.remote} {
		if h.Shutdown(ctx) != nil {
			errs = append(errs, h.Close())
		}
	}
	return errors.Join(errs...)
}

func (s *Server) routes() http.Handler {
	m := http.NewServeMux()
	do := func(pattern string, f func(*http.Request) (any, error)) {
		m.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { answer(w, r, f) })
	}
	counted := func(pattern string, f func(*engine.Stats) any) {
		do(pattern, func(r *http.Request) (any, error) {
			c, err := s.counted(r.Context())
			if err != nil {
				return nil, err
			}
			return f(c.Stats), nil
		})
	}
	listed := func(pattern string, f func(*node.Node) any) {
		do(pattern, func(r *http.Request) (v any, _ error) {
			share.Locked(r.Context(), func() { v = f(s.node) })
			return v, nil
		})
	}
	do("GET /v1/version", func(*http.Request) (any, error) {
		v := s.version
		v.Node, v.Addresses = s.node.Config().Node, append([]netip.Addr{}, s.node.Addresses()...)
		return v, nil
	})
	counted("GET /v1/ports", func(c *engine.Stats) any { return ports(c) })
	counted("GET /v1/paths", func(c *engine.Stats) any { return ways(c) })
	counted("GET /v1/workers", func(c *engine.Stats) any { return workers(c) })
	counted("GET /v1/tunnels", func(c *engine.Stats) any { return tunnels(c) })
	do("GET /v1/drops", s.drops)
	listed("GET /v1/neighbors", func(n *node.Node) any { return neighbors(n) })
	listed("GET /v1/held", func(n *node.Node) any { return held(n) })
	listed("GET /v1/workloads", func(n *node.Node) any { return workloads(n) })
	m.HandleFunc("GET /v1/packets", s.recorded)
	m.HandleFunc("GET /v1/packets/{id}", s.recorded)
	do("GET /v1/routes/{address}", s.lookup)
	m.HandleFunc("GET /v1/routes", s.listRoutes)
	m.HandleFunc("GET /v1/config", s.config)
	m.HandleFunc("GET /v1/trace", s.trace)
	m.HandleFunc("GET /v1/top", s.top)
	do("POST /v1/reload", func(*http.Request) (any, error) {
		waiting, err := s.reload()
		return Reloaded{append([]string{}, waiting...)}, err
	})
	do("GET /v1/stops", s.stops)
	do("POST /v1/stops", s.addStop)
	do("DELETE /v1/stops/{id}", s.deleteStop)
	do("POST /v1/explain", s.explain)
	m.HandleFunc("POST /v1/plan", s.plan)
	do("POST /v1/workloads", s.addWorkload)
	do("DELETE /v1/workloads/{name}", s.deleteWorkload)
	m.HandleFunc("POST /v1/routes", s.changeRoutes)
	m.HandleFunc("POST /v1/replay", s.replay)
	return m
}

func (s *Server) lookup(r *http.Request) (any, error) {
	a, err := netip.ParseAddr(r.PathValue("address"))
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return nil, badRequest{fmt.Errorf("route get: %q is no IP address; write one like 10.70.2.1 or fd00:70:2::1", r.PathValue("address"))}
	}
	counts, err := s.routeCounts(r.Context())
	if err != nil {
		return nil, err
	}
	var l Lookup
	share.Locked(r.Context(), func() { l = lookup(s.node, a, counts) })
	return l, nil
}

// counted are all counters, read after the call: at once for root, and for all others together.
func (s *Server) counted(ctx context.Context) (counters, error) {
	return gathered(ctx, &s.counters)
}

func (s *Server) routeCounts(ctx context.Context) (*engine.RouteCounts, error) {
	return gathered(ctx, &s.counts)
}

func gathered[T any](ctx context.Context, g *share.Gather[T]) (v T, err error) {
	if party(ctx) == share.Root && !share.InTurn(ctx) {
		return g.Make(0), nil
	}
	share.Wait(ctx, func() { v, err = g.Get(ctx, 0) })
	return v, err
}

func (s *Server) kept(ctx context.Context, last bool) (list []*trace.Record) {
	share.Locked(ctx, func() { list = s.node.Router.Trace().Kept(last) })
	return list
}

func (s *Server) drops(r *http.Request) (any, error) {
	c, err := s.counted(r.Context())
	if err != nil {
		return nil, err
	}
	return drops(c.Stats, s.kept(r.Context(), true)), nil
}

// recorded are the kept records of dropped packets, or of forwarded ones, or the one that is asked for.
func (s *Server) recorded(w http.ResponseWriter, r *http.Request) {
	list, id := s.kept(r.Context(), false), r.PathValue("id")
	if r.URL.Query().Has("forwarded") {
		share.Locked(r.Context(), func() { list = s.node.Router.Trace().Forwarded() })
	}
	if id != "" {
		list = slices.DeleteFunc(list, func(k *trace.Record) bool { return id != strconv.FormatUint(k.ID, 10) })
		if len(list) == 0 {
			fail(w, noRecord(id, r.URL.Query().Has("forwarded")))
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = writeList(patient(w), func(yield func(trace.Packet, error) bool) {
		for _, k := range list {
			p := k.View(s.node.Config().Node)
			if r.URL.Query().Has("frames") {
				k.AddFrames(&p)
			}
			if !yield(p, nil) {
				return
			}
		}
	})
}

func noRecord(id string, forwarded bool) error {
	if forwarded {
		return notFound{fmt.Errorf("no record of forwarded packet %q: one a second is kept of each way, the last %d of all; `vrouter show packets --forwarded` lists them", id, trace.MaxForwarded)}
	}
	return notFound{fmt.Errorf("no record of packet %q: one dropped packet a second is kept of each port and reason, the last %d of all; `vrouter show packets` lists them", id, trace.MaxKept)}
}

func (s *Server) explain(r *http.Request) (any, error) {
	var q Explain
	if err := DecodeBody(r.Body, &q); err != nil {
		return nil, err
	}
	var x *node.Explained
	var err error
	share.Locked(r.Context(), func() { x, err = s.explainAny(&q) })
	if err != nil {
		return nil, badRequest{fmt.Errorf("explain: %w", err)}
	}
	if !q.Frames {
		x.Sent = nil
		for i := range x.Packets {
			x.Packets[i].DropFrames()
		}
	}
	return Explanation{x.Packets, x.Why, x.Sent}, nil
}

func (s *Server) explainAny(q *Explain) (*node.Explained, error) {
	switch {
	case q.Captured == nil:
		return s.node.Explain(q.Packet)
	case q.Packet != "":
		return nil, errors.New("give `packet` or `captured`, not both")
	}
	return s.node.ExplainCaptured(q.Captured, q.In)
}
