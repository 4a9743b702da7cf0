package packet

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// Sum is the Internet checksum's running sum (RFC 1071): a one's complement sum
// of 16-bit words, folded to 16 bits, not yet complemented. b of odd length is
// padded with a zero.
func Sum(b []byte, start uint16) uint16 {
	sum, carry := uint64(start), uint64(0)
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	if len(b) >= 4 { // what is left of an IPv4 header
		sum, carry = bits.Add64(sum, uint64(binary.BigEndian.Uint32(b))<<32, carry)
		b = b[4:]
	}
	tail := uint64(0)
	for i, x := range b {
		tail |= uint64(x) << (56 - 8*i)
	}
	sum, carry = bits.Add64(sum, tail, carry)
	sum, carry = bits.Add64(sum, 0, carry)
	sum += carry
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum&0xffff)
}

// sum20 is Sum of the 20 bytes of an IPv4 header without options.
func sum20(b []byte) uint16 {
	_ = b[19]
	x, y := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	sum := x>>32 + x&0xffffffff + y>>32 + y&0xffffffff + uint64(binary.BigEndian.Uint32(b[16:]))
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum&0xffff)
}

// Checksum is the Internet checksum of b (RFC 1071).
func Checksum(b []byte) uint16 { return ^Sum(b, 0) }

// UpdateChecksum is the checksum after one 16-bit word went from old to new:
// HC' = ~(~HC + ~m + m'), RFC 1624 equation 3, which is right in the corner
// where the older form gave 0xffff for 0x0000.
func UpdateChecksum(sum, old, new uint16) uint16 {
	s := uint32(^sum) + uint32(^old) + uint32(new)
	s = s>>16 + s&0xffff
	return ^uint16(s>>16 + s)
}

// pseudoHeader is the sum of the pseudo-header in front of a transport header, of
// both addresses of either family (RFC 9293 3.1, RFC 8200 8.1).
func pseudoHeader(addresses []byte, protocol byte, length int) uint16 {
	var b [40]byte
	n := copy(b[:32], addresses)
	binary.BigEndian.PutUint32(b[n:], uint32(length))
	b[n+7] = protocol
	return Sum(b[:n+8], 0)
}

// putChecksum makes the Internet checksum of b. Its place in b holds the sum of a
// pseudo-header, or 0.
func putChecksum(b []byte, at int) {
	sum := Checksum(b)
	if sum == 0 {
		sum = 0xffff // the same number; in UDP a zero would mean that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(b[at:], sum)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// FinishChecksum computes the transport checksum that the virtio header says is
// still to be done, over the whole payload: what a device does on its way out.
func (f *Frame) FinishChecksum() {
	if !f.Offload.NeedsChecksum() {
		return
	}
	b := f.Bytes()[f.Offload.CsumStart:]
	at := int(f.Offload.CsumOffset)
	if f.isSCTP() {
		clear(b[at : at+4])
		binary.LittleEndian.PutUint32(b[at:], crc32.Checksum(b, castagnoli)) // RFC 9260 appendix A
	} else {
		putChecksum(b, at)
	}
	f.Offload = Offload{}
}

// isSCTP says whether the checksum to be made is SCTP's, which is no Internet checksum.
func (f *Frame) isSCTP() bool {
	start := int(f.Offload.CsumStart)
	if f.Offload.CsumOffset != sctpChecksum || start+sctpMinLen > f.Len {
		return false
	}
	var h headers
	return h.find(f, start, ProtocolSCTP)
}
