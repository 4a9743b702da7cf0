package soak

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

const (
	echoEvery = 2 * time.Millisecond // on average, after the reply
	echoWait  = time.Second
	echoMost  = 1400 // bytes of data
)

// Echoes is ICMP echo, one request at a time.
type Echoes struct {
	Path
	Seed, Which uint64

	Sent    atomic.Uint64
	Replies atomic.Uint64 // within echoWait
	Wrong   atomic.Uint64 // of these: with other data than the request
}

// Run asks until ctx ends.
func (e *Echoes) Run(ctx context.Context) error {
	var conn *icmp.PacketConn
	err := e.From.Do(func() (err error) {
		conn, err = icmp.ListenPacket("ip4:icmp", "0.0.0.0")
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	random := numbers(e.Seed, e.Which)
	for seq := 1; pause(ctx, random, echoEvery); seq++ {
		data := make([]byte, random.IntN(echoMost))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		body := icmp.Echo{ID: int(e.Which), Seq: seq & 0xffff, Data: data}
		b, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &body}).Marshal(nil)
		if err != nil {
			return err
		}
		if _, err := conn.WriteTo(b, &net.IPAddr{IP: e.Address.AsSlice()}); err != nil {
			return err
		}
		e.Sent.Add(1)
		if err := e.reply(conn, &body); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return nil
}

// reply waits for the reply to one request; those to earlier ones, that came too late,
// are passed over.
func (e *Echoes) reply(conn *icmp.PacketConn, asked *icmp.Echo) error {
	if err := conn.SetReadDeadline(time.Now().Add(echoWait)); err != nil {
		return err
	}
	for buf := make([]byte, 1<<16); ; {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		m, err := icmp.ParseMessage(1, buf[:n])
		if err != nil || m.Type != ipv4.ICMPTypeEchoReply {
			continue
		}
		if got, ok := m.Body.(*icmp.Echo); ok && got.ID == asked.ID && got.Seq == asked.Seq {
			e.Replies.Add(1)
			if !bytes.Equal(got.Data, asked.Data) {
				e.Wrong.Add(1)
			}
			return nil
		}
	}
}
