package config

import (
	"math"
	"net/netip"
	"os"
	"strconv"

	"github.com/vrouter/vrouter/internal/packet"
)

// checker makes checked values of raw ones. It is made for one file: addresses are unique over all
// hosts of a lab.
type checker struct {
	*report
	addresses claims
	mode      string // of ipip or vxlan; "": not known here
}

func newChecker(r *report) *checker { return &checker{report: r, addresses: claims{}} }

// claims remembers who was the first to take what only one can have.
type claims map[string]place

func (c *checker) claim(taken claims, what string, at place, advice string) {
	if first, ok := taken[what]; ok {
		c.taken(what, at, first, advice)
		return
	}
	taken[what] = at
}

func (c *checker) taken(what string, at, first place, advice string) {
	c.fail(at, "%s is already taken by %s in line %d: %s", what, first.key, first.line, advice)
}

// hostname is os.Hostname, save in tests.
var hostname = os.Hostname

// standalone is the host of a host file.
func (c *checker) standalone(raw *rawHost) Host {
	if !raw.node.given {
		name, err := hostname()
		switch {
		case err != nil:
			c.fail(raw.node.place, "missing, and the hostname cannot be read (%v): set node to a name for this host", err)
		case !nodeForm.MatchString(name):
			c.fail(raw.node.place, "missing, and the hostname %s is no name for a node: set node to 1 to 64 %s", quote(name), nameSigns)
		}
		raw.node = raw.node.or(name)
	}
	if !raw.uplink.iface.given {
		c.fail(raw.uplink.iface.place, "missing: name the interface towards the other hosts, such as ens160")
	}
	if given, ok := raw.uplink.addresses.given(); ok {
		c.fail(given, "the address is read from the kernel: remove this line; only lab files have it")
	}
	return c.host(raw)
}

// host checks what host files and lab files share.
func (c *checker) host(raw *rawHost) Host {
	h := Host{
		Node:    c.node(raw.node),
		Uplink:  Uplink{Interface: c.interfaceName(raw.uplink.iface)},
		Gateway: c.gateway(raw.gateway),
		IPIP:    c.ipip(raw.ipip),
		VXLAN:   c.vxlan(raw.vxlan),
		Kernel:  c.kernel(raw.kernel),
		RPF:     c.oneOf(raw.rpf.or(RPFStrict), RPFStrict, RPFOff),
		Offload: c.boolean(raw.offload.or("true")),
		Workers: c.number(raw.workers.or("0"), 0, MaxWorkers, "a number of workers"),
		Metrics: Metrics{Listen: c.listen(raw.metrics.listen.or(DefaultMetricsListen), DefaultMetricsListen, "metrics")},
		Control: c.control(raw.control),
		Log: Log{
			Level:  c.oneOf(raw.log.level.or(LogInfo), LogDebug, LogInfo, LogWarn, LogError),
			Format: c.oneOf(raw.log.format.or(LogText), LogText, LogJSON),
		},
	}
	if h.Kernel.Export && h.Uplink.Interface == HostInterface {
		c.fail(raw.uplink.iface.place, "%s is what kernel.export calls the host's own interface: choose another uplink, or leave kernel.export out", HostInterface)
	}
	if h.IPIP.Mode != ModeNever && h.VXLAN.Mode != ModeNever {
		c.fail(raw.vxlan.mode.place, "ipip.mode is %s in line %d, and packets go one way or the other: set one of the two modes to never", h.IPIP.Mode, raw.ipip.mode.line)
	}
	_, c.mode = h.Mode()
	h.Workloads = c.workloads(raw.workloads, &h.Gateway, h.Uplink.Interface)
	h.Routes = c.routes(raw.routes)
	return h
}

func (c *checker) gateway(raw rawGateway) Gateway {
	g := Gateway{
		Address: c.unicast(raw.address.or(DefaultGatewayAddress)),
		MAC:     c.mac(raw.mac.or(DefaultGatewayMAC)),
	}
	if g.Address.Is6() {
		c.fail(raw.address.place, "%v is IPv6: write it as gateway.address6, and here an IPv4 address such as %s", g.Address, DefaultGatewayAddress)
	}
	if c.err != nil {
		return g
	}
	byMAC := packet.LinkLocal(packet.MAC(g.MAC))
	if g.Address6 = byMAC; raw.address6.given {
		g.Address6 = c.addr(raw.address6)
	}
	if !g.Address6.Is6() || !g.Address6.IsLinkLocalUnicast() { // RFC 4861 4.2: hosts know routers by these
		c.fail(raw.address6.place, "%s is no link-local IPv6 address: write one of fe80::/10, or leave this out for %v", quote(raw.address6.text), byMAC)
	}
	return g
}

