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
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/vrouter/vrouter/internal/node"
	"github.com/vrouter/vrouter/internal/trace"
)

// Server answers commands about one router.
type Server struct {
	node    *node.Node
	reload  func() error
	version Version
	listen  net.Listener
	http    http.Server
	remote  http.Server // of control.listen
	stop    context.CancelFunc
	bulk    sync.Mutex // held by the one long list of routes that is being read
}

// Listen takes the socket, or says who has it.
func Listen(socket string) (net.Listener, error) {
	if c, err := net.DialTimeout("unix", socket, time.Second); err == nil {
		c.Close()
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
	// maxConnections is how many are served at a time; others wait in the kernel's
	// queue, so that the router never runs out of descriptors for its ports.
	maxConnections = 512
	// patience is how long a client may take to send a request, to send the next one,
	// and to read any part of the answer. A trace may be read as slowly as one likes.
	patience = 10 * time.Second
)

// NewServer serves a node on a listener until Close.
// reload reads the configuration file again and applies it.
func NewServer(n *node.Node, reload func() error, l net.Listener, v Version, log *slog.Logger) *Server {
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{node: n, reload: reload, version: v, listen: netutil.LimitListener(identifying{l}, maxConnections), stop: stop}
	s.http = http.Server{
		Handler:     guardChanges(s.routes(), mayChange),
		ConnContext: withPeer,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ReadTimeout: patience,
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	s.remote = http.Server{
		Handler:     guardChanges(s.routes(), nobodyMayChange),
		BaseContext: s.http.BaseContext, ReadTimeout: patience, ErrorLog: s.http.ErrorLog,
	}
	return s
}

// Serve answers until Close.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listen); !errors.Is(err, http.ErrServerClosed) {
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
	do("GET /v1/version", func(*http.Request) (any, error) { return s.version, nil })
	do("GET /v1/ports", func(*http.Request) (any, error) { return ports(s.node), nil })
	do("GET /v1/drops", func(*http.Request) (any, error) { return drops(s.node), nil })
	do("GET /v1/paths", func(*http.Request) (any, error) { return ways(s.node), nil })
	do("GET /v1/packets", s.recorded)
	do("GET /v1/packets/{id}", s.recorded)
	do("GET /v1/neighbors", func(*http.Request) (any, error) { return neighbors(s.node), nil })
	do("GET /v1/held", func(*http.Request) (any, error) { return held(s.node), nil })
	do("GET /v1/workers", func(*http.Request) (any, error) { return workers(s.node), nil })
	do("GET /v1/tunnels", func(*http.Request) (any, error) { return tunnels(s.node), nil })
	do("GET /v1/workloads", func(*http.Request) (any, error) { return workloads(s.node), nil })
	do("GET /v1/routes/{address}", s.lookup)
	m.HandleFunc("GET /v1/routes", s.listRoutes)
	m.HandleFunc("GET /v1/config", s.config)
	m.HandleFunc("GET /v1/trace", s.trace)
	m.HandleFunc("GET /v1/top", s.top)
	do("POST /v1/reload", func(*http.Request) (any, error) { return struct{}{}, s.reload() })
	do("POST /v1/explain", s.explain)
	do("POST /v1/workloads", s.addWorkload)
	do("DELETE /v1/workloads/{name}", s.deleteWorkload)
	m.HandleFunc("POST /v1/routes", s.changeRoutes)
	m.HandleFunc("POST /v1/replay", s.replay)
	return m
}

func (s *Server) lookup(r *http.Request) (any, error) {
	a, err := netip.ParseAddr(r.PathValue("address"))
	if err != nil || !a.Is4() {
		return nil, badRequest{fmt.Errorf("route get: %q is no IPv4 address; write one like 10.70.2.1", r.PathValue("address"))}
	}
	return lookup(s.node, a), nil
}

// recorded are the kept records of dropped packets, or the one that is asked for.
func (s *Server) recorded(r *http.Request) (any, error) {
	list := []trace.Packet{}
	for _, k := range s.node.Router.Trace().Kept(false) {
		if id := r.PathValue("id"); id != "" && id != strconv.FormatUint(k.ID, 10) {
			continue
		}
		p := k.View(s.node.Config().Node)
		if r.URL.Query().Has("frames") {
			k.AddFrames(&p)
		}
		list = append(list, p)
	}
	if id := r.PathValue("id"); id != "" && len(list) == 0 {
		return nil, noRecord(id)
	}
	return list, nil
}

func noRecord(id string) error {
	return notFound{fmt.Errorf("no record of packet %q: one dropped packet a second is kept of each port and reason, the last %d of all; `vrouter show packets` lists them", id, trace.MaxKept)}
}

func (s *Server) explain(r *http.Request) (any, error) {
	var q Explain
	if err := decodeBody(r.Body, &q); err != nil {
		return nil, err
	}
	packets, why, err := s.explainAny(&q)
	if err != nil {
		return nil, badRequest{fmt.Errorf("explain: %w", err)}
	}
	return Explanation{packets, why}, nil
}

func (s *Server) explainAny(q *Explain) (packets []trace.Packet, why []string, err error) {
	switch {
	case q.Captured == nil:
		return s.node.Explain(q.Packet)
	case q.Packet != "":
		return nil, nil, errors.New("give `packet` or `captured`, not both")
	}
	return s.node.ExplainCaptured(q.Captured, q.In)
}
