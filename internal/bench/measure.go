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

var measures = []string{
	tcpOne, tcpFour, tcpSixteen, tcpMany, udpSegments, udpLossless, udpOverload, udpSent, rttMedian, rttTail, cpuPerGB, cpuPerUDP,
	six(tcpOne), six(tcpFour), six(tcpSixteen), six(tcpMany), six(udpSegments), six(udpLossless), six(rttMedian), six(rttTail), six(cpuPerGB), six(cpuPerUDP),
	rss, rssPeak,
}

// six is a measure by IPv6, which is taken beside that of IPv4 in the same turn.
func six(measure string) string { return "IPv6 " + measure }

// generated are those of which more cannot be measured than the ends can make: what they make without a router is shown, too.
var generated = []string{tcpOne, tcpFour, tcpSixteen, tcpMany, udpSegments, udpLossless, udpOverload}

// run is one contender's turn in one round.
type run struct {
	bed     *bed
	six     bool // IPv6 is measured
	length  time.Duration
	name    string
	samples map[string]float64
	failed  []string // measures
}

// measureAll has everybody's turn in every round, so that what disturbs the
// machine for a while disturbs all of them. It returns how many turns failed, but of
// others' programs: what does not work with them is shown.
func (r *report) measureAll(o options) (failed int) {
	for round := range o.rounds {
		for i, c := range o.only {
			if r.columns[i].Missing != "" {
				continue
			}
			x := &run{length: o.measure, name: fmt.Sprintf("round %d/%d, %s", round+1, o.rounds, c.name), samples: map[string]float64{}}
			x.turn(c)
			if len(x.failed) > 0 && !c.theirs {
				failed++
			}
			for m, v := range x.samples {
				r.columns[i].Samples[m] = append(r.columns[i].Samples[m], v)
			}
			for _, m := range x.failed {
				r.columns[i].Failed[m]++
			}
		}
	}
	return failed
}

func (x *run) turn(c contender) {
	var err error
	if x.bed, err = newBed(c.six); err == nil {
		err = c.start(x.bed)
	}
	defer x.bed.close()
	if err == nil {
		err = x.bed.ready()
	}
	for _, x.six = range []bool{false, true} {
		switch {
		case x.six && !c.six:
		case err != nil:
			x.fail(err, tcpOne, tcpFour, tcpSixteen, tcpMany, udpSegments, udpLossless, udpOverload, udpSent, rttMedian, rttTail)
		default:
			x.latency()
			x.tcp()
			x.segments()
			x.udp()
		}
	}
	if x.six = false; err == nil && len(x.bed.routers) > 0 {
		x.note(rss, memory(x.bed.routers, "VmRSS"))
		x.note(rssPeak, memory(x.bed.routers, "VmHWM"))
	}
}

// of is a measure of the family that has its turn.
func (x *run) of(measure string) string {
	if x.six {
		return six(measure)
	}
	return measure
}

// fail keeps that measures could not be taken, and tells why.
func (x *run) fail(err error, measures ...string) {
	for _, m := range measures {
		x.failed = append(x.failed, x.of(m))
	}
	fmt.Fprintf(os.Stderr, "%s: failed: %s: %v\n", x.name, x.of(measures[0]), err)
}

// note keeps a sample and tells of it.
func (x *run) note(measure string, v float64) {
	x.samples[x.of(measure)] = v
	fmt.Fprintf(os.Stderr, "%s: %s: %s\n", x.name, x.of(measure), short(v))
}

func (x *run) latency() {
	_, err := roundTrips(x.bed.sides[0], x.six, exchanges/10, time.Second) // caches get warm
	var times []time.Duration
	if err == nil {
		times, err = roundTrips(x.bed.sides[0], x.six, exchanges, time.Second)
	}
	if err != nil {
		x.fail(err, rttMedian, rttTail)
		return
	}
	x.note(rttMedian, float64(percentile(times, 50).Nanoseconds())/1e3)
	x.note(rttTail, float64(percentile(times, 99).Nanoseconds())/1e3)
}

func (x *run) tcp() {
	var all tcpResult
	for _, m := range []struct {
		streams int
		name    string
	}{{1, tcpOne}, {4, tcpFour}, {16, tcpSixteen}, {64, tcpMany}} {
		t, err := measureTCP(x.bed, x.six, m.streams, x.length)
		if err != nil {
			x.fail(err, m.name)
			continue
		}
		x.note(m.name, t.bytes*8/1e9/t.seconds)
		all.bytes, all.cpu = all.bytes+t.bytes, all.cpu+t.cpu
	}
	if len(x.bed.routers) > 0 && all.bytes > 0 {
		x.note(cpuPerGB, all.cpu/(all.bytes/1e9))
	}
}

// segments has datagrams sent as one, as QUIC does.
func (x *run) segments() {
	l, err := openUDP(x.bed, x.six, true)
	if err != nil {
		x.fail(err, udpSegments)
		return
	}
	defer l.close()
	_, received, err := l.overload(x.length)
	if err != nil {
		x.fail(err, udpSegments)
		return
	}
	x.note(udpSegments, received*segmentPayload*8/1e9)
}

func (x *run) udp() {
	l, err := openUDP(x.bed, x.six, false)
	if err != nil {
		x.fail(err, udpLossless, udpOverload, udpSent)
		return
	}
	defer l.close()
	sent, received, err := l.overload(x.length)
	if err != nil {
		x.fail(err, udpLossless, udpOverload, udpSent)
		return
	}
	x.note(udpOverload, received/1e3)
	x.note(udpSent, sent/1e3)
	// A sender that fights for the processors sends less than one that does not.
	rate, err := l.lossless(x.length/steps, 1.25*sent)
	if err != nil {
		x.fail(err, udpLossless)
		return
	}
	x.note(udpLossless, rate/1e3)
	if len(x.bed.routers) > 0 && rate > 0 {
		x.perDatagram(l, rate)
	}
}

// perDatagram is what a datagram costs the routers at a rate that arrives.
func (x *run) perDatagram(l udpLoad, rate float64) {
	before, err := cpuSeconds(x.bed.routers)
	sent, serr := l.sendFor(x.length, rate)
	after, aerr := cpuSeconds(x.bed.routers)
	if err = errors.Join(err, serr, aerr); err != nil {
		x.fail(err, cpuPerUDP)
	} else if sent > 0 {
		x.note(cpuPerUDP, (after-before)*1e6/float64(sent))
	}
}
