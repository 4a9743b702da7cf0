package control

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/share"
)

// Remote is the address by which other hosts may look at this one. Both ends show a certificate.
type Remote struct {
	net.Listener
	files config.TLS
}

// ListenTLS takes the address.
func ListenTLS(c *config.Control) (*Remote, error) {
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("control.listen: %w; give another one, or leave it out", err)
	}
	return &Remote{l, c.TLS}, nil
}

// serverTLS reads the files, as for each connection, so that renewed ones count at once.
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
func (s *Server) ServeRemote(r *Remote) error {
	l, err := share.Listen(r.Listener, share.Options{Who: share.AtAddress, Where: func(share.Party) *share.Conns { return &s.looks.Strangers }})
	if err != nil {
		return err
	}
	g := &gate{Listener: l, files: r.files, looks: s.looks, in: make(chan net.Conn), closed: make(chan struct{})}
	go g.run()
	if err := s.remote.Serve(g); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// gate is where strangers show a certificate, and become guests.
type gate struct {
	*share.Listener
	files  config.TLS
	looks  *share.Looks
	in     chan net.Conn // guests
	closed chan struct{}
	once   sync.Once
}

// Accept returns the next guest.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case c := <-g.in:
		return c, nil
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

func (g *gate) Close() error {
	g.once.Do(func() { close(g.closed) })
	return g.Listener.Close()
}

// run has each stranger try.
func (g *gate) run() {
	for {
		c, err := g.Listener.Accept()
		switch {
		case err == nil:
			go g.try(c.(*share.Conn))
		case errors.Is(err, net.ErrClosed):
			return
		default: // there is no descriptor left, perhaps
			time.Sleep(share.StrangerTime / 100)
		}
	}
}

// try lets a stranger in who shows a right certificate in time.
func (g *gate) try(stranger *share.Conn) {
	guest, err := g.handshake(stranger)
	if err != nil || !stranger.Leave() {
		stranger.Close()
		return
	}
	c, err := g.looks.Guests.Admit(func() (net.Conn, error) { return guest, nil }, stranger.Party, time.Now())
	if err != nil {
		guest.Close()
		return
	}
	select {
	case g.in <- c:
	case <-g.closed:
		c.Close()
	}
}

// handshake costs as much as it takes a stranger little to ask for it: it has its turn among those who look.
func (g *gate) handshake(stranger *share.Conn) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), share.StrangerTime)
	defer cancel()
	_ = stranger.SetDeadline(time.Now().Add(share.StrangerTime))
	hello := &helloConn{Conn: stranger}
	guest := tls.Server(hello, &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			stranger.SetBusy(true)
			return serverTLS(&g.files)
		},
	})
	var err error
	if e := g.looks.Turns.Run(ctx, stranger.Party, func(ctx context.Context) {
		hello.ctx = ctx
		err = guest.HandshakeContext(ctx)
	}); e != nil {
		return nil, e
	}
	hello.ctx = context.Background()
	_ = stranger.SetDeadline(time.Time{})
	return guest, err
}

// helloConn is a connection whose turn ends while it waits for the other end.
type helloConn struct {
	net.Conn
	ctx context.Context
}

// NetConn is the connection below.
func (c *helloConn) NetConn() net.Conn { return c.Conn }

func (c *helloConn) Read(b []byte) (n int, err error) {
	share.Wait(c.ctx, func() { n, err = c.Conn.Read(b) })
	return n, err
}

var errFromElsewhere = errors.New("by control.listen one may look, and change nothing: change the router on its own host, by its socket")

func nobodyMayChange(context.Context) error { return errFromElsewhere }
