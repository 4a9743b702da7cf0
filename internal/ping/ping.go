// Package ping sends ICMP echo requests through the kernel's own stack and prints
// what ping(8) prints, so that nothing need be installed to see a reply.
package ping

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
)

const dataLen = 56 // bytes, as ping(8) sends

// Options of a run.
type Options struct {
	To       netip.Addr
	Count    int
	Interval time.Duration // between one reply and the next request
	Timeout  time.Duration // to wait for a reply
	Data     int           // bytes; 0: 56, as ping(8) sends
	Whole    bool          // it may not be cut on its way: Don't Fragment
}

// Reply is one answer.
type Reply struct {
	Seq int
	TTL int
	RTT time.Duration
}

// Result is a whole run.
type Result struct {
	Sent    int
	Replies []Reply
}

// Run pings from the calling thread's network namespace, and prints as it goes.
func Run(ctx context.Context, w io.Writer, o Options) (*Result, error) {
	p, err := open(o.To)
	if err != nil {
		return nil, fmt.Errorf("ping: %w", err)
	}
	defer p.Close()
	if o.Data == 0 {
		o.Data = dataLen
	}
	if o.Whole {
		if err := p.keepWhole(o.To); err != nil {
			return nil, fmt.Errorf("ping: %w", err)
		}
	}
	if o.To.Is4() {
		fmt.Fprintf(w, "PING %s (%s) %d(%d) bytes of data.\n", o.To, o.To, o.Data, o.Data+28)
	} else {
		fmt.Fprintf(w, "PING %s(%s) %d data bytes\n", o.To, o.To, o.Data)
	}
	result, start := &Result{}, time.Now()
	for seq := 1; seq <= o.Count; seq++ {
		if seq > 1 {
			select {
			case <-time.After(o.Interval):
			case <-ctx.Done():
				return result, ctx.Err()
			}
		}
		result.Sent++
		r, err := once(p, o, seq)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return result, fmt.Errorf("ping: %w", err)
		}
		result.Replies = append(result.Replies, *r)
		fmt.Fprintf(w, "%d bytes from %s: icmp_seq=%d ttl=%d time=%.3f ms\n", o.Data+8, o.To, r.Seq, r.TTL, ms(r.RTT))
	}
	result.print(w, o.To, time.Since(start))
	return result, nil
}

// once sends one request and waits for its reply.
func once(p socket, o Options, seq int) (*Reply, error) {
	request := icmp.Message{Type: p.request, Body: &icmp.Echo{ID: p.id, Seq: seq, Data: make([]byte, o.Data)}}
	b, err := request.Marshal(nil)
	if err != nil {
		return nil, err
	}
	sent := time.Now()
	if _, err := p.WriteTo(b, &net.IPAddr{IP: o.To.AsSlice()}); err != nil {
		return nil, err
	}
	if err := p.SetReadDeadline(sent.Add(o.Timeout)); err != nil {
		return nil, err
	}
	buf := make([]byte, max(1500, o.Data+128))
	for {
		n, ttl, from, err := p.read(buf)
		if err != nil {
			return nil, err
		}
		m, err := icmp.ParseMessage(p.protocol, buf[:n])
		if err != nil || m.Type != p.reply {
			continue
		}
		if e, ok := m.Body.(*icmp.Echo); ok && e.ID == p.id && e.Seq == seq && from.String() == o.To.String() { // else late
			return &Reply{Seq: seq, TTL: ttl, RTT: time.Since(sent)}, nil
		}
	}
}

// print writes the statistics.
func (r *Result) print(w io.Writer, to netip.Addr, took time.Duration) {
	fmt.Fprintf(w, "\n--- %s ping statistics ---\n", to)
	loss := 100 * (r.Sent - len(r.Replies)) / max(1, r.Sent)
	fmt.Fprintf(w, "%d packets transmitted, %d received, %d%% packet loss, time %dms\n", r.Sent, len(r.Replies), loss, took.Milliseconds())
	if len(r.Replies) == 0 {
		return
	}
	least, most, sum := r.Replies[0].RTT, r.Replies[0].RTT, time.Duration(0)
	for _, x := range r.Replies {
		least, most, sum = min(least, x.RTT), max(most, x.RTT), sum+x.RTT
	}
	fmt.Fprintf(w, "rtt min/avg/max = %.3f/%.3f/%.3f ms\n", ms(least), ms(sum)/float64(len(r.Replies)), ms(most))
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