func (c *checker) ipip(raw rawIPIP) IPIP {
	t := IPIP{Mode: c.oneOf(raw.mode.or(ModeNever), ModeNever, ModeAlways, ModeCrossSubnet)}
	if raw.peers != nil {
		t.Peers = []netip.Addr{}
	}
	taken := claims{}
	for _, peer := range raw.peers {
		addr := c.routed(peer)
		c.claim(taken, addr.String(), peer.place, "remove one of them")
		t.Peers = append(t.Peers, addr)
	}
	if raw.minPathMTU.given {
		t.MinPathMTU = c.number(raw.minPathMTU, minMTU, maxMTU, "an MTU in bytes")
	}
	for _, s := range raw.source {
		source := c.routed(s)
		if other := t.Source.Of(source); other.IsValid() && c.err == nil {
			c.fail(s.place, "%v and %v are of one family: leave one of them out", other, source)
		}
		t.Source = append(t.Source, source)
	}
	return t
}

func (c *checker) vxlan(raw rawVXLAN) VXLAN {
	t := VXLAN{
		Mode: c.oneOf(raw.mode.or(ModeNever), ModeNever, ModeAlways, ModeCrossSubnet),
		VNI:  c.number(raw.vni.or(strconv.Itoa(DefaultVNI)), 0, packet.MaxVNI, "a VXLAN network identifier"),
		Port: c.number(raw.port.or(strconv.Itoa(packet.VXLANPort)), 1, math.MaxUint16, "a port of UDP"),
	}
	if raw.peers != nil {
		t.Peers = []VTEP{}
	}
	taken := claims{}
	for _, peer := range raw.peers {
		if !peer.address.given {
			c.fail(peer.address.place, "missing: give the peer's address, such as 192.168.0.12")
		}
		v := VTEP{Address: c.routed(peer.address)}
		if peer.mac.given {
			v.MAC = c.mac(peer.mac)
		}
		c.claim(taken, v.Address.String(), peer.address.place, "remove one of them")
		t.Peers = append(t.Peers, v)
	}
	return t
}

func (c *checker) kernel(raw rawKernel) Kernel {
	k := Kernel{Export: c.boolean(raw.export.or("false")), Guard: c.boolean(raw.guard.or("true"))}
	for _, protocol := range raw.imports {
		k.Import = append(k.Import, c.protocol(protocol))
	}
	return k
}

func (c *checker) oneOf(s scalar, words ...string) string {
	for _, word := range words {
		if s.text == word {
			return word
		}
	}
	c.fail(s.place, "%s is not known: write %s", quote(s.text), list(words, "or"))
	return ""
}

// boolean knows the spellings of YAML 1.2, where yes, no, on and off are text.
func (c *checker) boolean(s scalar) bool {
	switch s.text {
	case "true", "True", "TRUE":
		return true
	case "false", "False", "FALSE":
		return false
	}
	c.fail(s.place, "%s is neither true nor false: write one of them", quote(s.text))
	return false
}

// number wants plain decimal digits: 010 and 1_0 are different numbers in different YAMLs.
func (c *checker) number(s scalar, least, most uint64, unit string) int {
	n, err := strconv.ParseUint(s.text, 10, 64)
	if err != nil || n < least || n > most || strconv.FormatUint(n, 10) != s.text {
		c.fail(s.place, "%s is not %s: write a whole number from %d to %d", quote(s.text), unit, least, most)
		return 0
	}
	return int(n)
}

const (
	minMTU    = 68    // RFC 791 3.2: every module must be able to forward 68 bytes
	minMTU6   = 1280  // RFC 8200 5
	maxMTU    = 65521 // the largest IPv4 packet, less the Ethernet header: what a TAP accepts
	maxMetric = math.MaxUint32
	// MaxWorkers keeps the sockets of the uplink within what a fanout group takes (256).
	MaxWorkers = 64
)
