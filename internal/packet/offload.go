package packet

import "encoding/binary"

// GSO types of the virtio header (linux/virtio_net.h). The ECN bit may be added to TCP's.
const (
	GSONone  = 0
	GSOTCPv4 = 1
	GSOTCPv6 = 4
	GSOUDPL4 = 5
	GSOECN   = 0x80
)

const needsChecksum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM

const (
	// maxSegments is more than 64 KB at Linux's least segment size (48 bytes,
	// net.ipv4.tcp_min_snd_mss) make, with TCP options taken off.
	maxSegments = 4096
	// maxUDPSegments is how many every kernel takes in one frame; later ones take 128
	// (UDP_MAX_SEGMENTS).
	maxUDPSegments = 64

	tcpChecksum  = 16 // where the checksum is in the header
	udpChecksum  = 6
	sctpChecksum = 8
	sctpMinLen   = 12
)

// Offload is the virtio header of a frame: what the kernel left undone, trusting
// the device to do it. Offsets count from the Ethernet header.
type Offload struct {
	Flags      uint8
	GSOType    uint8
	HeaderLen  uint16 // a hint, which we do not trust
	GSOSize    uint16 // bytes of payload a segment
	CsumStart  uint16
	CsumOffset uint16
}

// ParseOffload reads the 10 bytes of a virtio header in host byte order.
func ParseOffload(b []byte) Offload {
	_ = b[VnetLen-1]
	return Offload{
		Flags: b[0], GSOType: b[1],
		HeaderLen: binary.NativeEndian.Uint16(b[2:]), GSOSize: binary.NativeEndian.Uint16(b[4:]),
		CsumStart: binary.NativeEndian.Uint16(b[6:]), CsumOffset: binary.NativeEndian.Uint16(b[8:]),
	}
}

// Put writes the virtio header.
func (o *Offload) Put(b []byte) {
	_ = b[VnetLen-1]
	b[0], b[1] = o.Flags, o.GSOType
	binary.NativeEndian.PutUint16(b[2:], o.HeaderLen)
	binary.NativeEndian.PutUint16(b[4:], o.GSOSize)
	binary.NativeEndian.PutUint16(b[6:], o.CsumStart)
	binary.NativeEndian.PutUint16(b[8:], o.CsumOffset)
}

// Move shifts the offsets by n bytes, as headers are put on or taken off in front.
func (o *Offload) Move(n int) {
	if o.NeedsChecksum() {
		o.CsumStart = uint16(int(o.CsumStart) + n)
	}
	if o.HeaderLen != 0 {
		o.HeaderLen = uint16(int(o.HeaderLen) + n)
	}
}

// NeedsChecksum says whether the transport checksum holds the pseudo-header's sum alone.
func (o *Offload) NeedsChecksum() bool { return o.Flags&needsChecksum != 0 }

// IsGSO says whether the frame is a superframe: several packets that only the wire parts.
func (o *Offload) IsGSO() bool { return o.GSOType&^GSOECN != GSONone }

// DataAt is where the data of a superframe begins, behind all headers, from the Ethernet header on; 0 if its offload header does not tell.
func (f *Frame) DataAt() int {
	at := int(f.Offload.CsumStart)
	switch {
	case at == 0 || at+TCPMinLen > f.Len:
		return 0
	case f.Offload.isTCP():
		return at + int(f.Buf[f.Off+at+12]>>4)*4
	case f.Offload.GSOType == GSOUDPL4:
		return at + UDPLen
	}
	return 0
}

func (o *Offload) isTCP() bool {
	kind := o.GSOType &^ GSOECN
	return kind == GSOTCPv4 || kind == GSOTCPv6
}

// Pending says whether the frame may go only to a port that can finish it.
func (o *Offload) Pending() bool { return o.NeedsChecksum() || o.IsGSO() }

// Admit makes a frame that was read one that the steps know, and says whether its
// virtio header can be followed (OffloadValid). A superframe's checksum is left to be
// made, as each segment gets another one, and its field holds the sum of its
// pseudo-header: the kernel may have joined it with the checksum of its first segment
// (LRO, a list of frames). The rest of the virtio header is of no use to anybody
// (DATA_VALID says that a checksum is right).
func (f *Frame) Admit() bool {
	if f.Len < EthernetLen {
		return false
	}
	if t := f.EtherType(); t == etherTypeVLAN || t == etherTypeQinQ {
		f.untag()
	}
	if !f.Offload.Pending() {
		f.Offload = Offload{}
		return true
	}
	return f.admitPending()
}

func (f *Frame) admitPending() bool {
	o := &f.Offload
	if !o.IsGSO() {
		*o = Offload{Flags: needsChecksum, CsumStart: o.CsumStart, CsumOffset: o.CsumOffset}
		return f.checksumValid()
	}
	var h headers
	if !h.ofSuperframe(f) {
		return false
	}
	o.Flags, o.HeaderLen = needsChecksum, min(o.HeaderLen, uint16(h.len))
	o.CsumStart = uint16(h.transport)
	if o.CsumOffset = udpChecksum; o.isTCP() {
		o.CsumOffset = tcpChecksum
	}
	l4 := f.Bytes()[h.transport:]
	binary.BigEndian.PutUint16(l4[o.CsumOffset:], h.innermost().pseudoHeader(f.Bytes(), h.protocol, len(l4)))
	if len(l4) <= h.len-h.transport+int(o.GSOSize) { // it is one packet
		o.GSOType, o.GSOSize, o.HeaderLen = GSONone, 0, 0
	}
	return true
}

