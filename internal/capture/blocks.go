package capture

import (
	"encoding/binary"
	"io"
)

// blocks watches the blocks of a pcapng file go by, so that a file which ends in the
// middle of one does not pass for a whole one.
type blocks struct {
	from  io.Reader
	order binary.ByteOrder // of the section
	head  []byte           // of a block, until it is long enough to say the block's length
	left  int              // bytes of the block that are still to come
}

const (
	blockHead    = 12 // bytes: type, length, and of a section's header the byte-order magic
	littleEndian = 0x1a2b3c4d
)

func (s *blocks) Read(b []byte) (n int, err error) {
	n, err = s.from.Read(b)
	s.pass(b[:n])
	if err == io.EOF && (s.left > 0 || len(s.head) > 0) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (s *blocks) pass(b []byte) {
	for len(b) > 0 {
		if s.left > 0 {
			n := min(s.left, len(b))
			s.left, b = s.left-n, b[n:]
			continue
		}
		n := min(blockHead-len(s.head), len(b))
		s.head, b = append(s.head, b[:n]...), b[n:]
		if len(s.head) < blockHead {
			return
		}
		if binary.BigEndian.Uint32(s.head) == pcapngMagic {
			s.order = binary.ByteOrder(binary.BigEndian)
			if binary.LittleEndian.Uint32(s.head[8:]) == littleEndian {
				s.order = binary.LittleEndian
			}
		}
		if s.order != nil {
			s.left = max(0, int(s.order.Uint32(s.head[4:]))-blockHead) // whoever reads it refuses a shorter one
		}
		s.head = s.head[:0]
	}
}
