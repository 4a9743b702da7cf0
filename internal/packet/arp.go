package packet

import (
	"encoding/binary"
	"net/netip"
)

// ARPLen is the length in bytes of ARP for IPv4 over Ethernet (RFC 826).
const ARPLen = 28

// ARP operations.
const (
	ARPRequest = 1
	ARPReply   = 2
)

// The fixed fields of ARP for IPv4 over Ethernet: hardware type 1, protocol
// type 0x0800, lengths 6 and 4.
const arpFixed = 0x0001_0800_0604

// ARPMessage is ARP for IPv4 over Ethernet.
type ARPMessage struct {
	Op        uint16 // ARPRequest or ARPReply
	SenderMAC MAC
	SenderIP  netip.Addr
	TargetMAC MAC
	TargetIP  netip.Addr
}

// ParseARP reads the payload of an ARP frame. It refuses any other hardware,
// protocol, length or operation, a sender whose address cannot be one station's,
// and what is cut short.
func ParseARP(b []byte) (ARPMessage, bool) {
	if len(b) < ARPLen || binary.BigEndian.Uint64(b)>>16 != arpFixed {
		return ARPMessage{}, false
	}
	m := ARPMessage{
		Op:        binary.BigEndian.Uint16(b[6:]),
		SenderMAC: MAC(b[8:]), SenderIP: netip.AddrFrom4([4]byte(b[14:18])),
		TargetMAC: MAC(b[18:]), TargetIP: netip.AddrFrom4([4]byte(b[24:28])),
	}
	ok := (m.Op == ARPRequest || m.Op == ARPReply) && m.SenderMAC.IsUnicast() && b[14] < 224 // no multicast, no broadcast
	return m, ok
}

// Put writes the message into b, which has at least ARPLen bytes.
func (m *ARPMessage) Put(b []byte) {
	binary.BigEndian.PutUint64(b, arpFixed<<16|uint64(m.Op))
	sender, target := m.SenderIP.As4(), m.TargetIP.As4()
	copy(b[8:], m.SenderMAC[:])
	copy(b[14:], sender[:])
	copy(b[18:], m.TargetMAC[:])
	copy(b[24:], target[:])
}

// IsProbe says whether the sender only asks if the address is taken (RFC 5227 1.1).
func (m *ARPMessage) IsProbe() bool { return m.SenderIP.IsUnspecified() }
