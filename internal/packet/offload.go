package packet

import "encoding/binary"

// GSO types of the virtio header (linux/virtio_net.h). The ECN bit may be added to TCPv4.
const (
	GSONone  = 0
	GSOTCPv4 = 1
	GSOUDPL4 = 5
	GSOECN   = 0x80
)

const needsChecksum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM

const (
	// maxSegments is more than 64 KB at Linux's least segment size (48 bytes,
	// net.ipv4.tcp_min_snd_mss) make, with TCP options taken off.
	maxSegments = 4096

	tcpChecksum = 16 // where the checksum is in the header
	udpChecksum = 6
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

// IsGSO says whether the frame is several packets that only the wire parts.
func (o *Offload) IsGSO() bool { return o.GSOType&^GSOECN != GSONone }

// Pending says whether the frame may go only to a port that can finish it.
func (o *Offload) Pending() bool { return o.NeedsChecksum() || o.IsGSO() }

// OffloadValid says whether the virtio header speaks the truth about the frame,
// which holds an Ethernet header: a kind that we know, and offsets that lie
// inside, behind the IPv4 header. It is asked again when the frame gets shorter.
func (f *Frame) OffloadValid() bool {
	o := &f.Offload
	if !o.Pending() {
		return true
	}
	start := EthernetLen + IPv4MinLen
	if !o.NeedsChecksum() || int(o.CsumStart) < start || int(o.CsumStart)+int(o.CsumOffset)+2 > f.Len {
		return false
	}
	if o.IsGSO() {
		return f.gsoValid()
	}
	if f.EtherType() == EtherTypeIPv4 {
		start = EthernetLen + IPv4(f.Payload()).HeaderLen()
	}
	return int(o.CsumStart) >= start
}

// gsoValid says whether the frame can be cut: its headers are those that the
// virtio header speaks of, and it does not make more segments than anything but
// an attack on our memory would.
func (f *Frame) gsoValid() bool {
	o := &f.Offload
	protocol, sumAt := byte(ProtocolTCP), uint16(tcpChecksum)
	if o.GSOType&^GSOECN == GSOUDPL4 {
		protocol, sumAt = ProtocolUDP, udpChecksum
	} else if o.GSOType&^GSOECN != GSOTCPv4 {
		return false
	}
	h := f.headersLen()
	return o.CsumOffset == sumAt && o.GSOSize > 0 && h > 0 && f.Len-h <= int(o.GSOSize)*maxSegments && f.leadsTo(protocol)
}

// leadsTo says whether IPv4 headers, one in the other as in IP-in-IP, lead from
// the Ethernet header to CsumStart, where the protocol begins.
func (f *Frame) leadsTo(protocol byte) bool {
	b, start := f.Bytes(), int(f.Offload.CsumStart)
	for at := EthernetLen; at+IPv4MinLen <= start; {
		ip := IPv4(b[at:start])
		if ip.Version() != 4 || ip.HeaderLen() < IPv4MinLen || ip.IsFragment() {
			return false
		}
		if at += ip.HeaderLen(); at == start {
			return ip.Protocol() == protocol
		}
		if ip.Protocol() != ProtocolIPIP {
			return false
		}
	}
	return false
}

// InTunnel says whether a GSO frame, whose offload header is valid, is IP-in-IP.
// A virtio header cannot tell a device so: we have to cut such a frame ourselves.
func (f *Frame) InTunnel() bool {
	return f.Offload.IsGSO() && IPv4(f.Payload()).Protocol() == ProtocolIPIP
}

// headersLen is the length of the Ethernet, IPv4 and transport headers of a GSO
// frame, or 0 if they do not lie inside it.
func (f *Frame) headersLen() int {
	l4 := int(f.Offload.CsumStart)
	n := l4 + 8
	if f.Offload.GSOType&^GSOECN == GSOTCPv4 {
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
	h := f.headersLen()
	size := int(f.Offload.GSOSize)
	n := max(1, (f.Len-h+size-1)/size)
	return uint64(n), uint64(f.Len + (n-1)*h)
}

// IPLen is the length that counts against an MTU: of the largest IPv4 packet
// that the frame, whose offload header is valid, becomes on the wire.
func (f *Frame) IPLen() int {
	if f.Offload.IsGSO() {
		return min(f.Len, f.headersLen()+int(f.Offload.GSOSize)) - EthernetLen
	}
	return f.Len - EthernetLen
}
