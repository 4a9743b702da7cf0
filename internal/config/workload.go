package config

import (
	"net/netip"
	"path"
	"slices"
	"strings"
)

func (c *checker) workloads(raw []rawWorkload, gateway *Gateway, uplink string) []Workload {
	var workloads []Workload
	names, interfaces := claims{}, claims{}
	for i := range raw {
		w := c.workload(&raw[i])
		if w.Name == uplink {
			c.fail(raw[i].name.place, "%s is the uplink's name: give the workload another one", quote(w.Name))
		}
		if w.Name == HostInterface {
			c.fail(raw[i].name.place, "%s is the name of the host's own port: give the workload another one", quote(w.Name))
		}
		c.claim(names, w.Name, raw[i].name.place, "give each workload its own name")
		c.claim(interfaces, w.Interface+" in "+namespacePath(w), interfacePlace(&raw[i]),
			"give one of them another interface or namespace")
		for j, s := range raw[i].addresses.all(c.report) {
			a := w.Addresses[j].Addr()
			if a == gateway.Address {
				c.fail(s.place, "%v is the address of the gateway: give the workload another one", a)
			}
			c.claim(c.addresses, a.String(), s.place, "give each workload its own address")
		}
		workloads = append(workloads, w)
	}
	return workloads
}

func (c *checker) workload(raw *rawWorkload) Workload {
	if !raw.name.given {
		c.fail(raw.name.place, "missing: name the workload, such as ns1")
	}
	addresses := raw.addresses.all(c.report)
	if len(addresses) == 0 {
		c.fail(raw.addresses.one.place, "missing: give the workload its address, such as 10.70.1.1/24")
	}
	w := Workload{
		Name:      c.name(raw.name),
		Interface: c.interfaceName(raw.iface.or(DefaultWorkloadInterface)),
	}
	for _, s := range addresses {
		w.Addresses = append(w.Addresses, c.hostAddress(s))
	}
	if raw.namespace.given {
		w.Namespace = c.path(raw.namespace)
	}
	if raw.mtu.given {
		w.MTU = c.number(raw.mtu, minMTU, maxMTU, "an MTU in bytes")
		if w.MTU != 0 && w.MTU < minMTU6 && w.SpeaksIPv6() {
			c.fail(raw.mtu.place, "%d is less than IPv6 needs, and the workload has an address of it: write %d or more", w.MTU, minMTU6)
		}
	}
	return w
}

// SpeaksIPv6 says whether it has an address of that family.
func (w *Workload) SpeaksIPv6() bool {
	return slices.ContainsFunc(w.Addresses, func(a netip.Prefix) bool { return a.Addr().Is6() })
}

// MTUWhere is that of its interface where so many bytes fit: the configured one, or what fits. The kernel takes IPv6 off an
// interface that has less than 1280; where less fits outer packets are cut (RFC 4213 3.2.2).
func (w *Workload) MTUWhere(fits int) int {
	switch {
	case w.MTU != 0:
		return w.MTU
	case w.SpeaksIPv6():
		return max(fits, minMTU6)
	}
	return fits
}

// NamespaceDirectory is where ip-netns(8) keeps named namespaces.
const NamespaceDirectory = "/run/netns"

// NamespaceOf is the path of a workload's namespace, and whether it is the workload's by its name.
func (h *Host) NamespaceOf(w *Workload) (path string, named bool) {
	if w.Namespace == "" {
		return NamespaceDirectory + "/" + h.Lab + w.Name, true
	}
	return namespacePath(*w), false
}

// namespacePath is one name for a namespace that can be given by name or path; /var/run is a link
// to /run on every distribution, and both spellings are common.
func namespacePath(w Workload) string {
	if w.Namespace == "" {
		return NamespaceDirectory + "/" + w.Name
	}
	clean := path.Clean(w.Namespace)
	if rest, ok := strings.CutPrefix(clean, "/var/run/"); ok {
		return "/run/" + rest
	}
	return clean
}

func interfacePlace(raw *rawWorkload) place {
	if raw.namespace.given {
		return raw.namespace.place
	}
	return raw.iface.place
}
