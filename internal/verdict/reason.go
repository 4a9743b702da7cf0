package verdict

// Reason says why a packet was dropped.
type Reason uint8

const (
	None Reason = iota
	FrameTooShort
	NotForRouter
	UnknownEthertype
	ARPMalformed
	ARPIgnored
	IPTooShort
	IPBadVersion
	IPBadHeaderLength
	IPBadLength
	IPBadChecksum
	IP6BadHeader
	L2Broadcast
	MartianSource
	MartianDestination
	LinkLocal
	BeyondScope
	NDMalformed
	NDIgnored
	RPFFailed
	TTLExceeded
	NoRoute
	Blackhole
	UnreachableRoute
	ProhibitRoute
	MTUExceeded
	NeighborUnresolved
	NeighborQueueFull
	IPIPUnknownPeer
	IPIPBadInner
	IPIPInnerTTLZero
	IPIPECN
	IPIPLoop
	VXLANUnknownPeer
	VXLANBadHeader
	VXLANUnknownVNI
	VXLANBadInner
	ReassemblyTimeout
	ReassemblyLimit
	LocalUnsupported
	TXError
	TXQueueFull
	numReasons
)

// NumReasons counts None too: an array of this length is indexed by Reason.
const NumReasons = int(numReasons)

// ReasonInfo describes a drop reason to people, and says what its source hears.
type ReasonInfo struct {
	Word string
	Help string
	RFC  string
	RFC6 string  // of IPv6, where it is another one; "": the same
	Tell Meaning // what its source hears; MeansNothing: the drop is silent
	Mend string  // what the reader of a trace can do about it; "" where nothing is wrong on this host
	// Noise says which of these drops are noise: nobody sent the packet to this router.
	Noise NoiseRule
}

// NoiseRule says which packets that are dropped for a reason are noise.
type NoiseRule uint8

const (
	NeverNoise NoiseRule = iota
	GroupNoise           // those in a frame to a group of stations
	AlwaysNoise
)

var noiseWords = [...]string{NeverNoise: "", GroupNoise: "to a group", AlwaysNoise: "always"}

// String is the word of the documentation.
func (n NoiseRule) String() string { return noiseWords[n] }

