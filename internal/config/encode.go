package config

import (
	"net"
	"net/netip"

	"github.com/goccy/go-yaml"
)

// YAML is the host file that gives this configuration, with every default written out. The uplink's
// address is left out, as a host file has none.
func (h *Host) YAML() ([]byte, error) {
	mac := yaml.CustomMarshaler(func(mac net.HardwareAddr) ([]byte, error) {
		return []byte(mac.String()), nil
	})
	return yaml.MarshalWithOptions(h, mac, yaml.IndentSequence(true))
}

// MarshalYAML leaves out via where there is none. No tag can say so: the library takes every
// netip.Addr for zero, as it has no exported field.
func (t Route) MarshalYAML() (any, error) {
	file := struct {
		To     netip.Prefix `yaml:"to"`
		Via    string       `yaml:"via,omitempty"`
		Type   string       `yaml:"type"`
		Encap  string       `yaml:"encap,omitempty"`
		Metric int          `yaml:"metric,omitempty"`
	}{To: t.To, Type: t.Type, Encap: t.Encap, Metric: t.Metric}
	if t.Via.IsValid() {
		file.Via = t.Via.String()
	}
	return file, nil
}
