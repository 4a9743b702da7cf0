package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/vrouter/vrouter/internal/trace"
)

// Client speaks with the router at an address.
type Client struct {
	socket string // its path, or a URL
	base   string // of the URLs that are asked for
	http   http.Client
	tunnel *tunnel // to a socket on another host; nil: it is on this one
}

// unixBase is of the URLs by a socket: the name does not matter.
const unixBase = "http://vrouter"

// NewClient speaks with the router at a socket, or at an ssh:// address (Open). It connects
// when it is first asked something.
func NewClient(socket string) *Client {
	if strings.HasPrefix(socket, "ssh://") {
		if c, err := Open(socket, Files{}); err == nil {
			return c
		}
	}
	c := &Client{socket: socket, base: unixBase}
	c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, socket) }}
	return c
}

// dial waits for its turn where so many ask at once that the kernel's queue is full.
func dial(ctx context.Context, socket string) (net.Conn, error) {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, maxWait) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", socket)
		if !errors.Is(err, syscall.EAGAIN) {
			return conn, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// maxWait is the longest pause between two attempts to connect.
const maxWait = 640 * time.Millisecond

// Close ends idle connections.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	if c.tunnel != nil {
		c.tunnel.close()
	}
}

// Get asks for a path and decodes the answer into v.
func (c *Client) Get(ctx context.Context, path string, v any) error {
	body, err := c.open(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return decode(path, body, v)
}

// Post sends a request and decodes the answer into v.
func (c *Client) Post(ctx context.Context, path string, request, v any) error {
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	body, err := c.open(ctx, http.MethodPost, path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	return decode(path, body, v)
}

// ChangeRoutes sends a list of changes, which the router makes all or none of. If one
// of them is to blame, the error is a *Failure with its index. An error in the list ends it,
// and changes nothing.
func (c *Client) ChangeRoutes(ctx context.Context, list iter.Seq2[RouteChange, error]) (counts RouteCounts, err error) {
	r, w := io.Pipe()
	defer r.Close() // where the router has heard enough
	go func() { w.CloseWithError(writeList(w, list)) }()
	body, err := c.open(ctx, http.MethodPost, "/v1/routes", r)
	if err != nil {
		return counts, err
	}
	return counts, decode("/v1/routes", body, &counts)
}

// EachRoute asks for the routes, and hands them over as they arrive, until f returns
// false.
func (c *Client) EachRoute(ctx context.Context, f func(Route) bool) error {
	body, err := c.open(ctx, http.MethodGet, "/v1/routes", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	dec := json.NewDecoder(body)
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("the router's list of routes: %w", err)
	}
	for dec.More() {
		var r Route
		if err := dec.Decode(&r); err != nil {
			return fmt.Errorf("the router's list of routes: %w", err)
		}
		if !f(r) {
			return nil
		}
	}
	_, err = dec.Token() // the end: without it the list is not whole
	return err
}

// Delete asks for a path to be no more.
func (c *Client) Delete(ctx context.Context, path string) error {
	body, err := c.open(ctx, http.MethodDelete, path, nil)
	if err != nil {
		return err
	}
	return decode(path, body, &struct{}{})
}

func decode(path string, body io.ReadCloser, v any) error {
	defer body.Close()
	if err := json.NewDecoder(body).Decode(v); err != nil {
		return fmt.Errorf("the router's answer to %s: %w", path, err)
	}
	_, _ = io.Copy(io.Discard, body) // to its end, so that the connection can be used again
	return nil
}

func (c *Client) open(ctx context.Context, method, path string, request io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, request)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		f := &Failure{}
		if json.NewDecoder(resp.Body).Decode(f) != nil || f.Message == "" {
			f.Message = resp.Status
		}
		return nil, f
	}
	return resp.Body, nil
}

func (c *Client) explain(err error) error {
	switch {
	case c.tunnel != nil:
		return c.tunnel.explain(err)
	case c.base != unixBase:
		return explainTLS(c.socket, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no router answers at %s: start one (vrouter run --config FILE), or name its socket with --socket", c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission for %s: run as root, or as a member of the socket's group", c.socket)
	}
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) {
		return fmt.Errorf("the router at %s has stopped, or hung up: %w", c.socket, err)
	}
	return fmt.Errorf("asking the router at %s: %w", c.socket, err)
}

// Trace is a running trace.
type Trace struct {
	body io.ReadCloser
	scan *bufio.Scanner
}

// Trace starts one. When it returns, the router is listening.
func (c *Client) Trace(ctx context.Context, o TraceOptions) (*Trace, error) {
	body, err := c.open(ctx, http.MethodGet, "/v1/trace?"+o.query().Encode(), nil)
	if err != nil {
		return nil, err
	}
	scan := bufio.NewScanner(body)
	scan.Buffer(nil, 1<<20)
	return &Trace{body, scan}, nil
}

// Next waits for a packet. After the router has gone it returns io.EOF; if it has ended the trace, a
// *Failure.
func (t *Trace) Next() (*trace.Packet, error) {
	if !t.scan.Scan() {
		if err := t.scan.Err(); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	line := struct {
		trace.Packet
		Error string `json:"error"`
	}{}
	if err := json.Unmarshal(t.scan.Bytes(), &line); err != nil {
		return nil, fmt.Errorf("a record of the trace: %w", err)
	}
	if line.Error != "" {
		return nil, &Failure{Message: line.Error}
	}
	return &line.Packet, nil
}

// Close ends the trace.
func (t *Trace) Close() error { return t.body.Close() }
