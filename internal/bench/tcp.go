package main

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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

// dialer connects with Linux's own default of congestion control, whatever this
// machine's is: one that paces what it sends would be measured instead of the router.
var dialer = net.Dialer{
	Timeout: dialTimeout,
	Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) {
			err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
		}), err)
	},
}

// startTCP connects the streams by a family and sends on each as fast as it takes it.
func startTCP(b *bed, six bool, streams int) (*tcpFlow, error) {
	f := &tcpFlow{}
	from, to := b.sides[0], b.sides[1]
	var l net.Listener
	if err := to.guest.Do(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(to.of(six), 0).String())
		return err
	}); err != nil {
		return nil, err
	}
	defer l.Close()
	for range streams {
		var out net.Conn
		if err := from.guest.Do(func() (err error) {
			out, err = dialer.Dial("tcp", l.Addr().String())
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
func measureTCP(b *bed, six bool, streams int, d time.Duration) (r tcpResult, err error) {
	f, err := startTCP(b, six, streams)
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
