package soak

import "testing"

// A soak that finds nothing has to be one that would.
func TestJudge(t *testing.T) {
	made := func(d *Datagrams, number uint64) []byte {
		b := make([]byte, d.Size)
		for i := range b {
			b[i] = byte(i)
		}
		d.seal(b, number)
		return b
	}
	d, other := Datagrams{Size: 64, Which: 1}, Datagrams{Size: 64, Which: 2}
	next := uint64(0)
	for _, c := range []struct {
		what            string
		b               []byte
		next            uint64
		corrupt, behind uint64
	}{
		{"the first", made(&d, 0), 1, 0, 0},
		{"after a loss", made(&d, 5), 6, 0, 0},
		{"an earlier one", made(&d, 4), 6, 0, 1},
		{"again", made(&d, 5), 6, 0, 2},
		{"another flow's", made(&other, 6), 6, 1, 2},
		{"cut off", made(&d, 6)[:63], 6, 2, 2},
		{"cut off before the checksum", made(&d, 6)[:3], 6, 3, 2},
	} {
		next = d.judge(c.b, next)
		if next != c.next || d.Corrupt.Load() != c.corrupt || d.Behind.Load() != c.behind {
			t.Errorf("%s: next %d, corrupt %d, behind %d; want %+v", c.what, next, d.Corrupt.Load(), d.Behind.Load(), c)
		}
	}
	for bit := range 8 * d.Size {
		b, before := made(&d, 6), d.Corrupt.Load()
		b[bit/8] ^= 1 << (bit % 8)
		if d.judge(b, next); d.Corrupt.Load() != before+1 {
			t.Errorf("bit %d turned over, and not found", bit)
		}
	}
}
