package packet

import "testing"

// FuzzFrame: nothing that looks at a frame before it is known to be good may
// panic, and what is called good can be cut and finished.
//
// OffloadValid needs a whole Ethernet header; so do Payload and all that read it.
// The methods of IPv4 and IPv6 need a whole header, IsICMPError a whole packet: check.
func FuzzFrame(f *testing.F) {
	for _, g := range []gso{
		{kind: GSOTCPv4, size: 48, payload: 100, tcpOpts: 12},
		{kind: GSOTCPv4, size: 100},
		{kind: GSOUDPL4, size: 100, payload: 150},
		{kind: GSOTCPv4 | GSOECN, size: 50, payload: 90, outer: 1},
		{kind: GSOTCPv6, v6: true, size: 48, payload: 100, tcpOpts: 12},
		{kind: GSOUDPL4, v6: true, size: 100, payload: 150},
		{kind: GSOTCPv6, v6: true, size: 50, payload: 90, outer: 1},
	} {
		s := g.frame()
		var o [VnetLen]byte
		s.Offload.Put(o[:])
		f.Add(o[:], s.Bytes())
	}
	for _, layers := range [][]layer{
		{{kind: "ip4"}, {kind: "gre", flags: 0xb000}, {kind: "ip6"}},
		{{kind: "ip4"}, {kind: "udp", sum: true}, {kind: "bytes", plain: []byte("\x08\x00\x00\x00\x00\x10\x00\x00ffffff111111\x08\x00")}, {kind: "ip4"}},
	} {
		for _, complete := range []bool{false, true} {
			s := nest{etherType: EtherTypeIPv4, layers: layers, tcp: true, size: 50, data: make([]byte, 120)}.joined(complete)
			var o [VnetLen]byte
			s.Offload.Put(o[:])
			f.Add(o[:], s.Bytes())
		}
	}
	for _, ip := range []IPv6{
		put(solicitation), put(advertisement), extended(HeaderHopByHop, extension(HeaderFragment, 16), fragmentHeader(ProtocolUDP, 8, true), make([]byte, 1300)),
		asICMPv6(extended(ProtocolICMPv6, append(icmpv6(ICMPv6Unreachable, 0, 17, 0, 0, 0), extended(ProtocolTCP, make([]byte, 140))...))),
	} {
		f.Add(make([]byte, VnetLen), append([]byte(dstMAC+srcMAC+"\x86\xdd"), ip...))
	}
	arp := make([]byte, ARPLen)
	request.Put(arp)
	f.Add(make([]byte, VnetLen), append([]byte(dstMAC+srcMAC+"\x08\x06"), arp...))
	f.Add(make([]byte, VnetLen), append([]byte(dstMAC+srcMAC+"\x08\x00"), datagram([]byte{148, 4, 0, 0}, 100, 8, true)...))
	f.Fuzz(func(t *testing.T, vnet, b []byte) {
		if len(vnet) < VnetLen || len(b) > EthernetLen+IPv4MaxLen {
			return
		}
		fr := FrameOf(b)
		fr.Offload = ParseOffload(vnet)
		fr.Admit()
		fr.OnWire() // the trace asks before rx has judged
		if fr.Len < EthernetLen {
			return
		}
		ParseARP(fr.Payload())
		if !fr.OffloadValid() {
			return
		}
		if fr.IPLen() > fr.Len-EthernetLen {
			t.Errorf("IP of %d bytes in a frame of %d", fr.IPLen(), fr.Len)
		}
		fuzzCut(t, fr)
	})
}

func fuzzCut(t *testing.T, fr *Frame) {
	if fr.Offload.IsGSO() {
		for _, s := range segments(t, fr) {
			fuzzFragment(s.Clone())
		}
		return
	}
	fr.FinishChecksum()
	fuzzFragment(fr)
}

func fuzzFragment(fr *Frame) {
	if fr.EtherType() == EtherTypeIPv6 {
		fuzzIPv6(fr)
		return
	}
	ip := IPv4(fr.Payload())
	if len(ip) < IPv4MinLen || ip.Version() != 4 || ip.HeaderLen() < IPv4MinLen || ip.TotalLen() < ip.HeaderLen() || ip.TotalLen() > len(ip) {
		return
	}
	fr.Trim(ip.TotalLen())
	IsICMPError(IP(ip))
	if fr.IPLen() > 68 && Fragmentable(ip, 68) {
		Fragment(fr, 68, func() *Frame { return &Frame{Buf: make([]byte, Headroom+EthernetLen+68)} })
	}
}

func fuzzIPv6(fr *Frame) {
	ip := IPv6(fr.Payload())
	if len(ip) < IPv6MinLen || ip.Version() != 6 || IPv6MinLen+ip.PayloadLen() > len(ip) {
		return
	}
	fr.Trim(IPv6MinLen + ip.PayloadLen())
	if fr.IPLen() > 1280 {
		Fragment6(fr, 1280, 1, func() *Frame { return &Frame{} })
	}
}

// FuzzIPv6: what comes behind an IPv6 header is walked inside the packet, whatever it is;
// what is taken for a quote lies in it, and a message that is taken can be said again.
func FuzzIPv6(f *testing.F) {
	for _, ip := range []IPv6{
		put(solicitation), put(advertisement), extended(NoNextHeader), extended(HeaderAH, make([]byte, 40)),
		extended(HeaderHopByHop, extension(HeaderDestination, 8), extension(HeaderRouting, 8), extension(HeaderFragment, 24), fragmentHeader(ProtocolICMPv6, 0, true), make([]byte, 9)),
		asICMPv6(extended(ProtocolICMPv6, append(icmpv6(ICMPv6TimeExceeded, 0, 17, 0, 0, 0), extended(ProtocolTCP, make([]byte, 140))...))),
		asICMPv6(extended(HeaderHopByHop, extension(ProtocolICMPv6, 8), icmpv6(ICMPv6ListenerReportVersion2, 0, 0, 0, 0, 0))),
	} {
		f.Add([]byte(ip))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < IPv6MinLen || b[0]>>4 != 6 {
			return
		}
		ip := IPv6(b)
		u := ip.Upper()
		if u.OK && u.At > ip.end() || u.At < IPv6MinLen || u.Named >= len(b) || ip[u.Named] != u.Protocol || u.Fragment+FragmentHeaderLen > len(b) || u.Routing+8 > len(b) {
			t.Errorf("%+v in %d bytes", u, len(b))
		}
		Transport(IP(ip))
		IsICMPError(IP(ip))
		if q := Quoted(IP(ip)); q != nil && (!Quotes(IP(ip)) || !IsICMPError(IP(ip)) || len(q) < IPv6MinLen || len(q) > ip.end()-u.At-ICMPHeaderLen) {
			t.Errorf("a quote of %d bytes in %d", len(q), len(b))
		}
		m, ok := ParseND(ip)
		if !ok || m.Type != ICMPv6NeighborSolicitation && m.Type != ICMPv6NeighborAdvertisement {
			return
		}
		if again, ok := ParseND(put(m)); !ok || again != m {
			t.Errorf("%+v is said again as %+v, %t", m, again, ok)
		}
	})
}
