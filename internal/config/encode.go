package config

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"net"
	"net/netip"

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

// MarshalYAML writes a workload: one address as it is, several as a list.
func (w Workload) MarshalYAML() (any, error) {
	file := struct {
		Name      string         `yaml:"name"`
		Interface string         `yaml:"interface"`
		Address   *netip.Prefix  `yaml:"address,omitempty"`
		Addresses []netip.Prefix `yaml:"addresses,omitempty"`
		Namespace string         `yaml:"namespace,omitempty"`
		MTU       int            `yaml:"mtu,omitempty"`
	}{Name: w.Name, Interface: w.Interface, Namespace: w.Namespace, MTU: w.MTU}
	if len(w.Addresses) == 1 {
		file.Address = &w.Addresses[0]
	} else {
		file.Addresses = w.Addresses
	}
	return file, nil
}

// MarshalYAML writes an end of VXLAN: its address alone where the MAC follows from it.
func (v VTEP) MarshalYAML() (any, error) {
	if v.MAC == nil {
		return v.Address, nil
	}
	return struct {
		Address netip.Addr `yaml:"address"`
		MAC     string     `yaml:"mac"`
	}{v.Address, v.MAC.String()}, nil
}

// MarshalYAML writes one address as it is, two as a list.
func (s Source) MarshalYAML() (any, error) {
	if len(s) == 1 {
		return s[0], nil
	}
	return []netip.Addr(s), nil
}
