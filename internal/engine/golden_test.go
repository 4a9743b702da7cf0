package engine_test

import (
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/link"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/rib"
)

// goldens are what a person reads of a packet.
var goldens = []struct {
	name  string
	setup func(b *bed)
	from  string
	send  *packet.Frame
	want  string
}{
	{"forwarded", nil, "ns1", ping(farIP), `
#1 k8s-master-1  ns1 > ens160  icmp echo request 10.70.1.1 > 10.70.2.1 id 41 seq 1  38 bytes
  rx     +0.0µs  pass  ns1  02:00:00:00:01:01 > ee:ee:ee:ee:ee:ee
  check  +0.0µs  pass
  route  +0.0µs  pass  10.70.2.1/32 via 192.168.0.12 dev ens160 proto static
  ttl    +0.0µs  edit  ttl 64 > 63, checksum 6343 > 6443                    RFC 1812 5.3.1
  neigh  +0.0µs  edit  192.168.0.12 is 02:00:00:00:00:0c                    RFC 826, RFC 1122 2.3.2
  tx     +0.0µs  pass  ens160
  forwarded
`},
	{"ttl_exceeded", nil, "ns1", withTTL(ping(farIP), 1), `
#1 k8s-master-1  ns1 > -  icmp echo request 10.70.1.1 > 10.70.2.1 id 41 seq 1  38 bytes
  rx     +0.0µs  pass  ns1  02:00:00:00:01:01 > ee:ee:ee:ee:ee:ee
  check  +0.0µs  pass
  route  +0.0µs  pass  10.70.2.1/32 via 192.168.0.12 dev ens160 proto static
  ttl    +0.0µs  drop  ttl_exceeded: the time to live ran out here          RFC 1812 5.3.1
  dropped  ttl_exceeded: raise the TTL, or look for a routing loop
#2 k8s-master-1  vrouter > ns1  icmp time exceeded 192.168.0.11 > 10.70.1.1  66 bytes  because of #1
  route  +0.0µs  pass  10.70.1.1/32 dev ns1 proto workload scope link
  ttl    +0.0µs  pass  the router's own packet
  neigh  +0.0µs  edit  10.70.1.1 is 02:00:00:00:01:01                       RFC 826, RFC 1122 2.3.2
  tx     +0.0µs  pass  ns1
  forwarded
`},
	{"into_a_tunnel", tunnel, "ns1", edited(ping(tunnelIP), func(ip packet.IPv4) { ip[1] = 2 }), `
#1 k8s-master-1  ns1 > ens160  icmp echo request 10.70.1.1 > 10.70.3.1 id 41 seq 1  38 bytes
  rx     +0.0µs  pass  ns1  02:00:00:00:01:01 > ee:ee:ee:ee:ee:ee
  check  +0.0µs  pass
  route  +0.0µs  pass  10.70.3.0/24 via 192.168.0.12 dev ens160 proto static encap ipip
  ttl    +0.0µs  edit  ttl 64 > 63, checksum 6241 > 6341                    RFC 1812 5.3.1
  encap  +0.0µs  edit  192.168.0.11 > 192.168.0.12 proto 4 ttl 64, 58 bytes  RFC 2003 3.1
  neigh  +0.0µs  edit  192.168.0.12 is 02:00:00:00:00:0c                    RFC 826, RFC 1122 2.3.2
  tx     +0.0µs  pass  ens160
  forwarded
`},
	{"out_of_a_tunnel", nil, "ens160", ipip(peerIP, hostIP, fromPeer(), func(ip *layers.IPv4) { ip.TOS = 0xb8 }), `
#1 k8s-master-1  ens160 > ns1  ipip 192.168.0.12 > 192.168.0.11 / icmp echo reply 10.70.2.1 > 10.70.1.1 id 41 seq 1  48 bytes
  rx     +0.0µs  pass  ens160  02:00:00:00:00:0c > 02:00:00:00:00:0b
  check  +0.0µs  pass
  decap  +0.0µs  edit  from 192.168.0.12: 10.70.2.1 > 10.70.1.1 ttl 64, 28 bytes  RFC 2003 3, RFC 6040 4.2
  route  +0.0µs  pass  10.70.1.1/32 dev ns1 proto workload scope link
  ttl    +0.0µs  edit  ttl 64 > 63, checksum 634d > 644d                    RFC 1812 5.3.1
  neigh  +0.0µs  edit  10.70.1.1 is 02:00:00:00:01:01                       RFC 826, RFC 1122 2.3.2
  tx     +0.0µs  pass  ns1
  forwarded
`},
	{"superframe", nil, "ns1", fromNS1(ns2IP), `
#1 k8s-master-1  ns1 > ns2  tcp 10.70.1.1.40000 > 10.70.1.2.5201 P. seq 1000  65212 bytes in 45 packets
  rx     +0.0µs  pass  ns1  02:00:00:00:01:01 > ee:ee:ee:ee:ee:ee
  check  +0.0µs  pass
  route  +0.0µs  pass  10.70.1.2/32 dev ns2 proto workload scope link
  ttl    +0.0µs  edit  ttl 64 > 63, checksum 25a6 > 26a6                    RFC 1812 5.3.1
  neigh  +0.0µs  edit  10.70.1.2 is 02:00:00:00:01:02                       RFC 826, RFC 1122 2.3.2
  tx     +0.0µs  pass  ns2
  forwarded
`},
	{"fragments", func(b *bed) { b.setMTU("ens160", 1400) }, "ns1", sized(ns1MAC, ns1IP, farIP, 1500), `
#1 k8s-master-1  ns1 > ens160  udp 10.70.1.1.1 > 10.70.2.1.515  1500 bytes
  rx     +0.0µs  pass  ns1  02:00:00:00:01:01 > ee:ee:ee:ee:ee:ee
  check  +0.0µs  pass
  route  +0.0µs  pass  10.70.2.1/32 via 192.168.0.12 dev ens160 proto static
  ttl    +0.0µs  edit  ttl 64 > 63, checksum 5d7d > 5e7d                    RFC 1812 5.3.1
  mtu    +0.0µs  edit  1500 bytes, 1400 fit: cut into 2 fragments           RFC 791 3.2, RFC 1191 3
  neigh  +0.0µs  edit  192.168.0.12 is 02:00:00:00:00:0c                    RFC 826, RFC 1122 2.3.2
  tx     +0.0µs  pass  ens160
  forwarded
`},
	{"arp", nil, "ns1", asks(ns1IP, gateway), `
#1 k8s-master-1  ns1 > -  arp who has 169.254.1.1 tell 10.70.1.1  46 bytes
  rx     +0.0µs  pass  ns1  02:00:00:00:01:01 > ff:ff:ff:ff:ff:ff
  arp    +0.0µs  consume  answered: it is the gateway, which the router itself is
  consumed
#2 k8s-master-1  vrouter > ns1  arp reply 169.254.1.1 is at ee:ee:ee:ee:ee:ee  28 bytes  because of #1
  tx     +0.0µs  pass  ns1
  forwarded
`},
	{"arp_ignored", nil, "ns1", asks(ns1IP, "10.99.0.1"), `
#1 k8s-master-1  ns1 > -  arp who has 10.99.0.1 tell 10.70.1.1  46 bytes
  rx     +0.0µs  pass  ns1  02:00:00:00:01:01 > ff:ff:ff:ff:ff:ff
  arp    +0.0µs  drop  arp_ignored: a request that this router has no business answering  RFC 1027 2, RFC 5227 2.1
  dropped  arp_ignored: is it the right gateway that is asked for? a workload's is ` + "`" + `gateway.address` + "`" + `
`},
	{"echo_to_the_gateway", nil, "ns1", packet.FrameOf(append(ping(gateway).Bytes(), make([]byte, 8)...)), `
#1 k8s-master-1  ns1 > -  icmp echo request 10.70.1.1 > 169.254.1.1 id 41 seq 1  38 bytes
  rx     +0.0µs  pass  ns1  02:00:00:00:01:01 > ee:ee:ee:ee:ee:ee
  check  +0.0µs  pass
  local  +0.0µs  consume  answered: echo to the router
  consumed
#2 k8s-master-1  vrouter > ns1  icmp echo reply 169.254.1.1 > 10.70.1.1 id 41 seq 1  38 bytes  because of #1
  route  +0.0µs  pass  10.70.1.1/32 dev ns1 proto workload scope link
  ttl    +0.0µs  pass  the router's own packet
  neigh  +0.0µs  edit  10.70.1.1 is 02:00:00:00:01:01                       RFC 826, RFC 1122 2.3.2
  tx     +0.0µs  pass  ns1
  forwarded
`},
	{"rpf_failed", nil, "ns1", withSrc(ping(farIP), ns2IP), `
#1 k8s-master-1  ns1 > -  icmp echo request 10.70.1.2 > 10.70.2.1 id 41 seq 1  38 bytes
  rx     +0.0µs  pass  ns1  02:00:00:00:01:01 > ee:ee:ee:ee:ee:ee
  check  +0.0µs  pass
  rpf    +0.0µs  drop  rpf_failed: the workload is 10.70.1.1                RFC 3704 2.2
  dropped  rpf_failed: send from the workload's address, or set ` + "`" + `rpf: off` + "`" + `
`},
	{"mtu_exceeded", func(b *bed) { b.setMTU("ens160", 1400) }, "ns1", udpWithDF(), `
#1 k8s-master-1  ns1 > -  udp 10.70.1.1.1 > 10.70.2.1.515  1500 bytes
  rx     +0.0µs  pass  ns1  02:00:00:00:01:01 > ee:ee:ee:ee:ee:ee
  check  +0.0µs  pass
  route  +0.0µs  pass  10.70.2.1/32 via 192.168.0.12 dev ens160 proto static
  ttl    +0.0µs  edit  ttl 64 > 63, checksum 1d7d > 1e7d                    RFC 1812 5.3.1
  mtu    +0.0µs  drop  mtu_exceeded: 1500 bytes, 1400 fit                   RFC 1191 4
  dropped  mtu_exceeded: the sender learns the MTU from the ICMP error; let that through
#2 k8s-master-1  vrouter > ns1  icmp fragmentation needed 192.168.0.11 > 10.70.1.1  576 bytes  because of #1
  route  +0.0µs  pass  10.70.1.1/32 dev ns1 proto workload scope link
  ttl    +0.0µs  pass  the router's own packet
  neigh  +0.0µs  edit  10.70.1.1 is 02:00:00:00:01:01                       RFC 826, RFC 1122 2.3.2
  tx     +0.0µs  pass  ns1
  forwarded
`},
	{"prohibit", func(b *bed) {
		b.route(rib.Route{Prefix: prefix("10.99.0.0/16"), Type: rib.Prohibit, Port: rib.NoPort, Protocol: "static", Source: rib.Static})
	}, "ns1", ping("10.99.0.1"), `
#1 k8s-master-1  ns1 > -  icmp echo request 10.70.1.1 > 10.99.0.1 id 41 seq 1  38 bytes
  rx     +0.0µs  pass  ns1  02:00:00:00:01:01 > ee:ee:ee:ee:ee:ee
  check  +0.0µs  pass
  route  +0.0µs  drop  prohibit: prohibit 10.99.0.0/16 proto static         RFC 1812 5.2.7.1
  dropped  prohibit: remove the route ` + "`prohibit 10.99.0.0/16 proto static`" + ` if it is not meant
#2 k8s-master-1  vrouter > ns1  icmp administratively prohibited 192.168.0.11 > 10.70.1.1  66 bytes  because of #1
  route  +0.0µs  pass  10.70.1.1/32 dev ns1 proto workload scope link
  ttl    +0.0µs  pass  the router's own packet
  neigh  +0.0µs  edit  10.70.1.1 is 02:00:00:00:01:01                       RFC 826, RFC 1122 2.3.2
  tx     +0.0µs  pass  ns1
  forwarded
`},
	{"not_for_router", nil, "ens160", broken(fromPeer(), func(f *packet.Frame) { f.Bytes()[5] = 99 }), `
#1 k8s-master-1  ens160 > -  icmp echo reply 10.70.2.1 > 10.70.1.1 id 41 seq 1  28 bytes
  rx     +0.0µs  drop  not_for_router: this port is 02:00:00:00:00:0b
  dropped  not_for_router
`},
	{"ip_bad_checksum", nil, "ens160", broken(fromPeer(), func(f *packet.Frame) { f.Payload()[10] ^= 1 }), `
#1 k8s-master-1  ens160 > -  icmp echo reply 10.70.2.1 > 10.70.1.1 id 41 seq 1  28 bytes
  rx     +0.0µs  pass  ens160  02:00:00:00:00:0c > 02:00:00:00:00:0b
  check  +0.0µs  drop  ip_bad_checksum: the header checksum is wrong        RFC 1812 5.2.2 (2)
  dropped  ip_bad_checksum: was it damaged on its way? compare with a capture at the sender
`},
	{"tx_error", func(b *bed) { b.uplink.Fail = link.ErrQueueFull }, "ns1", ping(farIP), `
#1 k8s-master-1  ns1 > -  icmp echo request 10.70.1.1 > 10.70.2.1 id 41 seq 1  38 bytes
  rx     +0.0µs  pass  ns1  02:00:00:00:01:01 > ee:ee:ee:ee:ee:ee
  check  +0.0µs  pass
  route  +0.0µs  pass  10.70.2.1/32 via 192.168.0.12 dev ens160 proto static
  ttl    +0.0µs  edit  ttl 64 > 63, checksum 6343 > 6443                    RFC 1812 5.3.1
  neigh  +0.0µs  edit  192.168.0.12 is 02:00:00:00:00:0c                    RFC 826, RFC 1122 2.3.2
  tx     +0.0µs  drop  tx_queue_full: the port's queue is full: in the kernel, or before the slow lane
  dropped  tx_queue_full: the receiver is slower than the sender, who is to slow down; vrouter show workers names slow workloads
`},
	{"too_short", nil, "ns1", broken(ping(farIP), func(f *packet.Frame) { f.Len = 10 }), `
#1 k8s-master-1  ns1 > -  10 bytes  0 bytes
  rx     +0.0µs  drop  frame_too_short: shorter than an Ethernet header, or than its offload header says
  dropped  frame_too_short
`},
}
