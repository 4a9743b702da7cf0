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
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"

	"github.com/vrouter/vrouter/internal/trace"
)

// Client speaks with the router at a socket.
type Client struct {
	socket string
	http   http.Client
}

// NewClient connects when it is first asked something.
func NewClient(socket string) *Client {
	c := &Client{socket: socket}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	c.http.Transport = &http.Transport{DialContext: dial}
	return c
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

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

func decode(path string, body io.ReadCloser, v any) error {
	defer body.Close()
	if err := json.NewDecoder(body).Decode(v); err != nil {
		return fmt.Errorf("the router's answer to %s: %w", path, err)
	}
	return nil
}

func (c *Client) open(ctx context.Context, method, path string, request io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://vrouter"+path, request)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		var e Error
		if json.NewDecoder(resp.Body).Decode(&e) != nil || e.Error == "" {
			e.Error = resp.Status
		}
		return nil, errors.New(e.Error)
	}
	return resp.Body, nil
}

func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no router answers at %s: start one (vrouter run --config FILE), or name its socket with --socket", c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission for %s: run as root, or as a member of the socket's group", c.socket)
	}
	return fmt.Errorf("asking the router at %s: %w", c.socket, err)
}

// TraceOptions are those of `vrouter trace`.
type TraceOptions struct {
	Filter string
	Outer  bool
	Drops  bool
	Every  uint64 // of the packets that match, one in so many; 0: all
}

// Trace is a running trace.
type Trace struct {
	body io.ReadCloser
	scan *bufio.Scanner
}

// Trace starts one. When it returns, the router is listening.
func (c *Client) Trace(ctx context.Context, o TraceOptions) (*Trace, error) {
	q := url.Values{"filter": {o.Filter}}
	if o.Outer {
		q.Set("outer", "")
	}
	if o.Drops {
		q.Set("drops", "")
	}
	if o.Every > 0 {
		q.Set("every", strconv.FormatUint(o.Every, 10))
	}
	body, err := c.open(ctx, http.MethodGet, "/v1/trace?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	scan := bufio.NewScanner(body)
	scan.Buffer(nil, 1<<20)
	return &Trace{body, scan}, nil
}

// Next waits for a packet. After the router has gone it returns io.EOF.
func (t *Trace) Next() (*trace.Packet, error) {
	if !t.scan.Scan() {
		if err := t.scan.Err(); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	p := &trace.Packet{}
	if err := json.Unmarshal(t.scan.Bytes(), p); err != nil {
		return nil, fmt.Errorf("a record of the trace: %w", err)
	}
	return p, nil
}

// Close ends the trace.
func (t *Trace) Close() error { return t.body.Close() }
