package ping

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// maxHops is how far a traceroute looks.
const maxHops = 30

// Traceroute finds the routers on the way, as traceroute(8) does with -I, from the calling thread's network namespace: echo
// requests that live for one hop, for two, and so on, until the last one is answered. It prints as it goes.
func Traceroute(ctx context.Context, w io.Writer, o Options) error {
	p, err := open(o.To)
	if err != nil {
		return fmt.Errorf("traceroute: %w", err)
	}
	defer p.Close()
	fmt.Fprintf(w, "traceroute to %s, %d hops max\n", o.To, maxHops)
	for hops := 1; hops <= maxHops && ctx.Err() == nil; hops++ {
		if err := p.setHops(o, hops); err != nil {
			return fmt.Errorf("traceroute: %w", err)
		}
		from, last, took, err := p.probe(o, hops)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			fmt.Fprintf(w, "%2d  *\n", hops)
			continue
		}
		if err != nil {
			return fmt.Errorf("traceroute: %w", err)
		}
		fmt.Fprintf(w, "%2d  %s  %.3f ms%s\n", hops, from, ms(took), last.mark())
		if last != onTheWay {
			return nil
		}
	}
	return ctx.Err()
}

// ending says whether an answer comes from the end.
type ending uint8

const (
	onTheWay ending = iota
	arrived
	unreachable
)

func (e ending) mark() string {
	if e == unreachable {
		return "  unreachable"
	}
	return ""
}

func (p *socket) setHops(o Options, hops int) error {
	if o.To.Is4() {
		return ipv4.NewPacketConn(p.PacketConn).SetTTL(hops)
	}
	return ipv6.NewPacketConn(p.PacketConn).SetHopLimit(hops)
}

// probe sends one request, and waits for what is said of it.
func (p *socket) probe(o Options, seq int) (from net.Addr, e ending, took time.Duration, err error) {
	b, err := (&icmp.Message{Type: p.request, Body: &icmp.Echo{ID: p.id, Seq: seq, Data: make([]byte, dataLen)}}).Marshal(nil)
	if err != nil {
		return nil, e, 0, err
	}
	sent := time.Now()
	if _, err := p.WriteTo(b, &net.IPAddr{IP: o.To.AsSlice()}); err != nil {
		return nil, e, 0, err
	}
	if err := p.SetReadDeadline(sent.Add(o.Timeout)); err != nil {
		return nil, e, 0, err
	}
	buf := make([]byte, 1500)
	for {
		n, _, from, err := p.read(buf)
		if err != nil {
			return nil, e, 0, err
		}
		m, err := icmp.ParseMessage(p.protocol, buf[:n])
		if err != nil {
			continue
		}
		ours := false
		switch body := m.Body.(type) {
		case *icmp.Echo:
			ours, e = m.Type == p.reply && body.ID == p.id && body.Seq == seq && from.String() == o.To.String(), arrived
		case *icmp.TimeExceeded:
			ours, e = quotes(body.Data, o, p.id, seq), onTheWay
		case *icmp.DstUnreach:
			ours, e = quotes(body.Data, o, p.id, seq), unreachable
		}
		if ours {
			return from, e, time.Since(sent), nil
		}
	}
}

// quotes says whether an error is about one of our requests.
func quotes(b []byte, o Options, id, seq int) bool {
	header := 40
	if o.To.Is4() && len(b) > 0 {
		header = int(b[0]&15) * 4
	}
	if len(b) < header+8 {
		return false
	}
	echo := b[header:]
	return int(binary.BigEndian.Uint16(echo[4:])) == id && int(binary.BigEndian.Uint16(echo[6:])) == seq
}
