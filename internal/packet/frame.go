// Package packet holds the wire formats that the router reads and writes:
// views on bytes, checksums, and nothing that does I/O.
package packet

import "encoding/binary"

// Sizes in bytes.
const (
	EthernetLen = 14
	IPv4MinLen  = 20
	IPv4MaxLen  = 65535
	IPv6MinLen  = 40
	VnetLen     = 10 // the virtio header in front of a frame, where a port has one

	// Headroom is the free space in front of a frame as it is read: enough for
	// the virtio header and for the outer headers, of VXLAN over IPv6 and a fragment at the
	// most, so that encapsulation moves the frame's start and copies nothing. With 126 the IP
	// header is at a multiple of 4, and the data of a TCP segment over IPv4 with
	// timestamps at one of Alignment.
	Headroom = 126
	// Alignment of a superframe's data in bytes: the kernel copies what is aligned faster.
	Alignment = 64
	// MaxFrameLen is the largest frame that a port can read, and BufferLen holds one, wherever its data is aligned.
	MaxFrameLen = EthernetLen + IPv4MaxLen + 1
	BufferLen   = Headroom + Alignment + MaxFrameLen
	// ownLen is the buffer of a frame that the router makes, as long as that is
	// enough: for a packet of 1,500 bytes in a tunnel.
	ownLen = 2048
)

// Ethernet types.
const (
	EtherTypeIPv4 = 0x0800
	EtherTypeARP  = 0x0806
	EtherTypeIPv6 = 0x86dd

	etherTypeVLAN = 0x8100 // IEEE 802.1Q: a tag follows
	etherTypeQinQ = 0x88a8
)

const vlanTagLen = 4

// Frame is one Ethernet frame in its buffer:
//
//	headroom (virtio header at its end) | Ethernet header | payload
//
// Whoever reads a frame from a port owns its buffer, until the batch it came in
// is written out; who needs it longer copies it (Clone).
type Frame struct {
	Buf     []byte
	Off     int // where the Ethernet header starts in Buf
	Len     int // bytes from the Ethernet header on
	Offload Offload
}

// NewFrame allocates a frame with an empty buffer of the largest size.
func NewFrame() Frame { return Frame{Buf: make([]byte, BufferLen), Off: Headroom} }

// FrameOf copies bytes that start at the Ethernet header into a new frame.
func FrameOf(b []byte) *Frame {
	f := &Frame{Buf: make([]byte, Headroom+len(b)), Off: Headroom, Len: len(b)}
	copy(f.Buf[Headroom:], b)
	return f
}

// Clone copies a frame, headroom included, into a buffer of its own.
func (f *Frame) Clone() *Frame {
	c := &Frame{Buf: make([]byte, f.Off+f.Len), Off: f.Off, Len: f.Len, Offload: f.Offload}
	copy(c.Bytes(), f.Bytes())
	return c
}

// Reset makes the frame an empty one of n bytes behind the usual headroom. Its
// bytes are whatever was in the buffer, which is made where there is none, or too
// short a one.
func (f *Frame) Reset(n int) {
	if len(f.Buf) < Headroom+n {
		f.Buf = make([]byte, max(ownLen, Headroom+n))
	}
	f.Off, f.Len, f.Offload = Headroom, n, Offload{}
}

// Bytes is the frame from its Ethernet header on.
func (f *Frame) Bytes() []byte { return f.Buf[f.Off : f.Off+f.Len] }

// Payload is what follows the Ethernet header.
func (f *Frame) Payload() []byte { return f.Buf[f.Off+EthernetLen : f.Off+f.Len] }

// Trim cuts the frame after n bytes of payload: the padding of a short frame.
func (f *Frame) Trim(n int) { f.Len = min(f.Len, EthernetLen+n) }

// EtherType of the frame, which must hold a whole Ethernet header.
func (f *Frame) EtherType() uint16 { return binary.BigEndian.Uint16(f.Buf[f.Off+12:]) }

// SetStations writes both addresses of the Ethernet header.
func (f *Frame) SetStations(dst, src MAC) {
	h := f.Buf[f.Off : f.Off+12]
	copy(h, dst[:])
	copy(h[6:], src[:])
}

// SetEtherType changes it, as the header that follows became one of another family.
func (f *Frame) SetEtherType(t uint16) { binary.BigEndian.PutUint16(f.Buf[f.Off+12:], t) }

// DstMAC is the frame's destination.
func (f *Frame) DstMAC() MAC { return MAC(f.Buf[f.Off:]) }

// SrcMAC is the frame's source.
func (f *Frame) SrcMAC() MAC { return MAC(f.Buf[f.Off+6:]) }

// SetEthernet writes the Ethernet header.
func (f *Frame) SetEthernet(dst, src MAC, etherType uint16) {
	h := f.Buf[f.Off : f.Off+EthernetLen]
	copy(h, dst[:])
	copy(h[6:], src[:])
	binary.BigEndian.PutUint16(h[12:], etherType)
}

// Prepend makes room for n bytes of header, EthernetLen at least, behind the
// Ethernet header, which moves along. The room comes out of the headroom.
func (f *Frame) Prepend(n int) {
	copy(f.Buf[f.Off-n:], f.Buf[f.Off:f.Off+EthernetLen])
	f.Off -= n
	f.Len += n
	f.Offload.Move(n)
}

// Strip takes n bytes of header away from behind the Ethernet header.
func (f *Frame) Strip(n int) {
	copy(f.Buf[f.Off+n:], f.Buf[f.Off:f.Off+EthernetLen])
	f.Off += n
	f.Len -= n
	f.Offload.Move(-n)
}
