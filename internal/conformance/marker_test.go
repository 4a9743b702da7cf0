package conformance

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

// discard is the port that markers go to, and come from unless a flow is wanted.
const discard = 9

// marker is a packet that any router takes from one port to another: back to a
// workload it is an echo reply, back to the uplink a packet for the same next hop.
func (b *Bench) marker(in, out *port, flow uint16, text []byte) []byte {
	p := ipPacket{src: in.ip, dst: out.ip, data: udp(flow, discard, text)}
	if in.isUplink() {
		p.src = farIP
	}
	switch {
	case in.isUplink() && out.isUplink():
		p.dst = hairpinIP
	case out.isUplink():
		p.dst = farIP
	case in == out:
		p.dst, p.proto, p.data = hostIP, protoICMP, echo(discard, discard, text)
	}
	return p.bytes()
}

// flush sends markers and returns what came before the last of them, port by port.
func (b *Bench) flush(in *port) map[*port][][]byte {
	b.markers++
	marker := fmt.Appendf(nil, "marker %d of %s", b.markers, in.name)
	due := map[*port]int{}
	for _, p := range b.ports() {
		for _, flow := range b.flows(in, p) {
			b.must(in.send(in.to(b.marker(in, p, flow, marker))))
			due[p]++
		}
	}
	seen := map[*port][][]byte{}
	deadline := time.Now().Add(patience)
	for _, p := range b.ports() {
		for due[p] > 0 {
			f, err := p.receive(deadline)
			b.must(err)
			if f == nil {
				b.fatalf("%d markers from %s did not come out at %s within %v; before them: %d frames%s", due[p], in.name, p.name, patience, len(seen[p]), describeAll(seen[p]))
			}
			if bytes.Contains(f, marker) {
				due[p]--
			} else {
				seen[p] = append(seen[p], f)
			}
		}
	}
	return seen
}

// markerFlows are source ports of markers from the uplink, by the name of the port that
// they leave by: of each of the queues that vrouter has there, one.
var (
	markerFlows  = map[string][]uint16{}
	markerFlowsM sync.Mutex
)

// flows are source ports of markers that must all be out for everything before them to
// be out. A workload's port and the kernel keep the order; the uplink has a queue for
// each worker, and what one of them has passed on tells nothing of the others.
func (b *Bench) flows(in, out *port) []uint16 {
	if b.linux || !in.isUplink() {
		return []uint16{discard}
	}
	markerFlowsM.Lock()
	defer markerFlowsM.Unlock()
	if markerFlows[out.name] == nil {
		markerFlows[out.name] = b.learnFlows(out)
	}
	return markerFlows[out.name]
}

// learnFlows tries source ports until each queue of the uplink has had one. Which
// queue it is the kernel's secret, and the same until the machine starts again.
func (b *Bench) learnFlows(out *port) []uint16 {
	before := b.uplinkQueues()
	found := make([]uint16, len(before))
	for flow, left := uint16(1), len(before); left > 0; flow++ {
		marker := fmt.Appendf(nil, "flow %d to %s", flow, out.name)
		b.must(b.up.send(b.up.to(b.marker(b.up, out, flow, marker))))
		for deadline := time.Now().Add(patience); ; {
			f, err := out.receive(deadline)
			b.must(err)
			if f == nil {
				b.fatalf("a marker did not come out at %s within %v", out.name, patience)
			}
			if bytes.Contains(f, marker) {
				break
			}
		}
		now := b.uplinkQueues()
		if at, alone := grown(before, now); alone && found[at] == 0 {
			found[at] = flow
			left--
		}
		before = now
	}
	return found
}

// uplinkQueues are how many packets each of the uplink's queues has received.
func (b *Bench) uplinkQueues() (received []uint64) {
	var ports []struct {
		Port   string
		Queues []struct {
			RxPackets uint64 `json:"rx_packets"`
		}
	}
	b.must(b.router.get("/v1/ports", &ports))
	for _, p := range ports {
		if p.Port == b.up.name {
			for _, q := range p.Queues {
				received = append(received, q.RxPackets)
			}
		}
	}
	return received
}

// grown is the number that has grown, if it is the only one, and by one.
func grown(before, now []uint64) (at int, alone bool) {
	sum := uint64(0)
	for i := range now {
		if d := now[i] - before[i]; d > 0 {
			at, sum = i, sum+d
		}
	}
	return at, sum == 1
}
