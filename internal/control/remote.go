package control

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/net/netutil"

	"github.com/vrouter/vrouter/internal/config"
)

// maxRemote is how many connections of others are served at a time.
const maxRemote = 64

// ListenTLS takes the address by which other hosts may look at this one. Both ends show
// a certificate. The files are read for each connection, so that renewed ones count at
// once.
func ListenTLS(c *config.Control) (net.Listener, error) {
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("control.listen: %w; give another one, or leave it out", err)
	}
	files := c.TLS
	return tls.NewListener(netutil.LimitListener(l, maxRemote), &tls.Config{
		MinVersion:         tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return serverTLS(&files) },
	}), nil
}

func serverTLS(files *config.TLS) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, err
	}
	authority, err := readCA(files.CA)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: authority,
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}, nil
}

// ServeRemote answers those who come by ListenTLS, until Close. They may look, and
// change nothing.
func (s *Server) ServeRemote(l net.Listener) error {
	if err := s.remote.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

var errFromElsewhere = errors.New("by control.listen one may look, and change nothing: change the router on its own host, by its socket")

func nobodyMayChange(context.Context) error { return errFromElsewhere }
