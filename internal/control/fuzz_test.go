package control

import (
	"io"
	"strings"
	"testing"
)

// FuzzBody holds the reader of a request's body to its promise for any bytes: a value or an
// error, whatever the body is for.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{"", `{"op":"add","to":"10.71.0.0/16","via":"192.168.0.12"}`, `{"name":"ns3","address":"10.70.1.9/24"}`, "[", "{}[]", "null", `{"to":1e999}`, `{"metric":-1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		read := func(v any) {
			err := DecodeBody(io.NopCloser(strings.NewReader(string(body))), v)
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Fatalf("an error of more than a line: %q", err)
			}
		}
		read(&RouteChange{})
		read(&Workload{})
	})
}

// FuzzBatch holds the reader of a file of routes to its promise for any bytes: it ends, and
// says at which line.
func FuzzBatch(f *testing.F) {
	for _, seed := range []string{"", "10.71.0.0/16 via 192.168.0.12\n", "# nothing\n\n blackhole 10.0.0.0/8 metric 5", "10.0.0.0/8 via", "a b c d e f g\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n := 0
		for range NewBatch(strings.NewReader(text), "routes", "add").Changes {
			if n++; n > 1+strings.Count(text, "\n") {
				t.Fatal("more changes than lines")
			}
		}
	})
}
