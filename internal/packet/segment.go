package packet

import "encoding/binary"

const (
	tcpFIN = 0x01
	tcpPSH = 0x08
	tcpCWR = 0x80
)

// Segment cuts an admitted superframe, whose offload header is valid, into the
// packets that it stands for, each with its own lengths, numbers and checksums in
// each of its headers, as a device would. next lends an empty frame for each; their
// headroom is the usual one. (linux Documentation/networking/segmentation-offloads)
// A frame without payload is one packet.
func Segment(f *Frame, next func() *Frame) {
	var h headers
	h.ofSuperframe(f)
	size := int(f.Offload.GSOSize)
	for i, at := 0, h.len; i == 0 || at < f.Len; i, at = i+1, at+size {
		s := f.piece(&h, i, at, min(at+size, f.Len), next())
		s.Offload = Offload{Flags: needsChecksum, CsumStart: f.Offload.CsumStart, CsumOffset: f.Offload.CsumOffset}
		s.FinishChecksum()
		s.tunnelChecksums(&h)
	}
}

// Split cuts an admitted superframe that is longer than an IP packet can be (BIG TCP)
// into superframes that are not.
func Split(f *Frame, next func() *Frame) (ok bool) {
	f.unjumbo()
	var h headers
	if !h.ofSuperframe(f) {
		return false
	}
	n := (IPv4MaxLen - (h.len - EthernetLen)) / int(f.Offload.GSOSize)
	if n == 0 {
		return false
	}
	for from := 0; f.Part(from, n, next()); from += n {
	}
	return true
}

// unjumbo takes the jumbo payload option (RFC 2675 2) out of an IPv6 packet: the
// kernel puts it into a superframe that is longer than the header can say.
func (f *Frame) unjumbo() {
	const optionLen = 8
	ip := f.Payload()
	if f.EtherType() != EtherTypeIPv6 || len(ip) < IPv6MinLen+optionLen || ip[4] != 0 || ip[5] != 0 || ip[6] != 0 ||
		[3]byte(ip[IPv6MinLen+1:]) != [3]byte{0, 0xc2, 4} {
		return
	}
	ip[6] = ip[IPv6MinLen]
	copy(f.Buf[f.Off+optionLen:], f.Buf[f.Off:f.Off+EthernetLen+IPv6MinLen])
	f.Off += optionLen
	f.Len -= optionLen
	f.Offload.Move(-optionLen)
}

// piece makes one frame of a part of the data, which begins with segment i.
func (f *Frame) piece(h *headers, i, from, to int, s *Frame) *Frame {
	s.Reset(h.len + to - from)
	b := s.Bytes()
	copy(b, f.Bytes()[:h.len])
	copy(b[h.len:], f.Bytes()[from:to])
	for _, x := range h.nested[:h.n] {
		x.number(b, i)
	}
	l4 := b[h.transport:]
	if f.Offload.isTCP() {
		f.finishTCP(l4, i, from-h.len, to == f.Len)
	} else {
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	}
	binary.BigEndian.PutUint16(l4[f.Offload.CsumOffset:], h.innermost().pseudoHeader(b, h.protocol, len(l4)))
	return s
}

// number sets what a header in b says of itself in segment i.
func (x header) number(b []byte, i int) {
	b = b[x.at:]
	switch x.kind {
	case ipv4Header:
		ip := IPv4(b)
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint16(ip[4:], ip.ID()+uint16(i))
		ip.SetChecksum()
	case ipv6Header:
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-IPv6MinLen))
	case udpHeader:
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	case greHeader:
		if n := greLen(b); b[0]&(greSequence>>8) != 0 {
			binary.BigEndian.PutUint32(b[n-4:], binary.BigEndian.Uint32(b[n-4:])+uint32(i))
		}
	}
}

// tunnelChecksums makes those that are over a whole packet in a packet, from the
// inside out. UDP need not have one (RFC 768, RFC 6935 5).
func (f *Frame) tunnelChecksums(h *headers) {
	for i := h.n - 1; i > 0; i-- { // the outermost is IP
		b := f.Bytes()[h.nested[i].at:]
		switch h.nested[i].kind {
		case udpHeader:
			if sum := b[udpChecksum:]; sum[0] != 0 || sum[1] != 0 {
				binary.BigEndian.PutUint16(sum, h.nested[i-1].pseudoHeader(f.Bytes(), ProtocolUDP, len(b)))
				putChecksum(b, udpChecksum)
			}
		case greHeader:
			if b[0]&(greChecksum>>8) != 0 {
				clear(b[greMinLen : greMinLen+2])
				putChecksum(b, greMinLen)
			}
		}
	}
}

// finishTCP moves the sequence number on; FIN and PSH belong to the last segment.
// CWR belongs to the first one alone where it is what RFC 3168 6.1.2 means by it,
// which the kernel says by a bit of its own: else it counts (RFC 9768 3.2.1), in each.
func (f *Frame) finishTCP(tcp []byte, i, offset int, last bool) {
	binary.BigEndian.PutUint32(tcp[4:], binary.BigEndian.Uint32(tcp[4:])+uint32(offset))
	if !last {
		tcp[13] &^= tcpFIN | tcpPSH
	}
	if i > 0 && f.Offload.GSOType&GSOECN != 0 {
		tcp[13] &^= tcpCWR
	}
}
