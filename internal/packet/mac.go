package packet

// MAC is an Ethernet hardware address.
type MAC [6]byte

// Broadcast is every station on the link.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// IsGroup says whether the address is a multicast or the broadcast one
// (IEEE 802: the first byte's lowest bit).
func (m MAC) IsGroup() bool { return m[0]&1 != 0 }

// IsUnicast says whether the address can be one station's.
func (m MAC) IsUnicast() bool { return !m.IsGroup() && m != MAC{} }

// String is the usual form: 52:54:00:12:34:56.
func (m MAC) String() string {
	const hex = "0123456789abcdef"
	b := make([]byte, 0, 17)
	for i, x := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hex[x>>4], hex[x&15])
	}
	return string(b)
}
