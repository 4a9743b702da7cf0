package dissect

import "github.com/vrouter/vrouter/internal/packet"

// Range is bytes From up to, and without, To.
type Range struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// Changed compares a frame before and after a step, as far as both are kept: bytes of the later one that are new or other than
// before, and bytes of the earlier one that are gone. Headers are put on and taken off behind the
// Ethernet header; whole is how many bytes each frame has.
func Changed(before, after []byte, wholeBefore, wholeAfter int) (changed, removed []Range) {
	shift := wholeAfter - wholeBefore
	if shift != 0 && differing(before, after, 0) < differing(before, after, shift) {
		shift = 0 // cut at its end
	}
	for i := range after {
		j := i
		if i >= packet.EthernetLen {
			j = i - shift
		}
		isNew := i >= packet.EthernetLen && j < packet.EthernetLen
		if isNew || j < len(before) && before[j] != after[i] {
			changed = extend(changed, i)
		}
	}
	for j := packet.EthernetLen; j < min(len(before), packet.EthernetLen-shift); j++ {
		removed = extend(removed, j)
	}
	return changed, removed
}

// differing counts the bytes behind the Ethernet header that are not what they were, if the later frame is moved so far.
func differing(before, after []byte, shift int) (n int) {
	for i := max(packet.EthernetLen, packet.EthernetLen+shift); i < len(after) && i-shift < len(before); i++ {
		if before[i-shift] != after[i] {
			n++
		}
	}
	return n
}

func extend(list []Range, at int) []Range {
	if n := len(list); n > 0 && list[n-1].To == at {
		list[n-1].To++
		return list
	}
	return append(list, Range{at, at + 1})
}
