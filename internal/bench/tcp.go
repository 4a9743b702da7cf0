package main

import (
	"net"
	"sync/atomic"
	"time"
)

const (
	writeSize   = 256 << 10 // bytes a write: few system calls
	readSize    = 256 << 10 // bytes a read takes at the most
	dialTimeout = 5 * time.Second
)

// tcpFlow is bulk data between the workloads, in some streams.
type tcpFlow struct {
	received atomic.Uint64 // bytes
	conns    []net.Conn
}

// startTCP connects the streams and sends on each as fast as it takes it.
func startTCP(b *bed, streams int) (*tcpFlow, error) {
	f := &tcpFlow{}
	from, to := b.sides[0], b.sides[1]
	var l net.Listener
	if err := to.guest.Do(func() (err error) {
		l, err = net.Listen("tcp4", net.JoinHostPort(to.address.Addr().String(), "0"))
		return err
	}); err != nil {
		return nil, err
	}
	defer l.Close()
	for range streams {
		var out net.Conn
		if err := from.guest.Do(func() (err error) {
			out, err = net.DialTimeout("tcp4", l.Addr().String(), dialTimeout)
			return err
		}); err != nil {
			f.close()
			return nil, err
		}
		f.conns = append(f.conns, out)
		in, err := l.Accept()
		if err != nil {
			f.close()
			return nil, err
		}
		f.conns = append(f.conns, in)
		go send(out)
		go f.read(in)
	}
	return f, nil
}

func (f *tcpFlow) close() {
	for _, c := range f.conns {
		c.Close()
	}
}

func send(c net.Conn) {
	for b := make([]byte, writeSize); ; {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// read takes what comes, as an application does.
func (f *tcpFlow) read(c net.Conn) {
	for b := make([]byte, readSize); ; {
		n, err := c.Read(b)
		f.received.Add(uint64(n))
		if err != nil {
			return
		}
	}
}

// tcpResult is one measurement.
type tcpResult struct{ bytes, seconds, cpu float64 }

// measureTCP looks at what arrives, once the streams have found their speed.
func measureTCP(b *bed, streams int, d time.Duration) (r tcpResult, err error) {
	f, err := startTCP(b, streams)
	if err != nil {
		return r, err
	}
	defer f.close()
	time.Sleep(d / 5)
	cpu, err := cpuSeconds(b.routers)
	if err != nil {
		return r, err
	}
	start, bytes := time.Now(), f.received.Load()
	time.Sleep(d)
	r.bytes, r.seconds = float64(f.received.Load()-bytes), time.Since(start).Seconds()
	end, err := cpuSeconds(b.routers)
	r.cpu = end - cpu
	return r, err
}
