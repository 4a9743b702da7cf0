package conformance

import "bytes"

const (
	recordsRoute = "Linux fills in the record route and timestamp options of what it forwards; vrouter passes all options unchanged"
	readsOptions = "Linux reads the options of what it forwards, and answers broken ones with Parameter Problem (12/0)"
	sourceRoutes = "Linux drops whatever carries a source route (accept_source_route=0); vrouter leaves it to the host it is addressed to"
)

// Options by their type: the high bit is the copy flag (RFC 791 3.1).
var (
	optNOP         = []byte{1, 1, 1, 1}
	optEnd         = []byte{1, 0, 0, 0}
	optRouterAlert = []byte{0x94, 4, 0, 0}       // RFC 2113
	optExperiment  = []byte{0x1e, 4, 0xab, 0xcd} // RFC 4727, not copied
	optExperimentC = []byte{0x9e, 4, 0xab, 0xcd} // RFC 4727, copied
	optSecurity    = append([]byte{0x82, 11}, append(make([]byte, 9), 0)...)
	optRecordRoute = []byte{7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	optTimestamp   = []byte{0x44, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0}
)

func sourceRoute(typ byte, via string) []byte {
	return append(append([]byte{typ, 7, 4}, ip4(via)...), 0)
}

var optionRow = row{
	id: "H6", rule: "IP options pass unchanged; a source route is not followed", source: "RFC 1812 5.3.13, 4.2.2.1",
	cases: []testCase{
		option("no operation", optNOP, ""), option("end of list", optEnd, ""), option("router alert", optRouterAlert, ""),
		option("security", optSecurity, ""), option("unknown", optExperiment, ""), option("unknown, to be copied", optExperimentC, ""),
		option("forty bytes of them", bytes.Repeat(optExperiment, 10), ""),
		option("record route", optRecordRoute, recordsRoute), option("timestamp", optTimestamp, recordsRoute),
		option("loose source route that is not this hop's", sourceRoute(0x83, peerIP), sourceRoutes),
		option("strict source route that is not this hop's", sourceRoute(0x89, peerIP), sourceRoutes),
		option("an option that is longer than the header", []byte{7, 20, 4, 1}, readsOptions),
		option("an option shorter than its own type and length", []byte{0x83, 1, 1, 1}, readsOptions),
		{name: "loose source route by way of the host is not followed", test: func(b *Bench) { b.notFollowed(0x83) }},
		{name: "strict source route by way of the host is not followed", test: func(b *Bench) { b.notFollowed(0x89) }},
	},
}

func option(name string, opt []byte, differs string) testCase {
	return testCase{name: name, differs: differs, test: func(b *Bench) {
		out := ipPacket{src: ns1IP, dst: farIP, options: opt}.bytes()
		b.one(b.ns1, out, routed(b.up, out))
		in := ipPacket{src: farIP, dst: ns1IP, options: opt}.bytes()
		b.one(b.up, in, routed(b.ns1, in))
	}}
}

// notFollowed sends a packet to the host that asks to be sent on to the far
// workload. What the router says about it is its own affair; it may not go there.
func (b *Bench) notFollowed(typ byte) {
	for _, in := range []*port{b.ns1, b.up} {
		ip := ipPacket{src: in.ip, dst: hostIP, options: sourceRoute(typ, farIP)}
		if in.isUplink() {
			ip.src, ip.options = peerIP, sourceRoute(typ, ns1IP)
		}
		b.must(in.send(in.to(ip.bytes())))
		for p, frames := range b.flush(in) {
			for _, f := range frames {
				if p != in || len(f) < 34 || f[23] != protoICMP {
					b.fatalf("a source route was followed: at %s this came: %s", p.name, describe(f))
				}
			}
		}
	}
	b.tolerate(dropSeries(b.ns1, "local_unsupported"))
}
