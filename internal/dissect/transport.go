package dissect

import (
	"fmt"

	"github.com/vrouter/vrouter/internal/packet"
)

// tcp is RFC 9293.
func (r *reader) tcp() {
	if !r.enter("TCP") {
		return
	}
	begin := r.at
	r.take(2, "source port", decimal)
	r.take(2, "destination port", decimal)
	r.take(4, "sequence number", decimal)
	r.take(4, "acknowledgment number", decimal)
	offset := r.take(1, "data offset", func(b []byte) string { return fmt.Sprintf("%d bytes", b[0]>>4*4) })
	r.take(1, "flags", func(b []byte) string {
		return flags(uint64(b[0]), "CWR", "ECE", "URG", "ACK", "PSH", "RST", "SYN", "FIN")
	})
	r.take(2, "window", decimal)
	r.take(2, "checksum", hex)
	if r.take(2, "urgent pointer", decimal) == nil {
		return
	}
	r.options(min(len(r.b), begin+int(offset[0]>>4)*4))
}

var tcpOptions = map[byte]string{2: "maximum segment size", 3: "window scale", 4: "SACK permitted", 5: "SACK", 8: "timestamps"}

func (r *reader) options(end int) {
	for r.at < end {
		kind := r.b[r.at]
		if kind <= 1 { // the end, or padding
			r.take(1, "option", func([]byte) string { return map[byte]string{0: "end of options", 1: "no operation"}[kind] })
			continue
		}
		if r.at+1 >= end || r.b[r.at+1] < 2 || r.at+int(r.b[r.at+1]) > end {
			r.upTo(end, "options")
			return
		}
		r.take(int(r.b[r.at+1]), "option", func(b []byte) string {
			name, ok := tcpOptions[kind]
			switch value := b[2:]; {
			case !ok:
				return fmt.Sprintf("kind %d", kind)
			case kind == 8 && len(value) == 8:
				return fmt.Sprintf("%s %d, echo %d", name, number(value[:4]), number(value[4:]))
			case len(value) == 0 || kind == 5:
				return name
			default:
				return fmt.Sprintf("%s %d", name, number(value))
			}
		})
	}
}

// udp is RFC 768; by all appearances there is VXLAN in it (RFC 7348), whatever its port.
func (r *reader) udp() {
	if !r.enter("UDP") {
		return
	}
	begin := r.at
	r.take(2, "source port", decimal)
	r.take(2, "destination port", decimal)
	r.take(2, "length", decimal)
	if r.take(2, "checksum", hex) == nil {
		return
	}
	if packet.VXLAN(r.b[begin:]).Inner() != nil {
		r.vxlan()
	}
}

func (r *reader) vxlan() {
	if r.at+8 > len(r.b) || !r.enter("VXLAN") {
		return
	}
	r.take(1, "flags", func(b []byte) string { return flags(uint64(b[0])>>3, "VNI is valid") })
	r.take(3, "reserved", hex)
	r.take(3, "VNI", decimal)
	r.take(1, "reserved", hex)
	r.ethernet()
}
