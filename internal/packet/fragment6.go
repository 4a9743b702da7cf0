package packet

// Fragment6 cuts an IPv6 packet that this host sends, without extension headers and
// pending offloads, into fragments of at most mtu bytes (RFC 8200 4.5): the first stays
// in f, whose headroom takes the fragment header; next lends a frame for each other one.
// Each fragment's Ethernet header is f's. What is forwarded is never cut.
func Fragment6(f *Frame, mtu int, id uint32, next func() *Frame) {
	const headers = EthernetLen + IPv6MinLen
	protocol, data := IPv6(f.Payload()).NextHeader(), f.Bytes()[headers:]
	step := (mtu - IPv6MinLen - FragmentHeaderLen) &^ 7
	finish := func(g *Frame, offset int, more bool) {
		ip := IPv6(g.Payload())
		ip[6] = HeaderFragment
		ip.setPayloadLen(len(ip) - IPv6MinLen)
		PutFragmentHeader(ip[IPv6MinLen:], protocol, offset, more, id)
	}
	for at := step; at < len(data); at += step {
		part := data[at:min(at+step, len(data))]
		g := next()
		g.Reset(headers + FragmentHeaderLen + len(part))
		copy(g.Bytes(), f.Bytes()[:headers])
		copy(g.Bytes()[headers+FragmentHeaderLen:], part)
		finish(g, at, at+step < len(data))
	}
	copy(f.Buf[f.Off-FragmentHeaderLen:], f.Bytes()[:headers])
	f.Off -= FragmentHeaderLen
	f.Len = headers + FragmentHeaderLen + min(step, len(data))
	finish(f, 0, step < len(data))
}
