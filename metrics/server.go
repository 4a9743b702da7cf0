package metrics

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vrouter/vrouter/internal/share"
)

// maxHeader is how long the head of a request may be, in bytes.
const maxHeader = 16 << 10

// Server serves the metrics over HTTP, at /metrics.
type Server struct {
	listen net.Listener
	http   http.Server
}

// Listen takes the address.
func Listen(address string) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w; give another `metrics.listen`, or \"\" for none", err)
	}
	return &Server{listen: l, http: http.Server{
		ReadTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader, ConnState: share.State,
	}}, nil
}

// Serve answers until Close.
func (s *Server) Serve(c *Collector) error { return s.serve(c.Registry(), &c.Looks.Scrapers) }

func (s *Server) serve(from prometheus.Gatherer, places *share.Conns) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", newPages(from))
	s.http.Handler = mux
	l, err := share.Listen(s.listen, share.Options{Who: share.AtAddress, Where: func(share.Party) *share.Conns { return places }, Refuse: refusal})
	if err != nil {
		return err
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// refusal is what one is told who gets no connection.
func refusal(why error) string {
	return fmt.Sprintf("HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s\n", len(why.Error())+1, why)
}

// Close ends serving.
func (s *Server) Close() error {
	return errors.Join(s.http.Close(), ignoreClosed(s.listen.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
