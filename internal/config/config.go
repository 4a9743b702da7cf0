// Package config reads the YAML files that say what a router, or a lab of routers, is to do. What
// it hands out is checked and complete, so nobody after it looks at a value twice; what it refuses,
// it refuses in one line: FILE:LINE:COLUMN: key: reason: what to do.
package config

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/vrouter/vrouter/internal/impair"
)

// What stands where a file says nothing.
const (
	DefaultWorkloadInterface  = "eth0"
	DefaultLabUplinkInterface = "ens160"
	DefaultGatewayAddress     = "169.254.1.1"
	DefaultGatewayMAC         = "ee:ee:ee:ee:ee:ee" // gateway.address6 follows from it
	DefaultMetricsListen      = "127.0.0.1:9473"
	DefaultControlSocket      = "/run/vrouter/vrouter.sock"

	// HostInterface is the host's own interface to its router, with kernel.export.
	HostInterface = "vrouter0"
)

// Kinds of route.
const (
	RouteUnicast     = "unicast"
	RouteBlackhole   = "blackhole"
	RouteUnreachable = "unreachable"
	RouteProhibit    = "prohibit"
)

// Encapsulations of a route; "" leaves it to the modes of ipip and vxlan.
const (
	EncapNone  = "none"
	EncapIPIP  = "ipip"
	EncapVXLAN = "vxlan"
)

// Modes of IP-in-IP and of VXLAN, with the meaning of Calico's ipipMode and vxlanMode.
const (
	ModeNever       = "never"
	ModeAlways      = "always"
	ModeCrossSubnet = "cross-subnet"
)

// Reverse path filters.
const (
	RPFStrict = "strict"
	RPFOff    = "off"
)

// Log levels and formats.
const (
	LogDebug = "debug"
	LogInfo  = "info"
	LogWarn  = "warn"
	LogError = "error"

	LogText = "text"
	LogJSON = "json"
)

// Host is the configuration of one router.
type Host struct {
	Node      string     `yaml:"node"`
	Uplink    Uplink     `yaml:"uplink"`
	Workloads []Workload `yaml:"workloads,omitempty"`
	Routes    Routes     `yaml:"-"` // written by WriteYAML
	IPIP      IPIP       `yaml:"ipip"`
	VXLAN     VXLAN      `yaml:"vxlan"`
	Gateway   Gateway    `yaml:"gateway"`
	Kernel    Kernel     `yaml:"kernel"`
	RPF       string     `yaml:"rpf"`
	Offload   bool       `yaml:"offload"`
	Workers   int        `yaml:"workers,omitempty"` // threads of the packet path; 0: half of the processors
	Metrics   Metrics    `yaml:"metrics"`
	Control   Control    `yaml:"control"`
	Log       Log        `yaml:"log"`
	// Lab is what the names of this host's namespaces begin with, where it is one of a lab: all hosts of
	// that are on one machine.
	Lab string `yaml:"-"`
	// Blocks are the addresses that its workloads come from, in a file of several hosts. Its routes are Derived from those of
	// the others where the file has blocks, and no list of routes for it.
	Blocks  []netip.Prefix `yaml:"-"`
	Derived bool           `yaml:"-"`
}

// Uplink is the interface towards the other hosts.
type Uplink struct {
	Interface string `yaml:"interface"`
	// Addresses are set by files of several hosts alone: a router reads them from the kernel, and follows their changes. It
	// does not start where these are not among them.
	Addresses []netip.Prefix `yaml:"-"`
}

// Workload is a network namespace attached to the router.
type Workload struct {
	Name      string
	Interface string
	Addresses []netip.Prefix // its own, one at least, each with the length of its subnet
	Namespace string
	MTU       int       // bytes; 0: what fits through the uplink
	Container Container // by CNI; zero: it is none
}

// Container is what CNI calls that of which a workload is an interface. It lives as long as its namespace.
type Container struct {
	Network, ID string
	Netns       uint64 // its namespace's cookie
}

// Equal says whether two are the same.
func (w Workload) Equal(o Workload) bool {
	return w.Name == o.Name && w.Interface == o.Interface && w.Namespace == o.Namespace && w.MTU == o.MTU && slices.Equal(w.Addresses, o.Addresses)
}

// Has says whether an address is one of its own.
func (w *Workload) Has(a netip.Addr) bool {
	return slices.ContainsFunc(w.Addresses, func(p netip.Prefix) bool { return p.Addr() == a })
}

// Route is a static route.
type Route struct {
	To     netip.Prefix
	Via    netip.Addr // zero for any type but unicast
	Type   string
	Encap  string
	Proto  string // who made it, in iproute2's word or number; "": static
	Metric uint32 // of two routes to one prefix, the lower one is used
}

// IPIP is the encapsulation of what goes to other hosts, and whom to believe when it comes in.
type IPIP struct {
	Mode  string       `yaml:"mode"`
	Peers []netip.Addr `yaml:"peers,omitzero"` // nil: the next hops of the routes; empty: nobody
	// MinPathMTU in bytes is what a tunnel's path is believed to carry, whatever a router
	// tells; 0: DefaultMinPathMTU.
	MinPathMTU int    `yaml:"min_path_mtu,omitzero"`
	Source     Source `yaml:"source,omitempty"` // of the outer header; none: the uplink's towards the other end
}

