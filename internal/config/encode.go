package config

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"net"

	"github.com/goccy/go-yaml"
)

// YAML is the host file that gives this configuration, with every default written out. The uplink's
// address is left out, as a host file has none.
func (h *Host) YAML() ([]byte, error) {
	var b bytes.Buffer
	err := h.WriteYAML(&b, h.Routes.All)
	return b.Bytes(), err
}

// WriteYAML writes what YAML returns, with these routes in place of the host's. There may be a
// million of them, which the library would make a tree of.
func (h *Host) WriteYAML(to io.Writer, routes iter.Seq[Route]) error {
	mac := yaml.CustomMarshaler(func(mac net.HardwareAddr) ([]byte, error) {
		return []byte(mac.String()), nil
	})
	text, err := yaml.MarshalWithOptions(h, mac, yaml.IndentSequence(true))
	if err != nil {
		return err
	}
	const after = "\nipip:\n" // the key that follows the routes
	at := bytes.Index(text, []byte(after)) + 1
	w := bufio.NewWriter(to)
	w.Write(text[:at])
	heading := "routes:\n"
	for t := range routes {
		w.WriteString(heading)
		heading = ""
		t.write(w)
	}
	w.Write(text[at:])
	return w.Flush() // or the first error of all
}

// write is an entry of the list. No word of a route but proto could mean anything else in YAML.
func (t *Route) write(w *bufio.Writer) {
	fmt.Fprintf(w, "  - to: %v\n", t.To)
	if t.Via.IsValid() {
		fmt.Fprintf(w, "    via: %v\n", t.Via)
	}
	fmt.Fprintf(w, "    type: %s\n", t.Type)
	if t.Encap != "" {
		fmt.Fprintf(w, "    encap: %s\n", t.Encap)
	}
	if t.Metric != 0 {
		fmt.Fprintf(w, "    metric: %d\n", t.Metric)
	}
	if t.Proto != "" {
		fmt.Fprintf(w, "    proto: %q\n", t.Proto)
	}
}
