package soak

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	burst         = 16                   // datagrams sent at once
	burstEvery    = 4 * time.Millisecond // on average
	receiveBuffer = 4 << 20
	headLen       = 12 // the datagram's number, and the checksum of it and of what follows
)

// Datagrams is a flow of UDP in one direction. It may be used for one run.
type Datagrams struct {
	Path
	Size        int // bytes of payload
	Seed, Which uint64

	Sent     atomic.Uint64 // taken by the kernel
	Received atomic.Uint64
	Corrupt  atomic.Uint64 // of those received: the checksum or the length is another one
	Behind   atomic.Uint64 // of those received: came after a later one, or a second time

	in, out *net.UDPConn
}

// Open makes the sockets, so that nothing comes to a closed port.
func (d *Datagrams) Open() error {
	err := d.To.Do(func() (err error) {
		d.in, err = net.ListenUDP("udp4", &net.UDPAddr{IP: d.Address.AsSlice()})
		return err
	})
	if err != nil {
		return err
	}
	if err := d.in.SetReadBuffer(receiveBuffer); err != nil {
		return err
	}
	return d.From.Do(func() (err error) {
		d.out, err = net.DialUDP("udp4", nil, d.in.LocalAddr().(*net.UDPAddr))
		return err
	})
}

// Close ends Receive.
func (d *Datagrams) Close() error { return errors.Join(d.in.Close(), d.out.Close()) }

// Send sends until ctx ends.
func (d *Datagrams) Send(ctx context.Context) error {
	conn, random := ipv4.NewPacketConn(d.out), numbers(d.Seed, d.Which)
	messages := make([]ipv4.Message, burst)
	for i := range messages {
		b := make([]byte, d.Size)
		for j := range b {
			b[j] = byte(random.Uint32())
		}
		messages[i].Buffers = [][]byte{b}
	}
	for next := uint64(0); pause(ctx, random, burstEvery); {
		for i := range messages {
			d.seal(messages[i].Buffers[0], next+uint64(i))
		}
		n, err := conn.WriteBatch(messages, 0)
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
		next += uint64(max(0, n))
		d.Sent.Store(next)
	}
	return nil
}

func (d *Datagrams) seal(b []byte, number uint64) {
	binary.BigEndian.PutUint64(b, number)
	binary.BigEndian.PutUint32(b[8:], d.sum(b))
}

// sum is over the flow and the datagram's number and data: one of another flow's is wrong here.
func (d *Datagrams) sum(b []byte) uint32 {
	return crc32.Update(crc32.Update(uint32(d.Which), castagnoli, b[:8]), castagnoli, b[headLen:])
}

// Receive judges what comes, until Close.
func (d *Datagrams) Receive() {
	conn, next := ipv4.NewPacketConn(d.in), uint64(0)
	messages := make([]ipv4.Message, 4*burst)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, d.Size+1)}
	}
	for {
		n, err := conn.ReadBatch(messages, 0)
		if err != nil {
			return
		}
		for _, m := range messages[:n] {
			next = d.judge(m.Buffers[0][:m.N], next)
		}
		d.Received.Add(uint64(n))
	}
}

// judge counts what is wrong with a datagram of which next is the lowest number that may
// come, and returns the next such.
func (d *Datagrams) judge(b []byte, next uint64) uint64 {
	if len(b) != d.Size || binary.BigEndian.Uint32(b[8:]) != d.sum(b) {
		d.Corrupt.Add(1)
		return next
	}
	number := binary.BigEndian.Uint64(b)
	if number < next {
		d.Behind.Add(1)
	}
	return max(next, number+1)
}
