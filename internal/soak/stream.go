package soak

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"sync/atomic"
	"time"
)

const (
	block      = 256 << 10
	mostBlocks = 256 // of one transfer
	// stuck is how long a transfer may last: with a hundred others it is slow, not dead.
	stuck = 2 * time.Minute
)

// Streams is TCP in one direction: transfers of random length, one after the other,
// each on a connection of its own.
type Streams struct {
	Path
	Seed, Which uint64

	Bytes     atomic.Uint64
	Transfers atomic.Uint64 // that arrived whole
}

// Run transfers until ctx ends; the last one is finished. What arrives otherwise than
// it was sent is an error.
func (s *Streams) Run(ctx context.Context) error {
	var l net.Listener
	err := s.To.Do(func() (err error) {
		l, err = net.Listen("tcp4", net.JoinHostPort(s.Address.String(), "0"))
		return err
	})
	if err != nil {
		return err
	}
	defer l.Close()
	random := numbers(s.Seed, s.Which)
	for ctx.Err() == nil {
		if err := s.transfer(l, 1+random.IntN(mostBlocks), random.Uint64()); err != nil {
			return fmt.Errorf("transfer %d: %w", s.Transfers.Load(), err)
		}
		s.Transfers.Add(1)
	}
	return nil
}

func (s *Streams) transfer(l net.Listener, blocks int, seed uint64) error {
	var out net.Conn
	if err := s.From.Do(func() (err error) {
		out, err = net.DialTimeout("tcp4", l.Addr().String(), stuck)
		return err
	}); err != nil {
		return err
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		return err
	}
	defer in.Close()
	for _, c := range []net.Conn{in, out} {
		if err := c.SetDeadline(time.Now().Add(stuck)); err != nil {
			return err
		}
	}
	type end struct {
		hash uint32
		err  error
	}
	sent := make(chan end, 1)
	go func() {
		hash, err := send(out.(*net.TCPConn), blocks, seed)
		sent <- end{hash, err}
	}()
	hash := crc32.New(castagnoli)
	n, err := io.Copy(io.MultiWriter(hash, (*counter)(&s.Bytes)), in)
	was := <-sent
	switch {
	case err != nil:
		return err
	case was.err != nil:
		return was.err
	case n != int64(blocks)*block || hash.Sum32() != was.hash:
		return fmt.Errorf("%d bytes with hash %08x arrived, %d with %08x were sent", n, hash.Sum32(), blocks*block, was.hash)
	}
	return nil
}

// send writes blocks of the same random bytes, each with its number in front.
func send(c *net.TCPConn, blocks int, seed uint64) (hash uint32, err error) {
	b, random := make([]byte, block), numbers(seed, 0)
	for i := 0; i < block; i += 8 {
		binary.BigEndian.PutUint64(b[i:], random.Uint64())
	}
	for i := range blocks {
		binary.BigEndian.PutUint64(b, uint64(i))
		hash = crc32.Update(hash, castagnoli, b)
		if _, err := c.Write(b); err != nil {
			return hash, err
		}
	}
	return hash, c.CloseWrite()
}

// counter counts the bytes written to it.
type counter atomic.Uint64

func (c *counter) Write(b []byte) (int, error) {
	(*atomic.Uint64)(c).Add(uint64(len(b)))
	return len(b), nil
}
