package packet

import "testing"

// A frame has a buffer for what it is used for, and keeps it for what is shorter.
func TestResetMakesRoom(t *testing.T) {
	f := &Frame{}
	for _, c := range []struct{ n, buffer int }{
		{0, ownLen}, {EthernetLen + IPv4MinLen + 1500, ownLen}, {ownLen - Headroom, ownLen},
		{ownLen - Headroom + 1, ownLen + 1}, {60, ownLen + 1}, {EthernetLen + IPv4MaxLen, Headroom + MaxFrameLen - 1},
	} {
		f.Offload.GSOSize = 1
		f.Reset(c.n)
		if len(f.Buf) != c.buffer || f.Off != Headroom || len(f.Bytes()) != c.n || f.Offload != (Offload{}) {
			t.Errorf("%d bytes: a buffer of %d, want %d; at %d, %d bytes, offload %+v", c.n, len(f.Buf), c.buffer, f.Off, len(f.Bytes()), f.Offload)
		}
	}
}