// untag takes the tag off a priority-tagged frame: with the VLAN id 0 it is an
// untagged one (IEEE 802.1Q 6.9.1).
func (f *Frame) untag() {
	if f.Len < EthernetLen+vlanTagLen || binary.BigEndian.Uint16(f.Payload())&0x0fff != 0 {
		return
	}
	copy(f.Buf[f.Off+vlanTagLen:], f.Buf[f.Off:f.Off+12])
	f.Off += vlanTagLen
	f.Len -= vlanTagLen
	f.Offload.Move(-vlanTagLen)
}

// OffloadValid says whether the virtio header can be followed: what is to be written
// lies inside the frame and behind its IP header, and a superframe can be cut. It is
// asked again when an admitted frame gets shorter.
func (f *Frame) OffloadValid() bool {
	o := &f.Offload
	if !o.Pending() {
		return true
	}
	if o.IsGSO() {
		var h headers
		return o.NeedsChecksum() && h.ofSuperframe(f)
	}
	return f.checksumValid()
}

func (f *Frame) checksumValid() bool {
	start := int(f.Offload.CsumStart)
	if start < EthernetLen+IPv4MinLen || start+int(f.Offload.CsumOffset)+2 > f.Len {
		return false
	}
	_, end := f.outer()
	return start >= end
}

// outer is the protocol that the first IP header speaks of, and where that begins.
func (f *Frame) outer() (protocol byte, at int) {
	switch p := f.Payload(); f.EtherType() {
	case EtherTypeIPv4:
		return IPv4(p).Protocol(), EthernetLen + IPv4(p).HeaderLen()
	case EtherTypeIPv6:
		return p[6], EthernetLen + IPv6MinLen
	}
	return 0, EthernetLen
}

// ofSuperframe finds the headers of one, if they are of the kind that the virtio
// header speaks of, and not more segments than anything but an attack on our memory
// would make follow them.
func (h *headers) ofSuperframe(f *Frame) bool {
	o := &f.Offload
	wanted, sumAt, start := byte(ProtocolTCP), uint16(tcpChecksum), 0
	if o.GSOType == GSOUDPL4 {
		wanted, sumAt = ProtocolUDP, udpChecksum
	} else if !o.isTCP() {
		return false
	}
	if o.NeedsChecksum() {
		if start = int(o.CsumStart); start == 0 || o.CsumOffset != sumAt {
			return false
		}
	}
	if o.GSOSize == 0 || !h.find(f, start, wanted) {
		return false
	}
	switch inner := h.innermost().kind; {
	case o.GSOType&^GSOECN == GSOTCPv4 && inner != ipv4Header, o.GSOType&^GSOECN == GSOTCPv6 && inner != ipv6Header:
		return false
	}
	h.len = f.headersLen(h.transport)
	return h.len > 0 && h.len <= maxHeaders && f.Len-h.len <= int(o.GSOSize)*maxSegments
}

// Plain says whether what is left to do is what every device can do: TCP or UDP
// follows the one IP header. A virtio header has no words for a packet in a packet,
// for SCTP's checksum, nor for a CWR that every segment is to have; what is sent so
// would be lost or damaged.
func (f *Frame) Plain() bool {
	o := &f.Offload
	protocol, at := f.outer()
	switch {
	case int(o.CsumStart) != at:
		return false
	case protocol == ProtocolTCP && o.CsumOffset == tcpChecksum:
		return !o.IsGSO() || o.GSOType&GSOECN != 0 || f.Buf[f.Off+at+13]&tcpCWR == 0
	case protocol == ProtocolUDP && o.CsumOffset == udpChecksum:
		return !o.IsGSO() || f.Len-at-UDPLen <= int(o.GSOSize)*maxUDPSegments
	}
	return false
}

// JoinedTo says whether an admitted frame is several datagrams to a port of UDP.
func (f *Frame) JoinedTo(port uint16) bool {
	protocol, at := f.outer()
	return f.Offload.GSOType == GSOUDPL4 && protocol == ProtocolUDP && int(f.Offload.CsumStart) == at &&
		binary.BigEndian.Uint16(f.Bytes()[at+2:]) == port
}

// InTunnel says whether the first IP header of a superframe that the steps are done with is an outer one: what the
// device is to finish is not what follows it.
func (f *Frame) InTunnel() bool {
	_, at := f.outer()
	return f.Offload.IsGSO() && int(f.Offload.CsumStart) != at
}

// headersLen is the length of all headers of a superframe up to the data behind its
// transport header, or 0 if they do not lie inside it.
func (f *Frame) headersLen(l4 int) int {
	n := l4 + UDPLen
	if f.Offload.isTCP() {
		if l4+TCPMinLen > f.Len {
			return 0
		}
		doff := int(f.Buf[f.Off+l4+12]>>4) * 4
		if doff < TCPMinLen {
			return 0
		}
		n = l4 + doff
	}
	if n > f.Len {
		return 0
	}
	return n
}

// OnWire says how many packets and bytes (Ethernet headers included) the frame
// is once it is on a wire: a 64 KB frame of 44 segments is 44 packets.
func (f *Frame) OnWire() (packets, bytes uint64) {
	if !f.Offload.IsGSO() || f.Offload.GSOSize == 0 {
		return 1, uint64(f.Len)
	}
	h := f.headersLen(int(f.Offload.CsumStart))
	size := int(f.Offload.GSOSize)
	n := max(1, (f.Len-h+size-1)/size)
	return uint64(n), uint64(f.Len + (n-1)*h)
}

// IPLen is the length that counts against an MTU: of the largest IP packet that
// the frame, whose offload header is valid, becomes on the wire.
func (f *Frame) IPLen() int {
	if f.Offload.IsGSO() {
		return min(f.Len, f.headersLen(int(f.Offload.CsumStart))+int(f.Offload.GSOSize)) - EthernetLen
	}
	return f.Len - EthernetLen
}