// DefaultMinPathMTU is Linux's (net.ipv4.route.min_pmtu).
const DefaultMinPathMTU = 552

// LeastPathMTU is MinPathMTU with its default.
func (t *IPIP) LeastPathMTU() int { return cmp.Or(t.MinPathMTU, DefaultMinPathMTU) }

// VXLAN is the same as IPIP in UDP (RFC 7348). Source and MinPathMTU of IPIP hold for it, too.
type VXLAN struct {
	Mode  string `yaml:"mode"`
	VNI   int    `yaml:"vni"`
	Port  int    `yaml:"port"`
	Peers []VTEP `yaml:"peers,omitzero"` // nil: the next hops of the routes; empty: nobody
}

// VTEP is the other end of VXLAN. MAC is its hardware address inside the tunnel; nil: the one
// that follows from its address.
type VTEP struct {
	Address netip.Addr
	MAC     net.HardwareAddr
}

// DefaultVNI is Calico's.
const DefaultVNI = 4096

// Source is at most one address of each family.
type Source []netip.Addr

// Of is that of the family of another address; invalid if there is none.
func (s Source) Of(a netip.Addr) netip.Addr {
	for _, own := range s {
		if own.Is4() == a.Is4() {
			return own
		}
	}
	return netip.Addr{}
}

// Gateway is what workloads take for their router.
type Gateway struct {
	Address  netip.Addr       `yaml:"address"`
	Address6 netip.Addr       `yaml:"address6"`
	MAC      net.HardwareAddr `yaml:"mac"`
}

// For is the gateway of packets to an address.
func (g *Gateway) For(a netip.Addr) netip.Addr {
	if a.Is4() {
		return g.Address
	}
	return g.Address6
}

// Kernel is the relation to the host's own stack.
type Kernel struct {
	Import []string `yaml:"import,omitempty"` // protocols, by name or number
	Export bool     `yaml:"export"`
	Guard  bool     `yaml:"guard"`
}

// Metrics says where they are served; Listen "" serves none.
type Metrics struct {
	Listen string `yaml:"listen"`
}

// Control is where the commands find the router.
type Control struct {
	Socket string `yaml:"socket"`
	Group  string `yaml:"group,omitempty"`  // whose members may read, by name or number; "": nobody's
	Listen string `yaml:"listen,omitempty"` // host:port by which others may read; "": nowhere
	TLS    TLS    `yaml:"tls,omitzero"`     // of Listen
}

// TLS is what the router shows to those who come by Control.Listen, and whom it
// believes: PEM files.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	CA   string `yaml:"ca"`
}

// Log is what the router writes to stderr, and how.
type Log struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// Lab is a set of hosts to build on one machine.
type Lab struct {
	Hosts []Host
	Links []Link // none: one subnet joins all hosts
}

// Link is a subnet that joins hosts; Gateway leads to the other links.
type Link struct {
	Subnet  netip.Prefix
	Gateway netip.Addr
	// Impair is what happens to packets on the cable to each host; nil: nothing, and the
	// kernel joins the hosts.
	Impair *impair.Impairment
}

// Load reads the configuration of one host.
func Load(file string) (*Host, error) {
	text, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: give the path of a configuration file", err)
	}
	return parse(file, text)
}

// readFile returns what is in a file, without a second copy of what may be 50 MB; of one that is
// too large, a byte more than may be.
func readFile(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var text strings.Builder
	if info, err := f.Stat(); err == nil {
		text.Grow(int(min(info.Size(), maxFile)) + 1)
	}
	_, err = io.Copy(&text, io.LimitReader(f, maxFile+1))
	return text.String(), err
}

// Parse is Load for a file that was read already; errors call it name.
func Parse(name string, data []byte) (*Host, error) { return parse(name, string(data)) }

func parse(name, text string) (*Host, error) {
	if len(text) > largeFile {
		return parseLarge(name, text)
	}
	problem := &report{file: name}
	return problem.host(problem.parse(text), nil)
}

// host makes one of a parsed file, whose routes may be in a block instead.
func (r *report) host(body ast.Node, routes *block) (*Host, error) {
	raw := rawHost{routes: rawRoutes{block: routes}}
	r.read(body, &raw)
	h := newChecker(r).standalone(&raw)
	if r.err != nil {
		return nil, r.err
	}
	return &h, nil
}

// LoadLab reads a lab file.
func LoadLab(file string) (*Lab, error) {
	l, err := loadHosts(file)
	if err == nil {
		l.enterAllRoutes()
	}
	return l, err
}

func loadHosts(file string) (*Lab, error) {
	text, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: give the path of a file with hosts", err)
	}
	return parseLab(file, text)
}

// ParseLab is LoadLab for a file that was read already; errors call it name.
func ParseLab(name string, data []byte) (*Lab, error) {
	l, err := parseLab(name, string(data))
	if err == nil {
		l.enterAllRoutes()
	}
	return l, err
}

func (l *Lab) enterAllRoutes() {
	for i := range l.Hosts {
		l.enterRoutes(i)
	}
}

func parseLab(name, text string) (*Lab, error) {
	problem := &report{file: name}
	var raw rawLab
	problem.read(problem.parse(text), &raw)
	c := newChecker(problem)
	lab := c.lab(&raw)
	if problem.err != nil {
		return nil, problem.err
	}
	return &lab, nil
}
