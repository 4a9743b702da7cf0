// Package control is how commands speak with a running router: HTTP and JSON on
// a unix socket, with one set of types for both ends.
package control

import (
	"net/netip"
	"time"

	"github.com/vrouter/vrouter/internal/capture"
	"github.com/vrouter/vrouter/internal/trace"
)

// Port is a line of `vrouter show ports`.
type Port struct {
	Port      string            `json:"port"`
	Kind      string            `json:"kind"` // workload, uplink
	Interface string            `json:"interface"`
	MAC       string            `json:"mac"` // the router's own
	MTU       int               `json:"mtu"` // bytes of IP
	Address   string            `json:"address,omitempty"`
	Addresses []string          `json:"addresses,omitempty"` // of both families, Address the first
	Queues    []Queue           `json:"queues"`
	RxPackets uint64            `json:"rx_packets"`
	RxBytes   uint64            `json:"rx_bytes"`
	RxLost    uint64            `json:"rx_lost"`   // in the kernel, before the router read them, or that it could not read
	RxErrors  uint64            `json:"rx_errors"` // of reading, that passed
	TxPackets uint64            `json:"tx_packets"`
	TxBytes   uint64            `json:"tx_bytes"`
	Forwarded uint64            `json:"forwarded"` // of the received ones
	Consumed  uint64            `json:"consumed"`
	Dropped   uint64            `json:"dropped"`
	Noise     uint64            `json:"noise"`           // of the dropped ones: what nobody sent to this router
	Drops     map[string]uint64 `json:"drops,omitempty"` // by reason, those that are not 0
}

// Queue is what came in by one queue of a port.
type Queue struct {
	Worker    int    `json:"worker"` // that reads it
	RxPackets uint64 `json:"rx_packets"`
	RxBytes   uint64 `json:"rx_bytes"`
}

// Worker is a line of `vrouter show workers`.
type Worker struct {
	Worker  int    `json:"worker"`
	Queues  int    `json:"queues"`
	Batches uint64 `json:"batches"`
	Frames  uint64 `json:"frames"` // read; an offloaded frame is one
	Sleeps  uint64 `json:"sleeps"` // for want of frames
	Nice    int    `json:"nice"`   // priority of its thread, as of nice(1)
	// Seconds of its time that what came in by its ports has cost.
	Seconds float64 `json:"seconds"`
	// SlowPorts are those of its ports whose own stack takes long over what is written to
	// them, so that the slow lane does it.
	SlowPorts []string `json:"slow_ports"`
}

// Drop is a line of `vrouter show drops`.
type Drop struct {
	Reason  string            `json:"reason"`
	Packets uint64            `json:"packets"`
	Noise   uint64            `json:"noise"` // of them, what nobody sent to this router
	Ports   map[string]uint64 `json:"ports,omitempty"`
	Help    string            `json:"help"`
	RFC     string            `json:"rfc,omitempty"`
	Last    *Recorded         `json:"last,omitempty"` // of them, the last one that is recorded; noise where nothing is lost
}

// Recorded names a dropped packet whose record is kept.
type Recorded struct {
	ID      uint64    `json:"id"`
	Time    time.Time `json:"time"`
	Port    string    `json:"port"` // it came in by
	Summary string    `json:"summary"`
}

// Way is a line of `vrouter show paths`: packets that met the same steps and ended
// alike.
type Way struct {
	Path    string `json:"path"`             // "" for what found no room in the table
	Outcome string `json:"outcome"`          // forwarded, consumed, dropped
	Step    string `json:"step"`             // at which it ended
	Reason  string `json:"reason,omitempty"` // of a drop
	Packets uint64 `json:"packets"`
}

// Neighbor is a line of `vrouter show neighbors`.
type Neighbor struct {
	Address string  `json:"address"`
	Port    string  `json:"port"`
	MAC     string  `json:"mac"` // "" if it is not known
	State   string  `json:"state"`
	Age     float64 `json:"age_seconds"` // since it was last known to be right
	Waiting int     `json:"waiting"`     // packets
}

