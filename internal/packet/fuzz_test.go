package packet

import "testing"

// FuzzFrame: nothing that looks at a frame before it is known to be good may
// panic, and what is called good can be cut and finished.
//
// OffloadValid needs a whole Ethernet header; so do Payload and all that read it.
// The methods of IPv4 need a whole header, IsICMPError a whole packet: check.
func FuzzFrame(f *testing.F) {
	for _, g := range []gso{
		{kind: GSOTCPv4, size: 48, payload: 100, tcpOpts: 12},
		{kind: GSOTCPv4, size: 100},
		{kind: GSOUDPL4, size: 100, payload: 150},
		{kind: GSOTCPv4 | GSOECN, size: 50, payload: 90, outer: 1},
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
	ip := IPv4(fr.Payload())
	if len(ip) < IPv4MinLen || ip.Version() != 4 || ip.HeaderLen() < IPv4MinLen || ip.TotalLen() < ip.HeaderLen() || ip.TotalLen() > len(ip) {
		return
	}
	fr.Trim(ip.TotalLen())
	IsICMPError(ip)
	if fr.IPLen() > 68 && Fragmentable(ip, 68) {
		Fragment(fr, 68, func() *Frame { return &Frame{Buf: make([]byte, Headroom+EthernetLen+68)} })
	}
}
