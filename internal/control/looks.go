package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/vrouter/vrouter/internal/share"
)

// streams are the calls that may take as long as the client likes, or that hold much memory.
var streams = map[string]bool{
	"/v1/trace": true, "/v1/top": true, "/v1/replay": true, "/v1/explain": true, "/v1/routes": true, "/v1/config": true, "/v1/plan": true,
}

// endless are those of them that keep a processor busy all the while, so that root, too, takes his turn.
var endless = map[string]bool{"/v1/trace": true, "/v1/top": true, "/v1/replay": true}

// places are where those who come by the socket find one.
func (s *Server) places(who share.Party) *share.Conns {
	if who == share.Root {
		return &s.looks.Root
	}
	return &s.looks.Lookers
}

// partyAt is who is at the other end of a connection.
func partyAt(a net.Addr) share.Party {
	switch p, ok := a.(peer); {
	case !ok:
		return share.AtAddress(a)
	case p.root():
		return share.Root
	default:
		return share.Party(p.String())
	}
}

// party is who asks.
func party(ctx context.Context) share.Party {
	a, _ := ctx.Value(peerKey{}).(net.Addr)
	if a == nil {
		return "nobody"
	}
	return partyAt(a)
}

// inTurn has those who may only look take turns, and have no more than their share.
func (s *Server) inTurn(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := party(r.Context())
		if who == share.Root && !endless[r.URL.Path] {
			h.ServeHTTP(w, r)
			return
		}
		// Without a turn the client has gone.
		_ = s.looks.Turns.Run(r.Context(), who, func(ctx context.Context) {
			tw := turnWriter{w, ctx}
			if streams[r.URL.Path] {
				if err := s.looks.Streams.Take(who); err != nil {
					fail(tw, unavailable{err})
					return
				}
				defer s.looks.Streams.Leave(who)
			}
			r = r.WithContext(ctx)
			r.Body = turnBody{r.Body, ctx}
			h.ServeHTTP(tw, r)
		})
	})
}

// turnWriter waits for the client outside of the turn.
type turnWriter struct {
	http.ResponseWriter
	ctx context.Context
}

func (t turnWriter) Write(b []byte) (n int, err error) {
	share.Wait(t.ctx, func() { n, err = t.ResponseWriter.Write(b) })
	return n, err
}

// FlushError is what an http.ResponseController calls, as it does Unwrap.
func (t turnWriter) FlushError() (err error) {
	share.Wait(t.ctx, func() { err = http.NewResponseController(t.ResponseWriter).Flush() })
	return err
}

func (t turnWriter) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// turnBody is the same for what the client sends.
type turnBody struct {
	io.ReadCloser
	ctx context.Context
}

func (t turnBody) Read(b []byte) (n int, err error) {
	share.Wait(t.ctx, func() { n, err = t.ReadCloser.Read(b) })
	return n, err
}

// unavailable is an error about a share that is used up.
type unavailable struct{ error }

// refusal is what one is told who gets no connection.
func refusal(why error) string {
	b, _ := json.Marshal(Failure{Message: why.Error()})
	return fmt.Sprintf("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
}

// selfListener is how the router asks itself: by a way that nobody else is on.
type selfListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newSelfListener() *selfListener {
	return &selfListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *selfListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *selfListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *selfListener) Addr() net.Addr { return ownPeer() }

// ownConn is a connection of the router's to itself.
type ownConn struct{ net.Conn }

func (ownConn) RemoteAddr() net.Addr { return ownPeer() }

func ownPeer() peer { return peer{uint32(os.Geteuid())} }

func (l *selfListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- ownConn{far}:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Self is a client for the router itself, whom nobody who looks keeps waiting.
func (s *Server) Self() *Client {
	c := &Client{socket: "itself", base: unixBase}
	c.http.Transport = &http.Transport{DialContext: s.self.dial}
	return c
}