var reasonTable = [NumReasons]ReasonInfo{
	FrameTooShort:      {Word: "frame_too_short", Noise: GroupNoise, Help: "shorter than an Ethernet header, or than its offload header says"},
	NotForRouter:       {Word: "not_for_router", Noise: AlwaysNoise, Help: "addressed to another station's MAC, or to the host itself"},
	UnknownEthertype:   {Word: "unknown_ethertype", Noise: GroupNoise, Help: "neither IPv4, IPv6 nor ARP", Mend: "IP alone is routed"},
	ARPMalformed:       {Word: "arp_malformed", Noise: GroupNoise, Help: "not a well-formed ARP request or reply for IPv4 over Ethernet", RFC: "RFC 826", Mend: "look at it: vrouter trace -o pcapng --reason arp_malformed"},
	ARPIgnored:         {Word: "arp_ignored", Noise: AlwaysNoise, Help: "a request that this router has no business answering", RFC: "RFC 1027 2, RFC 5227 2.1", Mend: "is it the right gateway that is asked for? a workload's is `gateway.address`"},
	IPTooShort:         {Word: "ip_too_short", Noise: GroupNoise, Help: "fewer bytes than an IP header has: 20, of IPv6 40", RFC: "RFC 1812 5.2.2 (1)", RFC6: "RFC 8200 3", Mend: "look at it: vrouter trace -o pcapng --reason ip_too_short"},
	IPBadVersion:       {Word: "ip_bad_version", Noise: GroupNoise, Help: "the version is not that of the Ethernet type", RFC: "RFC 1812 5.2.2 (3)", RFC6: "RFC 8200 3", Mend: "look at it: vrouter trace -o pcapng --reason ip_bad_version"},
	IPBadHeaderLength:  {Word: "ip_bad_header_length", Noise: GroupNoise, Help: "the header length is under 20 bytes", RFC: "RFC 1812 5.2.2 (4)", Mend: "look at it: vrouter trace -o pcapng --reason ip_bad_header_length"},
	IPBadLength:        {Word: "ip_bad_length", Noise: GroupNoise, Help: "the length is under the header's, or over the frame's", RFC: "RFC 1812 5.2.2 (5)", RFC6: "RFC 8200 3", Mend: "was it cut off on its way? compare with a capture at the sender"},
	IPBadChecksum:      {Word: "ip_bad_checksum", Noise: GroupNoise, Help: "the header checksum is wrong", RFC: "RFC 1812 5.2.2 (2)", Mend: "was it damaged on its way? compare with a capture at the sender"},
	IP6BadHeader:       {Word: "ip6_bad_header", Noise: GroupNoise, Help: "IPv6 extension headers that do not end inside the packet, are too many or out of order, or that the router itself cannot follow", RFC: "RFC 8200 4, RFC 5095 3", Tell: MeansBadField, Mend: "look at it: vrouter trace -o pcapng --reason ip6_bad_header"},
	L2Broadcast:        {Word: "l2_broadcast", Noise: AlwaysNoise, Help: "an IP unicast packet in an Ethernet broadcast or multicast frame", RFC: "RFC 1812 5.3.4", RFC6: "RFC 4443 2.4", Mend: "the sender has a broadcast MAC for this address in its ARP table"},
	MartianSource:      {Word: "martian_source", Noise: GroupNoise, Help: "the source cannot be one host: 0/8, 127/8, ::, ::1, multicast, class E, broadcast", RFC: "RFC 1812 5.3.7", RFC6: "RFC 4291 2.5", Mend: "set the sender's address; 0.0.0.0 is a client of DHCP, which is not served here"},
	MartianDestination: {Word: "martian_destination", Noise: GroupNoise, Help: "the destination may not be forwarded: 0/8, 127/8, ::, ::1, multicast, class E, a subnet's broadcast", RFC: "RFC 1812 5.3.7, RFC 2644", RFC6: "RFC 4291 2.5, 2.7", Mend: "multicast and broadcast are not routed; send to one host"},
	LinkLocal:          {Word: "link_local", Noise: GroupNoise, Help: "to or from 169.254/16, or to fe80::/10, which never leaves its link", RFC: "RFC 3927 7", RFC6: "RFC 4291 2.5.6", Mend: "give both ends addresses outside 169.254.0.0/16 and fe80::/10"},
	BeyondScope:        {Word: "beyond_scope", Noise: GroupNoise, Help: "from fe80::/10, to what is not on its link", RFC: "RFC 4443 3.1, RFC 4291 2.5.6", Tell: MeansBeyondScope, Mend: "give the sender a global address"},
	NDMalformed:        {Word: "nd_malformed", Noise: GroupNoise, Help: "Neighbor Discovery that is not well-formed, is fragmented, or did not begin on this link", RFC: "RFC 4861 7.1, RFC 6980 5", Mend: "look at it: vrouter trace -o pcapng --reason nd_malformed"},
	NDIgnored:          {Word: "nd_ignored", Noise: AlwaysNoise, Help: "Neighbor Discovery that this router has no business answering", RFC: "RFC 4861 7.2.3, 7.2.5", Mend: "is it the right gateway that is asked for? a workload's is `gateway.address6`"},
	RPFFailed:          {Word: "rpf_failed", Help: "a workload sent from an address that is not its own", RFC: "RFC 3704 2.2", Mend: "send from the workload's address, or set `rpf: off`"},
	TTLExceeded:        {Word: "ttl_exceeded", Help: "the time to live ran out here", RFC: "RFC 1812 5.3.1", RFC6: "RFC 8200 3, RFC 4443 3.3", Tell: MeansTTLExceeded, Mend: "raise the TTL, or look for a routing loop"},
	NoRoute:            {Word: "no_route", Help: "no route contains the destination", RFC: "RFC 1812 5.2.7.1", RFC6: "RFC 4443 3.1", Tell: MeansNoRoute, Mend: "add one to `routes` in the configuration"},
	Blackhole:          {Word: "blackhole", Help: "a blackhole route, silent on purpose", Mend: "remove the blackhole route if it is not meant"},
	UnreachableRoute:   {Word: "unreachable", Help: "an unreachable route", RFC: "RFC 1812 5.2.7.1", RFC6: "RFC 4443 3.1", Tell: MeansNoHost, Mend: "remove the unreachable route if it is not meant"},
	ProhibitRoute:      {Word: "prohibit", Help: "a prohibit route", RFC: "RFC 1812 5.2.7.1", RFC6: "RFC 4443 3.1", Tell: MeansProhibited, Mend: "remove the prohibit route if it is not meant"},
	MTUExceeded:        {Word: "mtu_exceeded", Help: "too big for the next link, and marked Don't Fragment, or IPv6", RFC: "RFC 1191 4", RFC6: "RFC 4443 3.2", Tell: MeansTooBig, Mend: "the sender learns the MTU from the ICMP error; let that through"},
	NeighborUnresolved: {Word: "neighbor_unresolved", Help: "nobody answered ARP, or a neighbour solicitation, for the next hop", RFC: "RFC 1812 5.2.7.1, RFC 1122 2.3.2", RFC6: "RFC 4861 7.2.2, RFC 4443 3.1", Tell: MeansNoHost, Mend: "is the next hop up, and on this link?"},
	NeighborQueueFull:  {Word: "neighbor_queue_full", Help: "too many packets or next hops wait for an answer of theirs; the oldest packet goes first", RFC: "RFC 1122 2.3.2.2", Mend: "does somebody scan addresses? vrouter show neighbors"},
	IPIPUnknownPeer:    {Word: "ipip_unknown_peer", Help: "IP-in-IP from a host that is no peer, or to an address that is not this host's", Mend: "add the host to `ipip.peers` if it is one"},
	IPIPBadInner:       {Word: "ipip_bad_inner", Help: "what an IP-in-IP packet carries is no valid IPv4 packet", RFC: "RFC 2003 3", Mend: "look at what the peer sends: vrouter trace -o pcapng --outer --reason ipip_bad_inner"},
	IPIPInnerTTLZero:   {Word: "ipip_inner_ttl_zero", Help: "a packet that came by a tunnel with a TTL of 0", RFC: "RFC 2003 3.1", Mend: "look for a routing loop behind the peer"},
	IPIPECN:            {Word: "ipip_ecn", Help: "congestion marked outside on a packet in a tunnel that cannot carry the mark inside", RFC: "RFC 6040 4.2", Mend: "a router between the hosts marks congestion on what did not ask for it"},
	IPIPLoop:           {Word: "ipip_loop", Help: "a packet from or to the tunnel's own ends is not put into that tunnel again", RFC: "RFC 2003 3.2", Mend: "give the tunnel's end a route that is plain, and more specific"},
	VXLANUnknownPeer:   {Word: "vxlan_unknown_peer", Help: "VXLAN from a host that is no peer", Mend: "add the host to `vxlan.peers` if it is one"},
	VXLANBadHeader:     {Word: "vxlan_bad_header", Help: "a VXLAN header that is cut short, or without the flag that says that it has a network identifier", RFC: "RFC 7348 5", Mend: "look at what the peer sends: vrouter trace -o pcapng --outer --reason vxlan_bad_header"},
	VXLANUnknownVNI:    {Word: "vxlan_unknown_vni", Help: "VXLAN of another network than this router's", RFC: "RFC 7348 4.1", Mend: "give both ends the same `vxlan.vni`"},
	VXLANBadInner:      {Word: "vxlan_bad_inner", Help: "what a VXLAN packet carries is no valid IP packet in a frame to this end's MAC address", RFC: "RFC 7348 4.1", Mend: "does the peer know this end's MAC? vrouter show tunnels -o json; see its frames: vrouter trace -o pcapng --outer --reason vxlan_bad_inner"},
	ReassemblyTimeout:  {Word: "reassembly_timeout", Help: "the rest of the fragments did not come in time", RFC: "RFC 1812 4.2.2.8", RFC6: "RFC 8200 4.5, RFC 4443 3.3", Tell: MeansNotAssembled, Mend: "some fragments are lost on the way; send what fits the path MTU"},
	ReassemblyLimit:    {Word: "reassembly_limit", Help: "fragments that overlap or make no datagram, or too many that wait", RFC: "RFC 1858 3, RFC 5722 4", Mend: "send what fits the path MTU; no honest sender makes fragments that overlap, or of more than 65,535 bytes"},
	LocalUnsupported:   {Word: "local_unsupported", Help: "for the router itself, which speaks ICMP echo alone", RFC: "RFC 1812 5.2.7.1", RFC6: "RFC 8200 4, RFC 4443 3.4", Tell: MeansNoProtocol, Mend: "send to a workload's address; the router itself answers pings alone"},
	TXError:            {Word: "tx_error", Help: "the kernel, or the far end of the link, refused the frame", Mend: "is the port up, and its far end? have both the same MTU? vrouter show ports"},
	TXQueueFull:        {Word: "tx_queue_full", Help: "the port's queue is full: in the kernel, or before the slow lane", Mend: "the receiver is slower than the sender, who is to slow down; vrouter show workers names slow workloads"},
}

// String is the word of the metrics and the trace; "" for None.
func (r Reason) String() string { return reasonTable[r].Word }

// ReasonNamed is the reason of that word, if there is one.
func ReasonNamed(word string) (Reason, bool) {
	for _, r := range Reasons() {
		if r.String() == word {
			return r, true
		}
	}
	return None, false
}

// RFCOf is where the rule is written for a family.
func (i *ReasonInfo) RFCOf(six bool) string {
	if six && i.RFC6 != "" {
		return i.RFC6
	}
	return i.RFC
}

// Info describes the reason to people, and what its source is told.
func (r Reason) Info() ReasonInfo { return reasonTable[r] }

// Tells is what the source of a packet is told that is dropped for the reason.
func (r Reason) Tells() Meaning { return reasonTable[r].Tell }

// Reasons lists every reason, in the order of the path.
func Reasons() []Reason {
	all := make([]Reason, 0, NumReasons-1)
	for r := None + 1; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}
