// Package web is the page: a picture of hosts with their workloads and cables, the packets as they
// come, and each one's way, for a browser. It is a view on what routers tell any client: rates, traces,
// dry runs. It changes nothing, unless it is made to do deeds in a lab.
package web

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/share"
)

// DefaultListen is where the page is, unless somebody says otherwise: on this machine alone.
const DefaultListen = "127.0.0.1:8470"

//go:embed all:page
var assets embed.FS

// Options of a page.
type Options struct {
	Title   string // of the picture
	Kind    string // lab, demo or hosts
	Version string
	Sources []follow.Source // the routers
	// Lab is that of the routers; nil: they are elsewhere. With Write, deeds are done in it.
	Lab   *lab.Lab
	Write bool
}

// Server serves the page.
type Server struct {
	Options
	token  string
	listen *net.TCPListener
	http   http.Server
	conns  share.Conns
	ctx    context.Context
	end    context.CancelFunc
	side   sync.WaitGroup

	state    *states
	streams  share.Places
	watches  watches
	deeds    *deeds
	beside   sync.Mutex    // held while a packet goes into the lab and its twin
	farewell chan struct{} // closed when the page ends
}

// Limits. docs/architecture.md has them.
const (
	maxConns   = 64
	maxStreams = 16
	maxHeader  = 16 << 10
	maxBody    = 4 << 20 // a way that was saved has some 20 KB for each host
	idleConn   = 2 * time.Minute
	sayTime    = 5 * time.Second  // in which the head of a request is to come
	bodyTime   = 10 * time.Second // and its body
	// readTime is how long a client may read nothing of a stream.
	readTime = 10 * time.Second
)

// New makes a page at an address that is listened to.
func New(l net.Listener, o Options) (*Server, error) {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("a page is served by TCP, not by a %T", l)
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	s := &Server{
		Options: o, token: hex.EncodeToString(secret), listen: tcp, farewell: make(chan struct{}),
		conns:   share.Conns{What: "connections", Each: maxConns, All: maxConns, Idle: time.Second / 2},
		streams: share.Places{What: "streams of events", Each: maxStreams, All: maxStreams},
	}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.state = newStates(s.Options)
	s.watches.server = s
	s.deeds = newDeeds(s)
	s.http = http.Server{
		Handler: s.guard(s.routes()), ReadHeaderTimeout: sayTime, IdleTimeout: idleConn, MaxHeaderBytes: maxHeader,
		ConnState: share.State, BaseContext: func(net.Listener) context.Context { return s.ctx },
	}
	return s, nil
}

// URL is what to open, with the token in its fragment, which no browser sends.
func (s *Server) URL() string { return "http://" + s.address() + "/#token=" + s.token }

// address is where a browser on this machine finds the page.
func (s *Server) address() string {
	at := s.listen.Addr().(*net.TCPAddr).AddrPort()
	if a := at.Addr().Unmap(); a.IsUnspecified() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port()).String()
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()).String()
}

// Loopback says whether nobody but this machine reaches the page.
func (s *Server) Loopback() bool {
	return s.listen.Addr().(*net.TCPAddr).AddrPort().Addr().Unmap().IsLoopback()
}

// Serve answers until the context ends; what deeds have done is then undone.
func (s *Server) Serve(ctx context.Context) error {
	places, err := share.Listen(s.listen, share.Options{Who: share.AtAddress, Where: func(share.Party) *share.Conns { return &s.conns }, Refuse: refusal})
	if err != nil {
		return err
	}
	s.side.Go(func() { s.state.run(s.ctx) })
	ended := make(chan error, 1)
	go func() { ended <- s.http.Serve(places) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	err = errors.Join(err, s.deeds.undoAll())
	close(s.farewell)
	last, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(last) != nil {
		s.http.Close()
	}
	s.end()
	s.side.Wait()
	return err
}

// refusal is what one is told who gets no connection.
func refusal(why error) string {
	return fmt.Sprintf("HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s\n", len(why.Error())+1, why)
}
