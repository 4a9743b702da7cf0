package main

import (
	"errors"
	"fmt"
	"os"
	"time"
)

const exchanges = 5000 // round trips of one measurement

// Measures, in the order of the table.
const (
	tcpOne      = "TCP, 1 stream, Gbit/s"
	tcpFour     = "TCP, 4 streams, Gbit/s"
	tcpSixteen  = "TCP, 16 streams, Gbit/s"
	tcpMany     = "TCP, 64 streams, Gbit/s"
	udpSegments = "UDP_SEGMENT, 44 x 1400 B, received, Gbit/s"
	udpLossless = "UDP 18 B, loss <= 0.1 %, kpps"
	udpOverload = "UDP 18 B, overload, received, kpps"
	udpSent     = "UDP 18 B, overload, sent, kpps"
	cpuPerUDP   = "router CPU, µs a datagram of UDP 18 B"
	rttMedian   = "round trip, median, µs"
	rttTail     = "round trip, 99th percentile, µs"
	cpuPerGB    = "router CPU, s/GB of TCP"
	rss         = "router memory, MB"
	rssPeak     = "router memory, peak, MB"
)

var measures = []string{tcpOne, tcpFour, tcpSixteen, tcpMany, udpSegments, udpLossless, udpOverload, udpSent, rttMedian, rttTail, cpuPerGB, cpuPerUDP, rss, rssPeak}

// generated are those of which more cannot be measured than the ends can make: what they make without a router is shown, too.
var generated = []string{tcpOne, tcpFour, tcpSixteen, tcpMany, udpSegments, udpLossless, udpOverload}

// run is one contender's turn in one round.
type run struct {
	bed     *bed
	length  time.Duration
	name    string
	samples map[string]float64
}

// measureAll has everybody's turn in every round, so that what disturbs the
// machine for a while disturbs all of them. It returns how many turns failed.
func (r *report) measureAll(o options) (failed int) {
	for round := range o.rounds {
		for i, c := range o.only {
			if r.columns[i].Missing != "" {
				continue
			}
			x := &run{length: o.measure, name: fmt.Sprintf("round %d/%d, %s", round+1, o.rounds, c.name), samples: map[string]float64{}}
			if err := x.turn(c); err != nil {
				fmt.Fprintf(os.Stderr, "%s: failed: %v\n", x.name, err)
				failed++
			}
			for m, v := range x.samples {
				r.columns[i].Samples[m] = append(r.columns[i].Samples[m], v)
			}
		}
	}
	return failed
}

func (x *run) turn(c contender) (err error) {
	x.bed, err = newBed()
	defer x.bed.close()
	if err != nil {
		return err
	}
	if err := c.start(x.bed); err != nil {
		return err
	}
	if err := x.bed.ready(); err != nil {
		return err
	}
	return errors.Join(x.latency(), x.tcp(), x.segments(), x.udp(), x.memory())
}

// note keeps a sample and tells of it.
func (x *run) note(measure string, v float64) {
	x.samples[measure] = v
	fmt.Fprintf(os.Stderr, "%s: %s: %s\n", x.name, measure, short(v))
}

func (x *run) latency() error {
	if _, err := roundTrips(x.bed.sides[0], exchanges/10, time.Second); err != nil { // caches get warm
		return err
	}
	times, err := roundTrips(x.bed.sides[0], exchanges, time.Second)
	if err != nil {
		return err
	}
	x.note(rttMedian, float64(percentile(times, 50).Nanoseconds())/1e3)
	x.note(rttTail, float64(percentile(times, 99).Nanoseconds())/1e3)
	return nil
}

func (x *run) tcp() error {
	var all tcpResult
	for _, m := range []struct {
		streams int
		name    string
	}{{1, tcpOne}, {4, tcpFour}, {16, tcpSixteen}, {64, tcpMany}} {
		t, err := measureTCP(x.bed, m.streams, x.length)
		if err != nil {
			return err
		}
		x.note(m.name, t.bytes*8/1e9/t.seconds)
		all.bytes, all.cpu = all.bytes+t.bytes, all.cpu+t.cpu
	}
	if len(x.bed.routers) > 0 {
		x.note(cpuPerGB, all.cpu/(all.bytes/1e9))
	}
	return nil
}

// segments has datagrams sent as one, as QUIC does.
func (x *run) segments() error {
	f, err := openUDP(x.bed, true)
	if err != nil {
		return err
	}
	defer f.close()
	_, received, err := f.overload(x.length)
	if err == nil {
		x.note(udpSegments, received*segmentPayload*8/1e9)
	}
	return err
}

func (x *run) udp() error {
	f, err := openUDP(x.bed, false)
	if err != nil {
		return err
	}
	defer f.close()
	sent, received, err := f.overload(x.length)
	if err != nil {
		return err
	}
	x.note(udpOverload, received/1e3)
	x.note(udpSent, sent/1e3)
	// A sender that fights for the processors sends less than one that does not.
	rate, err := f.lossless(x.length/steps, 1.25*sent)
	if err != nil {
		return err
	}
	x.note(udpLossless, rate/1e3)
	if len(x.bed.routers) == 0 || rate == 0 {
		return nil
	}
	return x.perDatagram(f, rate)
}

// perDatagram is what a datagram costs the routers at a rate that arrives.
func (x *run) perDatagram(f *udpFlow, rate float64) error {
	before, err := cpuSeconds(x.bed.routers)
	if err != nil {
		return err
	}
	sent, err := f.sendFor(x.length, rate)
	if err != nil {
		return err
	}
	after, err := cpuSeconds(x.bed.routers)
	if err == nil && sent > 0 {
		x.note(cpuPerUDP, (after-before)*1e6/float64(sent))
	}
	return err
}

func (x *run) memory() error {
	if len(x.bed.routers) > 0 {
		x.note(rss, memory(x.bed.routers, "VmRSS"))
		x.note(rssPeak, memory(x.bed.routers, "VmHWM"))
	}
	return nil
}
