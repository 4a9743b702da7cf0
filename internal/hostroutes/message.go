package hostroutes

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"golang.org/x/sys/unix"
)

var native = binary.NativeEndian

// message is one of rtnetlink's: rtnetlink(7).
type message struct {
	kind, flags uint16
	body        []byte // the fixed header of its kind, and attributes
}

// messages yields what one datagram holds. A message that is cut off is not among them,
// and whole is false.
func messages(b []byte) (all iter.Seq[message], whole func() bool) {
	ok := true
	return func(yield func(message) bool) {
		for len(b) >= unix.NLMSG_HDRLEN {
			n := int(native.Uint32(b))
			if n < unix.NLMSG_HDRLEN || n > len(b) {
				ok = false
				return
			}
			if !yield(message{native.Uint16(b[4:]), native.Uint16(b[6:]), b[unix.NLMSG_HDRLEN:n]}) {
				return
			}
			b = b[min(len(b), aligned(n)):]
		}
	}, func() bool { return ok }
}

// attributes yields those behind a fixed header, or nested in one. It ends at one that is
// broken.
func attributes(b []byte) iter.Seq2[int, []byte] {
	const kind = 0x3fff // NLA_TYPE_MASK
	return func(yield func(int, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(native.Uint16(b))
			if n < unix.SizeofRtAttr || n > len(b) || !yield(int(native.Uint16(b[2:])&kind), b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min(len(b), aligned(n)):]
		}
	}
}

// aligned is the length with padding: NLMSG_ALIGN and RTA_ALIGN are the same.
func aligned(n int) int { return (n + 3) &^ 3 }

// number is an attribute of four bytes; 0 if it has another length.
func number(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return native.Uint32(b)
}

// address is an attribute with an address of either family; invalid if it is none.
func address(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// given is an address, or none where all its bits are 0.
func given(a netip.Addr) netip.Addr {
	if a.IsValid() && a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}
