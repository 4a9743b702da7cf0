package metrics

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

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
	return &Server{listen: l, http: http.Server{ReadHeaderTimeout: 5 * time.Second}}, nil
}

// Serve answers until Close.
func (s *Server) Serve(c *Collector) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.Registry(), promhttp.HandlerOpts{EnableOpenMetrics: true}))
	s.http.Handler = mux
	if err := s.http.Serve(s.listen); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
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
