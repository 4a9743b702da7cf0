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
	"golang.org/x/net/ipv4"
)

const dataLen = 56 // bytes, as ping(8) sends

// Options of a run.
type Options struct {
	To       netip.Addr
	Count    int
	Interval time.Duration // between one reply and the next request
	Timeout  time.Duration // to wait for a reply
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
	conn, err := net.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		return nil, fmt.Errorf("ping: %w (run as root, or with CAP_NET_RAW)", err)
	}
	defer conn.Close()
	p := ipv4.NewPacketConn(conn)
	if err := p.SetControlMessage(ipv4.FlagTTL, true); err != nil {
		return nil, fmt.Errorf("ping: %w", err)
	}
	fmt.Fprintf(w, "PING %s (%s) %d(%d) bytes of data.\n", o.To, o.To, dataLen, dataLen+28)
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
		fmt.Fprintf(w, "%d bytes from %s: icmp_seq=%d ttl=%d time=%.3f ms\n", dataLen+8, o.To, r.Seq, r.TTL, ms(r.RTT))
	}
	result.print(w, o.To, time.Since(start))
	return result, nil
}

// once sends one request and waits for its reply.
func once(p *ipv4.PacketConn, o Options, seq int) (*Reply, error) {
	id := os.Getpid() & 0xffff
	request := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: seq, Data: make([]byte, dataLen)}}
	b, err := request.Marshal(nil)
	if err != nil {
		return nil, err
	}
	sent := time.Now()
	if _, err := p.WriteTo(b, nil, &net.IPAddr{IP: o.To.AsSlice()}); err != nil {
		return nil, err
	}
	if err := p.SetReadDeadline(sent.Add(o.Timeout)); err != nil {
		return nil, err
	}
	buf := make([]byte, 1500)
	for {
		n, cm, from, err := p.ReadFrom(buf)
		if err != nil {
			return nil, err
		}
		m, err := icmp.ParseMessage(1, buf[:n])
		if err != nil || m.Type != ipv4.ICMPTypeEchoReply {
			continue
		}
		if e, ok := m.Body.(*icmp.Echo); ok && e.ID == id && e.Seq == seq && from.String() == o.To.String() { // else late, to an earlier run of this process
			return &Reply{Seq: seq, TTL: cm.TTL, RTT: time.Since(sent)}, nil
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
