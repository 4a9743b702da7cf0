package packet

import "encoding/binary"

const (
	tcpFIN = 0x01
	tcpPSH = 0x08
	tcpCWR = 0x80
)

// Segment cuts a GSO frame (with a valid offload header) into the packets that
// it stands for, each with its own lengths, identification, sequence number and
// checksums, as a device would. next lends an empty frame for each; their
// headroom is the usual one. (linux Documentation/networking/segmentation-offloads)
// A frame without payload is one packet.
func Segment(f *Frame, next func() *Frame) {
	h, size := f.headersLen(), int(f.Offload.GSOSize)
	src := f.Bytes()
	for i, at := 0, h; i == 0 || at < len(src); i, at = i+1, at+size {
		payload := src[at:min(at+size, len(src))]
		s := next()
		s.Reset(h + len(payload))
		b := s.Bytes()
		copy(b, src[:h])
		copy(b[h:], payload)
		f.finishSegment(s, i, at-h, at+size >= len(src))
	}
}

// finishSegment sets what differs from segment to segment: segment i starts at
// byte offset of the payload.
func (f *Frame) finishSegment(s *Frame, i, offset int, last bool) {
	b, start := s.Bytes(), int(f.Offload.CsumStart)
	var ip IPv4
	for at := EthernetLen; at < start; at += ip.HeaderLen() { // a tunnel's header, too
		ip = IPv4(b[at:])
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint16(ip[4:], ip.ID()+uint16(i))
		ip.SetChecksum()
	}
	l4 := b[start:]
	sumAt := int(f.Offload.CsumOffset)
	if f.Offload.GSOType&^GSOECN == GSOTCPv4 {
		finishTCP(l4, i, offset, last)
	} else {
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	}
	binary.BigEndian.PutUint16(l4[sumAt:], pseudoHeader(ip, len(l4)))
	s.Offload = Offload{Flags: needsChecksum, CsumStart: f.Offload.CsumStart, CsumOffset: f.Offload.CsumOffset}
	s.FinishChecksum()
}

// finishTCP moves the sequence number on; FIN and PSH belong to the last
// segment, CWR to the first (RFC 3168 6.1.2).
func finishTCP(tcp []byte, i, offset int, last bool) {
	binary.BigEndian.PutUint32(tcp[4:], binary.BigEndian.Uint32(tcp[4:])+uint32(offset))
	if !last {
		tcp[13] &^= tcpFIN | tcpPSH
	}
	if i > 0 {
		tcp[13] &^= tcpCWR
	}
}