// Held is a line of `vrouter show held`: packets that wait for a next hop, the
// fragments of a datagram for the router itself, or packets that are stopped.
type Held struct {
	For     string  `json:"for"`                // next_hop, fragments or stop
	Port    string  `json:"port"`               // by which they are to leave, or by which the fragments came, or the first that is stopped
	Before  string  `json:"before,omitempty"`   // the step before which they are stopped
	NextHop string  `json:"next_hop,omitempty"` // that has not answered ARP
	Src     string  `json:"src,omitempty"`      // of the datagram, as are the next three
	Dst     string  `json:"dst,omitempty"`
	ID      int     `json:"id,omitempty"`
	Proto   int     `json:"proto,omitempty"`
	Packets int     `json:"packets"`
	Bytes   int     `json:"bytes"`       // of memory
	Age     float64 `json:"age_seconds"` // since the next hop was first asked for, or the first of the others came
	Missing string  `json:"missing"`
}

// Route is a line of `vrouter route list`.
type Route struct {
	Prefix   string `json:"prefix"`
	Type     string `json:"type"`
	Via      string `json:"via,omitempty"`
	Dev      string `json:"dev,omitempty"`
	Protocol string `json:"protocol"`
	Metric   int64  `json:"metric"`
	MTU      int    `json:"mtu,omitempty"` // that the route gives; 0: none
	Encap    string `json:"encap"`
	Used     bool   `json:"used"`    // the best of those to its prefix
	Text     string `json:"text"`    // in the words of `ip route`
	Packets  uint64 `json:"packets"` // that took it, since it came into the table as it is
	Bytes    uint64 `json:"bytes"`   // of them, as they came in, with Ethernet headers
	Paths    []Path `json:"paths,omitempty"`
}

// Path is one next hop of several: each gets flows by its weight.
type Path struct {
	Via     string `json:"via,omitempty"`
	Dev     string `json:"dev"`
	Encap   string `json:"encap"`
	Weight  int    `json:"weight"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Lookup is the answer of `vrouter route get`: the route that wins, those that
// lose, best first, and the next hop's hardware address.
type Lookup struct {
	Address  string  `json:"address"`
	Route    *Route  `json:"route"`           // null: no route
	Encap    string  `json:"encap,omitempty"` // whether, and why
	Others   []Route `json:"others"`
	NextHop  string  `json:"next_hop,omitempty"`
	Neighbor string  `json:"neighbor,omitempty"`  // hardware address, or the state it is in
	NextHops []Hop   `json:"next_hops,omitempty"` // in place of the three, where there are several
}

// Hop is one next hop of several that a packet to an address may take.
type Hop struct {
	NextHop  string `json:"next_hop"`
	Neighbor string `json:"neighbor"`
	Encap    string `json:"encap"`
	Weight   int    `json:"weight"`
}

// Explain is what `vrouter explain` asks: about a packet in one line, or about one
// that was kept.
type Explain struct {
	Packet   string          `json:"packet,omitempty"` // icmp 10.70.1.1 > 10.70.2.1 ttl 1
	Captured *capture.Packet `json:"captured,omitempty"`
	In       string          `json:"in,omitempty"` // the port by which a captured one comes in; "": as its source says
	Frames   bool            `json:"frames,omitempty"`
}

// Explanation is the answer: the packet's way, then that of each packet that the
// router would send because of it, and why the route is what it is.
type Explanation struct {
	Packets []trace.Packet `json:"packets"` // with frames, where they are asked for
	Why     []string       `json:"why"`
	Sent    []trace.Sent   `json:"sent,omitempty"` // what leaves; only where frames are asked for
}

// Replayed is the answer to POST /v1/replay: how many packets of a capture would take
// which way, the most frequent first.
type Replayed struct {
	Packets int     `json:"packets"`
	Sent    int     `json:"sent"` // of them, those that this host itself has sent: they are not replayed
	Ways    []Taken `json:"ways"`
}

// Taken is a way, and what of a capture takes it.
type Taken struct {
	Way     string `json:"way"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason"` // of a drop
	Asks    bool   `json:"asks"`   // the next hop is not known, and would be asked for first
	Packets int    `json:"packets"`
	First   int    `json:"first"` // number of the first one, from 1
}

