package packet

// Segments is how many packets a superframe is cut into; 1 for what is none, or
// cannot be cut.
func (f *Frame) Segments() int {
	if !f.Offload.IsGSO() {
		return 1
	}
	h, ok := f.superframe()
	if !ok {
		return 1
	}
	size := int(f.Offload.GSOSize)
	return max(1, (f.Len-h.len+size-1)/size)
}

// Part makes a superframe s of n segments of another one that can be cut (Segments),
// from one of them on, and says whether there are more behind those.
func (f *Frame) Part(from, n int, s *Frame) (more bool) {
	h, _ := f.superframe()
	size := int(f.Offload.GSOSize)
	at := h.len + from*size
	end := min(at+n*size, f.Len)
	f.piece(&h, from, at, end, s)
	s.Offload = f.Offload
	return end < f.Len
}
