package packet

// Fragment cuts an IPv4 packet without pending offloads into fragments of at
// most mtu bytes (RFC 791 3.2): the first stays in f, next lends a frame for each
// other one. Options go into every fragment or into the first alone, as their
// copy bit says. Each fragment's Ethernet header is f's.
func Fragment(f *Frame, mtu int, next func() *Frame) {
	ip := IPv4(f.Payload())
	hl, total := ip.HeaderLen(), ip.TotalLen()
	offset, more := ip.FragOffset(), ip.MF()
	first := (mtu - hl) &^ 7
	rest := laterHeader(ip[:hl])
	step := (mtu - len(rest)) &^ 7
	for at := hl + first; at < total; at += step {
		payload := ip[at:min(at+step, total)]
		g := next()
		g.Reset(EthernetLen + len(rest) + len(payload))
		b := g.Bytes()
		copy(b, f.Bytes()[:EthernetLen])
		gip := IPv4(b[EthernetLen:])
		copy(gip, rest)
		copy(gip[len(rest):], payload)
		gip.setFragment(len(gip), offset+at-hl, more || at+step < total)
		gip.SetChecksum()
	}
	ip.setFragment(hl+first, offset, true)
	ip.SetChecksum()
	f.Trim(hl + first)
}

// Fragmentable says whether a fragment of mtu bytes can carry the header and
// eight bytes of data: without that there is nothing to cut. Nor can a fragment
// be cut that ends where no datagram does: the offset would wrap around.
func Fragmentable(ip IPv4, mtu int) bool {
	return mtu >= ip.HeaderLen()+8 && ip.FragOffset()+ip.TotalLen()-ip.HeaderLen() <= IPv4MaxLen
}

// laterHeader is the header for the fragments after the first: the options with
// the copy bit alone, padded to a multiple of four bytes.
func laterHeader(h []byte) []byte {
	if len(h) == IPv4MinLen {
		return h
	}
	out := append(make([]byte, 0, 60), h[:IPv4MinLen]...)
	for opts := h[IPv4MinLen:]; len(opts) > 0 && opts[0] != 0; {
		n := 1
		if opts[0] != 1 { // not No Operation, so it has a length
			if len(opts) < 2 || int(opts[1]) < 2 || int(opts[1]) > len(opts) {
				break
			}
			n = int(opts[1])
			if opts[0]&0x80 != 0 {
				out = append(out, opts[:n]...)
			}
		}
		opts = opts[n:]
	}
	for len(out)%4 != 0 {
		out = append(out, 0)
	}
	out[0] = 0x40 | byte(len(out)/4)
	return out
}
