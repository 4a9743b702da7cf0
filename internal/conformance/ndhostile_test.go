package conformance

import "slices"

const (
	passesNear = "Linux forwards Neighbor Discovery that is to somebody else"
	noDefence6 = "Linux's stack says of who claims its address that he does, and does not defend it"
)

// ndHostileRows are messages by which somebody would be taken for who he is not.
var ndHostileRows = []row{
	{
		id: "N8", rule: "somebody else claims one of the router's addresses: it stays who it is, and defends itself at most once in ten seconds",
		source: "RFC 4861 7.2.6, RFC 4862 5.4", counted: "originated_packets_total{kind=nd_advertisement}", options: options{six: true},
		cases: []testCase{{name: "the gateway's", differs: noDefence6, test: (*Bench).claimed6}},
	},
	{
		id: "N9", rule: "router advertisements and redirects are believed by nobody, and none is passed on; nor is any other message", source: "RFC 4861 6.2, 8.1, 3", counted: "nd_ignored nd_malformed",
		options: options{six: true},
		cases: []testCase{
			{name: "router advertisements by a workload, to all nodes and to the router", test: func(b *Bench) {
				for _, dst := range []string{"ff02::1", hostIP6, gatewayIP6} {
					b.exchange(b.ns1, [][]byte{b.advertisesRouter(b.ns1, dst)})
				}
				b.dropped(b.ns1, "nd_ignored", 3)
				ip := ip6Packet{src: ns1IP6, dst: "fd00:99::1"}.bytes()
				b.one6(b.ns1, ip, icmp6About(b.ns1, 1, 0, 0, ip))
				b.dropped(b.ns1, "no_route", 1)
			}},
			{name: "and on the uplink", test: func(b *Bench) {
				b.exchange(b.up, [][]byte{b.advertisesRouter(b.up, "ff02::1")})
				b.dropped(b.up, "nd_ignored", 1)
				ip := ip6Packet{src: ns1IP6, dst: "fd00:99::1"}.bytes()
				b.one6(b.ns1, ip, icmp6About(b.ns1, 1, 0, 0, ip))
				b.dropped(b.ns1, "no_route", 1)
			}},
			{name: "a redirect by a workload", test: func(b *Bench) {
				data := slices.Concat(ip6(linkLocal(b.ns2.mac)), ip6(farIP6))
				m := ip6Packet{src: b.ns1.station6(), dst: hostIP6, hops: 255, next: protoICMP6, data: icmp6(b.ns1.station6(), hostIP6, 137, 0, 0, data)}
				b.one6(b.ns1, m.bytes())
				b.dropped(b.ns1, "nd_ignored", 1)
				ip := ip6Packet{src: ns1IP6, dst: farIP6}.bytes()
				b.one6(b.ns1, ip, routed6(b.up, ip))
			}},
			{name: "an advertisement to another workload", differs: passesNear, test: func(b *Bench) {
				m := ndMessage{typ: ndAdvertisement, src: ns1IP6, dst: ns2IP6, target: farIP6, flags: overrideFlag, option: ndTarget, mac: b.ns1.mac}
				b.one6(b.ns1, m.bytes())
				b.dropped(b.ns1, "nd_ignored", 1)
			}},
			{name: "that came from beyond the link", differs: passesNear, test: func(b *Bench) {
				ip := ndMessage{typ: ndAdvertisement, src: farIP6, dst: ns1IP6, target: gatewayIP6, flags: overrideFlag, option: ndTarget, mac: peer13MAC}.bytes()
				ip[7] = 64
				b.one6(b.up, ip)
				b.dropped(b.up, "nd_malformed", 1)
			}},
		},
	},
}

// advertisesRouter is a router advertisement of who stands at a port, with a prefix and a long life.
func (b *Bench) advertisesRouter(at *port, dst string) []byte {
	station := at.station()
	from := linkLocal(station)
	life := []byte{0, 0, 0, 0, 0, 0, 0, 0} // reachable time and retransmission timer
	prefix := slices.Concat([]byte{3, 4, 64, 0xc0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, ip6("fd00:99::"))
	m := icmp6(from, dst, 134, 0, 64<<24|9000, slices.Concat(life, []byte{ndSource, 1}, station[:], prefix))
	ip := ip6Packet{src: from, dst: dst, hops: 255, next: protoICMP6, data: m}.bytes()
	to := at.router
	if ip6(dst)[0] == 0xff {
		to = groupMAC(dst)
	}
	return eth(to, station, typeIPv6, ip)
}

// claimed6 lets ns1 call itself the gateway, more than once, and then ask as it should.
func (b *Bench) claimed6() {
	all := ndMessage{typ: ndAdvertisement, src: gatewayIP6, dst: "ff02::1", target: gatewayIP6, flags: overrideFlag, option: ndTarget, mac: b.ns1.mac}
	asks := ndMessage{typ: ndSolicitation, src: gatewayIP6, dst: solicitedNode(hostIP6), target: hostIP6, option: ndSource, mac: b.ns1.mac}
	defence := ndMessage{typ: ndAdvertisement, src: gatewayIP6, dst: "ff02::1", target: gatewayIP6, flags: routerFlag | overrideFlag, option: ndTarget, mac: gatewayMAC}
	b.exchange(b.ns1, [][]byte{b.ndFrame(b.ns1, all), b.ndFrame(b.ns1, all), b.ndFrame(b.ns1, asks)},
		exactly(b.ns1, eth(groupMAC("ff02::1"), gatewayMAC, typeIPv6, defence.bytes())))
	b.count(`vrouter_nd_solicitations_received_total{answer="conflict",port="ns1"}`, 1)
	b.count(`vrouter_originated_packets_total{kind="nd_advertisement"}`, 1)
	b.ndAnswered(b.ns1.station6(), solicitedNode(gatewayIP6))
}
