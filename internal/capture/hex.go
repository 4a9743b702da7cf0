package capture

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/vrouter/vrouter/internal/packet"
)

// maxHexLine is the longest line of a dump, in bytes: the largest frame in plain digits.
const maxHexLine = 1 << 18

// ReadHex reads packets from a hex dump, as tcpdump -x, -xx and -XX, xxd, hexdump -C
// and Wireshark print it, or plain digits. Lines without bytes, as tcpdump's
// summaries, count for nothing. A packet begins where the offset is 0 again.
func ReadHex(r io.Reader) (packets []*Packet, err error) {
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, maxHexLine)
	var b []byte
	for scan.Scan() {
		line, offset, err := hexLine(scan.Text(), len(b))
		if err != nil {
			return nil, err
		}
		if offset == 0 && len(b) > 0 {
			if packets, err = appendPacket(packets, b); err != nil {
				return nil, err
			}
			b = nil
		}
		b = append(b, line...)
	}
	if err := scan.Err(); err != nil {
		return nil, err
	}
	if len(b) > 0 {
		packets, err = appendPacket(packets, b)
	}
	if err == nil && len(packets) == 0 {
		err = errors.New("there are no bytes in it: give a dump such as tcpdump -xx, xxd or hexdump -C prints")
	}
	return packets, err
}

// hexLine is the bytes of a line, and the offset in front of them; -1 if there is none.
func hexLine(line string, sofar int) (b []byte, offset int, err error) {
	line, _, _ = strings.Cut(line, "|") // hexdump's text column
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return nil, -1, nil
	}
	first, colon := strings.CutSuffix(fields[0], ":")
	n, err := strconv.ParseUint(strings.TrimPrefix(first, "0x"), 16, 32)
	isOffset := err == nil && len(first) >= 4
	follows := n == 0 || int(n) == sofar
	switch {
	case isOffset && colon && !follows:
		return nil, 0, fmt.Errorf("%q: %d bytes came before, not %d: some lines are missing", strings.TrimSpace(line), sofar, n)
	case isOffset && follows && len(fields) == 1 && sofar > 0:
		return nil, -1, nil // hexdump's last line
	case isOffset && (colon || follows && len(fields) > 1 && len(fields[1]) == 2):
		_, line, _ = strings.Cut(line, fields[0])
		return dumped(line, colon), int(n), nil
	}
	return plain(fields), -1, nil
}

// dumped reads what follows an offset, up to the text column: behind two blanks
// where an offset ends in a colon, and behind 16 bytes at the latest.
func dumped(line string, colon bool) (b []byte) {
	line = strings.TrimLeft(line, " \t")
	if colon {
		line, _, _ = strings.Cut(line, "  ")
	}
	for _, f := range strings.Fields(line) {
		x, err := hex.DecodeString(f)
		if err != nil || len(b)+len(x) > 16 {
			break
		}
		b = append(b, x...)
	}
	return b
}

// plain reads a line that is nothing but digits; any other has none.
func plain(fields []string) (b []byte) {
	for _, f := range fields {
		x, err := hex.DecodeString(strings.TrimPrefix(f, "0x"))
		if err != nil {
			return nil
		}
		b = append(b, x...)
	}
	return b
}

// appendPacket adds bytes as what they are: an IP packet, or an Ethernet frame.
func appendPacket(packets []*Packet, b []byte) ([]*Packet, error) {
	version := b[0] >> 4
	switch {
	case isIP(b):
		return append(packets, &Packet{IP: b}), nil
	case len(b) >= packet.EthernetLen && isType(binary.BigEndian.Uint16(b[12:]), len(b)-packet.EthernetLen):
		return append(packets, &Packet{Frame: b, Exact: true}), nil
	case version == 4 || version == 6:
		return append(packets, &Packet{IP: b}), nil
	case len(b) >= packet.EthernetLen:
		return append(packets, &Packet{Frame: b, Exact: true}), nil
	}
	return nil, fmt.Errorf("packet %d: its %d bytes begin neither with an Ethernet header nor with one of IP", len(packets)+1, len(b))
}

// isIP says whether a whole packet is there.
func isIP(b []byte) bool {
	if b[0]>>4 == 6 {
		return len(b) >= packet.IPv6MinLen && packet.IP(b).Len() == len(b)
	}
	ip := packet.IPv4(b)
	return len(b) >= packet.IPv4MinLen && ip.Version() == 4 && ip.HeaderLen() >= packet.IPv4MinLen && ip.TotalLen() == len(b)
}

// isType says whether the two bytes behind the addresses look like an Ethernet type, or
// like the length of what follows (IEEE 802.3 3.2.6).
func isType(t uint16, follows int) bool { return t >= 0x600 || int(t) == follows }
