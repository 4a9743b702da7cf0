package main

import (
	"errors"
	"runtime"
	"sync"
	"time"
)

const (
	allowed     = 0.001 // share that may be lost
	reached     = 0.95  // share of the wanted rate that has to be sent
	tries       = 2     // of a rate
	steps       = 8     // of the bisection
	mostSenders = 4
)

// udpLoad is flows of datagrams at the same time. Where the kernel is the router it forwards small ones in their sender's system
// call: one sender is one processor, and there it would be the sender that is measured. So there are as many as processors. Messages of
// segments are one connection of QUIC.
type udpLoad []*udpFlow

func openUDP(b *bed, six, segmented bool) (l udpLoad, err error) {
	n := 1
	if !segmented {
		n = min(runtime.NumCPU(), mostSenders)
	}
	for range n {
		f, err := openFlow(b, six, segmented)
		if err != nil {
			l.close()
			return nil, err
		}
		l = append(l, f)
	}
	return l, nil
}

func (l udpLoad) close() {
	for _, f := range l {
		f.close()
	}
}

func (l udpLoad) sent() (n uint64) {
	for _, f := range l {
		n += f.sent.Load()
	}
	return n
}

func (l udpLoad) received() (n uint64) {
	for _, f := range l {
		n += f.received.Load()
	}
	return n
}

// sendFor sends at a rate of datagrams a second, of all flows together, 0 for all they can, and tells how many were sent.
func (l udpLoad) sendFor(d time.Duration, rate float64) (sent int, err error) {
	var all sync.WaitGroup
	counts, errs := make([]int, len(l)), make([]error, len(l))
	for i, f := range l {
		all.Go(func() { counts[i], errs[i] = f.send(d, rate/float64(len(l))) })
	}
	all.Wait()
	for _, n := range counts {
		sent += n
	}
	return sent, errors.Join(errs...)
}

// settle waits until nothing more comes, and tells how many came since before.
func (l udpLoad) settle(before uint64) int {
	last := l.received()
	for range 50 {
		time.Sleep(20 * time.Millisecond)
		now := l.received()
		if now == last {
			break
		}
		last = now
	}
	return int(last - before)
}

// overload sends all it can: packets a second that were sent, and that arrived.
func (l udpLoad) overload(d time.Duration) (sent, received float64, err error) {
	warm := d / 5
	done := make(chan error, 1)
	go func() {
		_, err := l.sendFor(warm+d, 0)
		done <- err
	}()
	time.Sleep(warm)
	start, out, in := time.Now(), l.sent(), l.received()
	err = <-done
	seconds := time.Since(start).Seconds()
	sent, received = float64(l.sent()-out)/seconds, float64(l.received()-in)/seconds
	l.settle(0)
	return sent, received, err
}

// lossless finds the highest rate, in packets a second, that arrives.
func (l udpLoad) lossless(d time.Duration, most float64) (best float64, err error) {
	bisect(0, most, steps, func(rate float64) bool {
		got, ok, serr := l.arrives(d, rate)
		best, err = max(best, got), errors.Join(err, serr)
		return ok
	})
	return best, err
}

// arrives tries a rate, a second time if it fails: a neighbour on the machine
// should not decide. If the sender is too slow for it but nothing is lost, the
// rate passes for the one that was sent. best is what did arrive without loss.
func (l udpLoad) arrives(d time.Duration, rate float64) (best float64, ok bool, err error) {
	tooSlow := 0
	for range tries {
		before := l.received()
		sent, err := l.sendFor(d, rate)
		if err != nil {
			return best, false, err
		}
		got := l.settle(before)
		if float64(sent-got) > allowed*float64(sent) {
			continue
		}
		best = max(best, float64(got)/d.Seconds())
		if float64(sent) >= reached*rate*d.Seconds() {
			return best, true, nil
		}
		tooSlow++
	}
	return best, tooSlow == tries, nil
}
