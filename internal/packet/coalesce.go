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
	a, b := IP(f.Payload()), IP(next.Payload())
	if next.Offload.IsGSO() || !bytes.Equal(f.Bytes()[:EthernetLen], next.Bytes()[:EthernetLen]) {
		return false
	}
	at := plainTCP(a)
	if at == 0 || plainTCP(b) != at {
		return false
	}
	hl := at + tcpLen(b[at:])
	size := len(a) - hl
	if f.Offload.IsGSO() {
		size = int(f.Offload.GSOSize)
	} else if !tcpIntact(f, at) {
		return false
	}
	data := b[hl:]
	switch {
	case len(data) == 0 || len(data) > size, len(a) <= hl,
		(len(a)-hl)%size != 0, // f ends with a short segment: nothing comes behind that
		len(a)+len(data) > IPv4MaxLen, len(a)-hl >= size*maxSegments,
		f.Off+f.Len+len(data) > len(f.Buf),
		!sameFlow(a, b, (len(a)-hl)/size), !sameStream(a[at:], b[at:], len(a)-hl),
		!tcpIntact(next, at):
		return false
	}
	copy(f.Buf[f.Off+f.Len:], data)
	f.Len += len(data)
	f.becomeGSO(size, at, hl, b[at+13])
	return true
}

// plainTCP is where the TCP header begins of a segment that may be joined: no IP options,
// no extension headers, no fragment, no flags but ACK and PSH. 0: it may not.
func plainTCP(ip IP) (at int) {
	switch {
	case ip[0] == 0x45 && ip[9] == ProtocolTCP && !IPv4(ip).IsFragment():
		at = IPv4MinLen
	case ip[0]>>4 == 6 && ip[6] == ProtocolTCP:
		at = IPv6MinLen
	default:
		return 0
	}
	if len(ip) < at+TCPMinLen {
		return 0
	}
	if n := tcpLen(ip[at:]); n < TCPMinLen || len(ip) < at+n || ip[at+13]&^tcpPSH != tcpACK {
		return 0
	}
	return at
}

func tcpLen(tcp []byte) int { return int(tcp[12]>>4) * 4 }

// sameFlow says whether b has the IP header of what follows the n segments in a.
func sameFlow(a, b IP, n int) bool {
	if a.Version() == 6 {
		return bytes.Equal(a[:4], b[:4]) && bytes.Equal(a[6:40], b[6:40]) // all but the length
	}
	v, w := IPv4(a), IPv4(b)
	return v.TOS() == w.TOS() && v.TTL() == w.TTL() && v.fragField() == w.fragField() &&
		w.ID() == v.ID()+uint16(n) &&
		bytes.Equal(v[12:20], w[12:20]) // addresses
}

// sameStream says whether b has the TCP header of what follows size bytes of data
// behind a: the same, but for what counts on.
func sameStream(a, b []byte, size int) bool {
	seq := binary.BigEndian.Uint32(a[4:]) + uint32(size)
	return bytes.Equal(a[:4], b[:4]) && // ports
		binary.BigEndian.Uint32(b[4:]) == seq &&
		bytes.Equal(a[8:13], b[8:13]) && // acknowledgement, header length
		a[13]&tcpPSH == 0 && // data that was pushed is handed on as it is
		bytes.Equal(a[14:16], b[14:16]) && // window
		bytes.Equal(a[18:tcpLen(a)], b[18:tcpLen(b)]) // urgent pointer, options
}

// addresses are both of them.
func (p IP) addresses() []byte {
	if p.Version() == 4 {
		return p[12:20]
	}
	return p[8:40]
}

// tcpIntact says whether the segment's checksum is right, or will be once it is
// made: in a superframe a wrong one would be lost sight of.
func tcpIntact(f *Frame, at int) bool {
	ip := IP(f.Payload())
	tcp := ip[at:]
	if o := &f.Offload; o.NeedsChecksum() {
		return int(o.CsumStart) == EthernetLen+at && o.CsumOffset == tcpChecksum &&
			binary.BigEndian.Uint16(tcp[tcpChecksum:]) == pseudoHeader(ip.addresses(), ProtocolTCP, len(tcp))
	}
	return Sum(tcp, pseudoHeader(ip.addresses(), ProtocolTCP, len(tcp))) == 0xffff
}

// becomeGSO makes the headers, of which TCP's begins at a place, those of a superframe
// of segments of some bytes.
func (f *Frame) becomeGSO(size, at, headers int, flags byte) {
	ip, kind := IP(f.Payload()), uint8(GSOTCPv4)
	if ip.Version() == 6 {
		kind = GSOTCPv6
		IPv6(ip).setPayloadLen(len(ip) - IPv6MinLen)
	} else {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		IPv4(ip).SetChecksum()
	}
	tcp := ip[at:]
	tcp[13] |= flags & tcpPSH
	binary.BigEndian.PutUint16(tcp[tcpChecksum:], pseudoHeader(ip.addresses(), ProtocolTCP, len(tcp)))
	f.Offload = Offload{
		Flags: needsChecksum, GSOType: kind, GSOSize: uint16(size), HeaderLen: uint16(EthernetLen + headers),
		CsumStart: uint16(EthernetLen + at), CsumOffset: tcpChecksum,
	}
}
