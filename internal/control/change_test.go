package control

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// list is a body with n routes.
func list(n int) []byte {
	var b bytes.Buffer
	b.WriteString("[")
	for i := range n {
		fmt.Fprintf(&b, "%s{\"op\":\"add\",\"to\":\"%d.%d.%d.0/24\",\"via\":\"192.168.0.%d\",\"dev\":\"ens160\",\"metric\":32,\"proto\":\"bird\"}\n",
			strings.Repeat(",", min(i, 1)), 11+i>>16, i>>8&255, i&255, 12+i%200)
	}
	b.WriteString("]")
	return b.Bytes()
}

func BenchmarkReadChanges(b *testing.B) {
	body := list(100_000)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readChanges(newDecoder(bytes.NewReader(body)), func() {}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	text := strings.Repeat("10.1.2.0/24 via 192.168.0.12 dev ens160 proto bird metric 32\n", 100_000)
	b.ReportAllocs()
	for b.Loop() {
		if err := writeList(io.Discard, NewBatch(strings.NewReader(text), "f", "add").Changes); err != nil {
			b.Fatal(err)
		}
	}
}
