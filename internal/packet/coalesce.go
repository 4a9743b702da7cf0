package packet

import (
	"bytes"
	"encoding/binary"
)

const tcpACK = 0x10

// Coalesce appends the data of next to the TCP segment, or the superframe of
// segments, in f, as a kernel's receive offload does: so that a workload's stack
// takes one large frame instead of many small ones. It answers false, and changes
// nothing, unless next is what would have been cut from the same data behind f.
// What comes of it is a GSO frame, whose segments are the frames that went in.
func Coalesce(f, next *Frame) bool {
	a, b := IPv4(f.Payload()), IPv4(next.Payload())
	if next.Offload.IsGSO() || !plainTCP(a) || !plainTCP(b) || !bytes.Equal(f.Bytes()[:EthernetLen], next.Bytes()[:EthernetLen]) {
		return false
	}
	hl := IPv4MinLen + tcpLen(b)
	size := len(a) - hl
	if f.Offload.IsGSO() {
		size = int(f.Offload.GSOSize)
	} else if !tcpIntact(f) {
		return false
	}
	data := b[hl:]
	switch {
	case len(data) == 0 || len(data) > size, len(a) <= hl,
		(len(a)-hl)%size != 0, // f ends with a short segment: nothing comes behind that
		len(a)+len(data) > IPv4MaxLen, len(a)-hl >= size*maxSegments,
		f.Off+f.Len+len(data) > len(f.Buf),
		!sameStream(a, b, (len(a)-hl)/size, len(a)-hl),
		!tcpIntact(next):
		return false
	}
	copy(f.Buf[f.Off+f.Len:], data)
	f.Len += len(data)
	f.becomeGSO(size, hl, b[IPv4MinLen+13])
	return true
}

// plainTCP says whether a segment is one that may be joined: no IP options, no
// fragment, no flags but ACK and PSH.
func plainTCP(ip IPv4) bool {
	return ip[0] == 0x45 && ip.Protocol() == ProtocolTCP && !ip.IsFragment() &&
		len(ip) >= IPv4MinLen+TCPMinLen && tcpLen(ip) >= TCPMinLen && len(ip) >= IPv4MinLen+tcpLen(ip) &&
		ip[IPv4MinLen+13]&^tcpPSH == tcpACK
}

func tcpLen(ip IPv4) int { return int(ip[IPv4MinLen+12]>>4) * 4 }

// sameStream says whether b is the segment that follows the n segments and size
// bytes of data in a: the same headers, but for what counts on.
func sameStream(a, b IPv4, n, size int) bool {
	ta, tb := a[IPv4MinLen:], b[IPv4MinLen:]
	seq := binary.BigEndian.Uint32(ta[4:]) + uint32(size)
	return a.TOS() == b.TOS() && a.TTL() == b.TTL() && a.fragField() == b.fragField() &&
		b.ID() == a.ID()+uint16(n) &&
		bytes.Equal(a[12:20], b[12:20]) && // addresses
		bytes.Equal(ta[:4], tb[:4]) && // ports
		binary.BigEndian.Uint32(tb[4:]) == seq &&
		bytes.Equal(ta[8:13], tb[8:13]) && // acknowledgement, header length
		ta[13]&tcpPSH == 0 && // data that was pushed is handed on as it is
		bytes.Equal(ta[14:16], tb[14:16]) && // window
		bytes.Equal(ta[18:tcpLen(a)], tb[18:tcpLen(b)]) // urgent pointer, options
}

// tcpIntact says whether the segment's checksum is right, or will be once it is
// made: in a superframe a wrong one would be lost sight of.
func tcpIntact(f *Frame) bool {
	ip := IPv4(f.Payload())
	tcp := ip[IPv4MinLen:]
	if o := &f.Offload; o.NeedsChecksum() {
		return o.CsumStart == EthernetLen+IPv4MinLen && o.CsumOffset == tcpChecksum &&
			binary.BigEndian.Uint16(tcp[tcpChecksum:]) == pseudoHeader(ip[12:20], ProtocolTCP, len(tcp))
	}
	return Sum(tcp, pseudoHeader(ip[12:20], ProtocolTCP, len(tcp))) == 0xffff
}

// becomeGSO makes the headers those of a superframe of segments of some bytes.
func (f *Frame) becomeGSO(size, headers int, flags byte) {
	ip := IPv4(f.Payload())
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	ip.SetChecksum()
	tcp := ip[IPv4MinLen:]
	tcp[13] |= flags & tcpPSH
	binary.BigEndian.PutUint16(tcp[tcpChecksum:], pseudoHeader(ip[12:20], ProtocolTCP, len(tcp)))
	f.Offload = Offload{
		Flags: needsChecksum, GSOType: GSOTCPv4, GSOSize: uint16(size), HeaderLen: uint16(EthernetLen + headers),
		CsumStart: EthernetLen + IPv4MinLen, CsumOffset: tcpChecksum,
	}
}
