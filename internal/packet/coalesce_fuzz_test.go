package packet

import "testing"

// FuzzCoalesce: two frames that passed the step check, whatever they hold, are
// joined without a loss or not at all.
func FuzzCoalesce(f *testing.F) {
	add := func(a, b *Frame) {
		var va, vb [VnetLen]byte
		a.Offload.Put(va[:])
		b.Offload.Put(vb[:])
		f.Add(va[:], a.Bytes(), vb[:], b.Bytes())
	}
	g := gso{kind: GSOTCPv4, size: 100, payload: 250, flags: tcpACK, id: 7, tcpOpts: 12}
	all := segments(f, g.frame())
	add(all[0], all[1])
	add(all[1], all[2])
	late := all[1].Clone()
	asDevice(late)
	add(all[0], late)
	g.payload = 200
	add(g.frame(), all[2])
	g = gso{kind: GSOTCPv6, v6: true, size: 100, payload: 250, flags: tcpACK, tcpOpts: 12}
	six := segments(f, g.frame())
	add(six[0], six[1])
	add(six[1], six[2])
	add(all[0], six[1])
	add(gso{kind: GSOUDPL4, size: 100, payload: 100}.frame(), all[1])
	add(gso{kind: GSOTCPv4, size: 100, payload: 100, outer: 1}.frame(), all[1])
	f.Fuzz(func(t *testing.T, va, ab, vb, bb []byte) {
		a, b := checkedFrame(va, ab), checkedFrame(vb, bb)
		if a == nil || b == nil {
			return
		}
		want := append(cut(t, a), cut(t, b)...)
		if head := roomy(a); changesNothing(t, head, b) {
			same(t, want, cut(t, head))
		}
	})
}

// checkedFrame is a frame as the step check lets it pass, or nil: with a valid
// offload header, a valid IP header, and nothing behind the packet.
func checkedFrame(vnet, b []byte) *Frame {
	if len(vnet) < VnetLen || len(b) < EthernetLen+IPv4MinLen || len(b) > EthernetLen+IPv4MaxLen {
		return nil
	}
	f := FrameOf(b)
	f.Offload = ParseOffload(vnet)
	if !f.Admit() || f.Len < EthernetLen+IPv4MinLen {
		return nil
	}
	if ip := IPv6(f.Payload()); f.EtherType() == EtherTypeIPv6 {
		if len(ip) < IPv6MinLen || ip.Version() != 6 || IPv6MinLen+ip.PayloadLen() > len(ip) {
			return nil
		}
		if f.Trim(IPv6MinLen + ip.PayloadLen()); !f.OffloadValid() {
			return nil
		}
		return f
	}
	ip := IPv4(f.Payload())
	if ip.Version() != 4 || ip.HeaderLen() < IPv4MinLen || ip.TotalLen() < ip.HeaderLen() || ip.TotalLen() > len(ip) {
		return nil
	}
	ip.SetChecksum()
	f.Trim(ip.TotalLen())
	if !f.OffloadValid() {
		return nil
	}
	return f
}
