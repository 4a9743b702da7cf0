// Package share gives each who looks at the router, or knocks at it, a share of what all use: time on
// a processor, connections, streams. What one of them causes is his own cost; root's commands, the
// watchdog and the forwarding have places of their own.
package share

import (
	"net"
	"net/netip"
	"time"
)

// The limits. docs/architecture.md has each of them in its table, docs/security.md says what they are for.
const (
	// Of a processor's time, those who may only look get EachTime a party and AllTime together, on
	// threads of the lowest priority; what they have saved up is at most that of saveTime.
	EachTime = 0.10
	AllTime  = 0.20
	saveTime = 5 * time.Second
	// requestTime is what a request takes before and behind its turn.
	requestTime = 200 * time.Microsecond
	// byteTime is what it takes to hand over a byte of an answer.
	byteTime = time.Nanosecond
	// CountersTime and ScrapeTime are the shares of reading all counters, and of putting them into words
	// for Prometheus. It is done once for all who ask at the same time.
	CountersTime = 0.05
	ScrapeTime   = 0.10

	// EachStreams and AllStreams are how many traces, tops, replays, plans and long lists may run.
	EachStreams = 4
	AllStreams  = 12

	// Connections of those who may only look, by the socket or by control.listen.
	EachLookers = 8
	AllLookers  = 32
	// Connections to control.listen on which no certificate has been shown yet, and the time for that.
	EachStrangers = 8
	AllStrangers  = 64
	StrangerTime  = 5 * time.Second
	// Connections to the metrics, and the time in which an answer is to be read.
	EachScrapers = 8
	AllScrapers  = 32
	ScrapeWrite  = 10 * time.Second

	// writeBuffer is how much of an answer the kernel keeps for who reads slowly, in bytes.
	writeBuffer = 128 << 10
	// outliveEvery is how often is looked whether a connection that was closed is read at last.
	outliveEvery = 100 * time.Millisecond
	// idleTime is how long a connection is idle before it makes room for one that comes.
	idleTime = time.Second / 2
	// TakeRate is how many connections a listener takes from the kernel in a second. Who comes faster stands in
	// line there, which costs him time and nobody else.
	TakeRate = 16_000
	// EachRate is how many connections a party may open in a second.
	EachRate = 50
	// Who has said nothing, or gets no place, waits for WaitTime. MaxWaiting do, and not more than a quarter of the
	// descriptors that the router may have; others are hung up on.
	WaitTime   = 5 * time.Second
	MaxWaiting = 16384
	// rootWaitTime is how long root may say nothing.
	rootWaitTime = 20 * time.Second
	// RootConnections is how many root may have: more wait, as long as it takes.
	RootConnections = 512
)

// Party is who looks: a user, by the socket; an address, by the network.
type Party string

// Root is who may change the router, and the router itself. He has no share: he is not limited.
const Root Party = "root"

// AtAddress is the party at an address of the network: the address, of IPv6 the subnet, as who has one
// address of it has all. All of loopback is one.
func AtAddress(address net.Addr) Party {
	at, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return Party(address.String())
	}
	a := at.Addr().Unmap().WithZone("")
	bits := 32
	switch {
	case a.IsLoopback():
		return "loopback"
	case a.Is6():
		bits = 64
	}
	p, _ := a.Prefix(bits)
	if a.Is4() {
		return Party(a.String())
	}
	return Party(p.String())
}

// Looks are what those who look at a router share.
type Looks struct {
	Turns     *Turns
	Streams   Places
	Root      Conns // by the socket
	Lookers   Conns // by the socket
	Strangers Conns // to control.listen, who have shown no certificate yet
	Guests    Conns // by control.listen
	Scrapers  Conns // of the metrics
}

// New makes them, as the limits say.
func New() *Looks {
	return &Looks{
		Turns:     NewTurns(),
		Streams:   Places{What: "traces, tops, replays, plans and long lists", Each: EachStreams, All: AllStreams},
		Root:      Conns{What: "connections", Each: RootConnections, All: RootConnections},
		Lookers:   Conns{What: "connections", Each: EachLookers, All: AllLookers, Rate: EachRate, Idle: idleTime},
		Guests:    Conns{What: "connections", Each: EachLookers, All: AllLookers, Idle: idleTime},
		Strangers: Conns{What: "connections without a certificate", Each: EachStrangers, All: AllStrangers, Rate: EachRate, Idle: idleTime, Busy: 2 * idleTime},
		Scrapers:  Conns{What: "connections", Each: EachScrapers, All: AllScrapers, Rate: EachRate, Idle: idleTime},
	}
}

// bucket is what somebody may take, of something that comes by and by: time, or connections.
type bucket struct {
	left float64
	at   time.Time // when it was so
}

// fill says what is left now, of so many a second and so many at most.
func (b *bucket) fill(now time.Time, perSecond, most float64) float64 {
	if b.at.IsZero() {
		b.left = most
	} else {
		b.left = min(most, b.left+now.Sub(b.at).Seconds()*perSecond)
	}
	b.at = now
	return b.left
}
