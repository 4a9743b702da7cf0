package packet

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// RFC 8200 4.5: the fragments fit, have the packet's header and one number, and make the packet.
func TestFragment6(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mtu := rapid.IntRange(1280, 1500).Draw(t, "mtu")
		whole := extended(ProtocolICMPv6, rapid.SliceOfN(rapid.Byte(), mtu-39, 9000).Draw(t, "payload"))
		f := FrameOf(append([]byte(dstMAC+srcMAC+"\x86\xdd"), whole...))
		all := []*Frame{f}
		Fragment6(f, mtu, 4711, func() *Frame { all = append(all, &Frame{}); return all[len(all)-1] })
		var payload []byte
		for i, g := range all {
			ip, last := IPv6(g.Payload()), i == len(all)-1
			u := ip.Upper()
			h := FragmentHeader(ip[40:])
			if len(ip) > mtu || ip.PayloadLen() != len(ip)-40 || !u.OK || u.Fragment != 40 || h.NextHeader() != ProtocolICMPv6 ||
				h.Offset() != len(payload) || h.More() == last || h.ID() != 4711 || g.Off < VnetLen {
				t.Fatalf("fragment %d of %d: % x", i, len(all), []byte(ip[:48]))
			}
			if !last && (len(ip)-48)%8 != 0 || !last && len(ip)+8 <= mtu {
				t.Fatalf("fragment %d carries %d bytes, %d fit", i, len(ip), mtu)
			}
			ip[6] = ProtocolICMPv6
			if ip.setPayloadLen(len(whole) - 40); !bytes.Equal(ip[:40], whole[:40]) || !bytes.Equal(g.Bytes()[:14], all[0].Bytes()[:14]) {
				t.Fatalf("fragment %d: header % x, want % x", i, g.Bytes()[:54], whole[:40])
			}
			payload = append(payload, ip[48:]...)
		}
		if !bytes.Equal(payload, whole[40:]) {
			t.Fatal("the fragments do not make the packet")
		}
	})
}