// Tunnel is a line of `vrouter show tunnels`.
type Tunnel struct {
	Peer      string  `json:"peer"`
	Kind      string  `json:"kind"`              // what it carries: "ipip,6in4" to an IPv4 address, "4in6,6in6" to one of IPv6, "vxlan"
	Mode      string  `json:"mode"`              // both, send, receive: the directions that the routes and the peers allow
	MAC       string  `json:"mac,omitempty"`     // of VXLAN: the peer's inside the tunnel
	OwnMAC    string  `json:"own_mac,omitempty"` // and this end's
	PathMTU   int     `json:"path_mtu"`
	Cause     string  `json:"cause"`          // uplink, or the router that told a lower path MTU
	Age       float64 `json:"age_seconds"`    // since it told
	Refused   uint64  `json:"errors_refused"` // ICMP errors about it that were not believed
	TxPackets uint64  `json:"tx_packets"`
	RxPackets uint64  `json:"rx_packets"`
	// Offload is who cuts superframes that go there: kernel, or "cut here", and then why.
	Offload    string `json:"offload"`
	CutBecause string `json:"cut_because,omitempty"`
	// Superframes that went there, by where they were cut.
	CutByKernel uint64 `json:"superframes_cut_by_kernel"`
	CutHere     uint64 `json:"superframes_cut_here"`
}

// Workload is a line of `vrouter workload list`.
type Workload struct {
	Name      string   `json:"name"`
	Namespace string   `json:"namespace"`
	Interface string   `json:"interface"`
	Address   string   `json:"address"` // the first of them
	Addresses []string `json:"addresses"`
	MAC       string   `json:"mac"` // "" while it waits
	MTU       int      `json:"mtu"`
	Waits     string   `json:"waits,omitempty"` // why it is not attached, so far
	Note      string   `json:"note,omitempty"`  // what the workload has made of its interface
	// Container is that of CNI of which it is an interface.
	Container *Container `json:"container,omitempty"`
}

// Container is a container of a network of CNI.
type Container struct {
	Network string `json:"network"`
	ID      string `json:"id"`
}

// Reloaded is the answer to POST /v1/reload: the workloads that somebody else has yet to make a namespace for, each
// with its reason.
type Reloaded struct {
	Waiting []string `json:"waiting"`
}

// Version of the running router.
type Version struct {
	Version   string `json:"version"`
	GoVersion string `json:"go_version"`
	Node      string `json:"node"`
	PID       int    `json:"pid"`
	Gateway   string `json:"gateway"` // of workloads, as the next one
	Gateway6  string `json:"gateway6"`
	// Addresses are the host's own.
	Addresses []netip.Addr `json:"addresses"`
}

// RouteChange is one of the list that POST /v1/routes takes.
type RouteChange struct {
	Op     string `json:"op"` // add, replace, del
	To     string `json:"to"`
	Via    string `json:"via,omitempty"`
	Dev    string `json:"dev,omitempty"`
	Type   string `json:"type,omitempty"`
	Encap  string `json:"encap,omitempty"`
	Metric *int64 `json:"metric,omitempty"`
	Proto  string `json:"proto,omitempty"`
}

// RouteCounts is the answer: what became of the list.
type RouteCounts struct {
	Added    int `json:"added"`
	Replaced int `json:"replaced"`
	Deleted  int `json:"deleted"`
}

// NewWorkload is what POST /v1/workloads takes: the keys of the configuration.
type NewWorkload struct {
	Name      string   `json:"name"`
	Address   string   `json:"address,omitempty"`   // one, or
	Addresses []string `json:"addresses,omitempty"` // several
	Interface string   `json:"interface,omitempty"`
	Namespace string   `json:"namespace,omitempty"`
	MTU       *int64   `json:"mtu,omitempty"`
	// Container has it hold until its namespace goes, over restarts of the router.
	Container *Container `json:"container,omitempty"`
}

// Failure is the body of every answer that is no success.
type Failure struct {
	Message string `json:"error"`            // for people, in one line
	Field   string `json:"field,omitempty"`  // of the request, that is to blame
	Reason  string `json:"reason,omitempty"` // what is wrong with it
	Index   *int   `json:"index,omitempty"`  // in the list, from 0
}

func (f *Failure) Error() string { return f.Message }
