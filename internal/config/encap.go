package config

import "net/netip"

// Mode says what is put around packets to other hosts where a route does not say, and when.
func (h *Host) Mode() (encap, mode string) {
	if h.VXLAN.Mode == ModeAlways || h.VXLAN.Mode == ModeCrossSubnet {
		return EncapVXLAN, h.VXLAN.Mode
	}
	return EncapIPIP, h.IPIP.Mode
}

// EncapTo is what is put around packets to a next hop: what their route says or, where it says nothing, what the mode makes of it.
// near says whether a next hop is on the uplink's link.
func (h *Host) EncapTo(via netip.Addr, said string, near func(netip.Addr) bool) string {
	encap, mode := h.Mode()
	switch {
	case said != "":
		return said
	case mode == ModeAlways, mode == ModeCrossSubnet && !near(via):
		return encap
	}
	return EncapNone
}

// TunnelsBy says whether any packet may be put into a tunnel of that encapsulation.
func (h *Host) TunnelsBy(encap string) bool {
	if e, mode := h.Mode(); e == encap && mode != ModeNever {
		return true
	}
	for r := range h.Routes.All {
		if r.Encap == encap {
			return true
		}
	}
	return false
}

// Tunnels says whether any packet may be put into a tunnel.
func (h *Host) Tunnels() bool { return h.TunnelsBy(EncapIPIP) || h.TunnelsBy(EncapVXLAN) }
