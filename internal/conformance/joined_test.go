package conformance

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/ethtool"
)

const listTTL = "Linux lowers the TTL of the first packet of a list alone"

var joinedRow = row{
	id: "X5", rule: "a superframe that came joined with its checksum complete is as good as one that is pending",
	source: "virtio 1.2 5.1.6.1, linux segmentation-offloads", options: options{six: true, joins: true, cuts: true},
	cases: []testCase{
		{name: "datagrams of UDP", differs: listTTL, test: func(b *Bench) { b.joined(flow{proto: protoUDP}) }},
		{name: "segments of TCP", differs: listTTL, test: func(b *Bench) { b.joined(flow{proto: protoTCP}) }},
		{name: "datagrams of UDP in IPv6", differs: listTTL, test: func(b *Bench) { b.joined(flow{proto: protoUDP, six: true}) }},
		{name: "segments of TCP in IPv6", differs: listTTL, test: func(b *Bench) { b.joined(flow{proto: protoTCP, six: true}) }},
	},
}

// offloads is what an interface sends whole if it may: TCP and UDP.
var offloads = []string{"tx-tcp-segmentation", "tx-tcp-ecn-segmentation", "tx-tcp-mangleid-segmentation", "tx-tcp6-segmentation", "tx-udp-segmentation"}

// join has the host's uplink join what it receives and keep the checksums as they
// came, and the far end cut what it sends, and make its checksums.
func (b *Bench) join() error {
	return errors.Join(
		b.wire.Do(func() error { return ethtool.Set("far", false, append(offloads, "tx-checksum-ip-generic")...) }),
		b.host.Do(func() error { return ethtool.Set("ens160", true, "rx-gro", "rx-gro-list") }),
	)
}

// joined sends packets so that the uplink's kernel joins them, and wants each.
func (b *Bench) joined(f flow) {
	f.src, f.dst = farIP, ns1IP
	if f.six {
		f.src, f.dst = farIP6, ns1IP6
	}
	near, err := b.openSuper(b.host.Do, "ens160")
	b.must(err)
	defer unix.Close(near)
	b.sendSuper(b.wire.Do, "far", b.up, f)
	b.settle(b.up, f.wants(b.ns1)...)
	if got := b.readSuper(near, 10*segmentSize); got[1] != f.gso() || got[0]&needsSum != 0 {
		b.fatalf("the uplink's kernel hands over kind %d, flags %d: this is not what is to be tried", got[1], got[0])
	}
}
