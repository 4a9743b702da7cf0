package packet

// Segments is how many packets an admitted superframe is cut into; 1 for what is none.
func (f *Frame) Segments() int {
	var h headers
	if !f.Offload.IsGSO() || !h.ofSuperframe(f) {
		return 1
	}
	size := int(f.Offload.GSOSize)
	return max(1, (f.Len-h.len+size-1)/size)
}

// Part makes a superframe s of n segments of an admitted one, from one of them on, and
// says whether there are more behind those.
func (f *Frame) Part(from, n int, s *Frame) (more bool) {
	var h headers
	h.ofSuperframe(f)
	size := int(f.Offload.GSOSize)
	at := h.len + from*size
	end := min(at+n*size, f.Len)
	f.piece(&h, from, at, end, s)
	s.Offload = f.Offload
	return end < f.Len
}
