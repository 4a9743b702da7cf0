package packet

import "testing"

// What is VXLAN by all appearances has a packet of the family that its frame says and, if it is not for VXLAN's port, nothing where
// RFC 7348 5 reserves bits.
func TestVXLANIn(t *testing.T) {
	datagram := func() []byte {
		b := make([]byte, IPv4MinLen+VXLANLen+IPv4MinLen)
		copy(b, []byte{0x45, 0, 0, byte(len(b)), 0, 0, 0, 0, 64, ProtocolUDP})
		PutVXLAN(b[IPv4MinLen:], &VXLANHeader{SrcPort: 50000, DstPort: VXLANPort, Len: len(b) - IPv4MinLen, VNI: MaxVNI, EtherType: EtherTypeIPv4})
		b[IPv4MinLen+VXLANLen] = 0x45
		return b
	}
	const header = IPv4MinLen + UDPLen // where that of VXLAN begins
	elsewhere := func(b []byte) []byte { b[IPv4MinLen+3]++; return b }
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		is     bool
	}{
		"as it should be":        {func(b []byte) []byte { return b }, true},
		"to another port":        {elsewhere, true},
		"with no VNI":            {func(b []byte) []byte { b[header] = 0; return b }, false},
		"with another flag":      {func(b []byte) []byte { b[header] |= 0x80; return b }, true},
		"reserved, behind flags": {func(b []byte) []byte { b[header+2] = 1; return b }, true},
		"reserved, behind VNI":   {func(b []byte) []byte { b[header+7] = 1; return b }, true},

		"with another flag, elsewhere":      {func(b []byte) []byte { b[header] |= 0x80; return elsewhere(b) }, false},
		"reserved, behind flags, elsewhere": {func(b []byte) []byte { b[header+2] = 1; return elsewhere(b) }, false},
		"reserved, behind VNI, elsewhere":   {func(b []byte) []byte { b[header+7] = 1; return elsewhere(b) }, false},
		"of another family":                 {func(b []byte) []byte { b[IPv4MinLen+VXLANLen] = 0x60; return b }, false},
		"of no family":                      {func(b []byte) []byte { b[IPv4MinLen+VXLANLen-1] = 6; return b }, false},
		"without a packet":                  {func(b []byte) []byte { return b[:IPv4MinLen+VXLANLen] }, false},
		"of TCP":                            {func(b []byte) []byte { b[9] = ProtocolTCP; return b }, false},
		"a later fragment":                  {func(b []byte) []byte { b[7] = 1; return b }, false},
	} {
		if is := VXLANIn(IP(c.change(datagram()))) != nil; is != c.is {
			t.Errorf("%s: %v", name, is)
		}
	}
}
