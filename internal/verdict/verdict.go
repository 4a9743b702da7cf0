// Package verdict is the closed list of how a packet's way through the router
// can go: the steps it meets, the verdict each step gives, and the reasons for
// which a packet is dropped. The words here are the words in the metrics, the
// trace and the documentation, which are generated from these tables.
package verdict

// Kind says how a step ended.
type Kind uint8

const (
	Pass    Kind = iota // goes on as it is
	Edit                // goes on, changed
	Drop                // ends here, for a Reason
	Consume             // ends here: the router took it
	numKinds
	// Hold is no verdict: the packet waits for its next hop's hardware address
	// and gets its verdict when the wait is over. It is never counted as an end.
	Hold
)

// NumKinds is the number of verdicts that can be counted.
const NumKinds = int(numKinds)

var kindWords = [...]string{Pass: "pass", Edit: "edit", Drop: "drop", Consume: "consume", numKinds: "", Hold: "hold"}

// String is the word of the metrics and the trace.
func (k Kind) String() string { return kindWords[k] }

// Ends says whether no further step sees the packet.
func (k Kind) Ends() bool { return k >= Drop }

// Verdict is what a step returns: three bytes, so that returning it is free.
type Verdict struct {
	Kind   Kind
	Reason Reason // None unless Kind is Drop
	Class  Class  // of a drop
}

// Class says what a drop means.
type Class uint8

const (
	Loss  Class = iota // it was sent to this router, and is lost
	Noise              // a link carries it for others: nothing is lost
	numClasses
)

// NumClasses is the number of classes.
const NumClasses = int(numClasses)

// Dropped is the verdict of a step that ends a packet's way for a reason.
func Dropped(r Reason) Verdict { return Verdict{Drop, r, Loss} }

// Overheard is Dropped for what nobody sent to this router.
func Overheard(r Reason) Verdict { return Verdict{Drop, r, Noise} }

// Step is a stage of the packet path. Steps are numbered in the order in which
// a packet meets them.
type Step uint8

const (
	RX Step = iota
	ARP
	Check
	Decap
	RPF
	Local
	Route
	TTL
	MTU
	Encap
	Neigh
	TX
	numSteps
)

// NumSteps is the number of steps.
const NumSteps = int(numSteps)

// StepInfo describes a step to people.
type StepInfo struct {
	Word string
	Help string
	RFC  string // where its rule is written
	// Quiet steps have nothing to say when they pass: the text trace leaves
	// that line out, as most packets pass them untouched.
	Quiet bool
}

var stepTable = [NumSteps]StepInfo{
	RX:    {Word: "rx", Help: "the frame is read from its port"},
	ARP:   {Word: "arp", Help: "ARP is answered (the gateway's address, proxy) or learnt from; IPv4 goes on", RFC: "RFC 826, RFC 1027", Quiet: true},
	Check: {Word: "check", Help: "the IPv4 header is valid and its addresses may be forwarded", RFC: "RFC 1812 5.2.2, 5.3.7"},
	Decap: {Word: "decap", Help: "IP-in-IP from a known peer to this host is unpacked", RFC: "RFC 2003 3, RFC 6040 4.2", Quiet: true},
	RPF:   {Word: "rpf", Help: "a workload sends from its own address alone", RFC: "RFC 3704 2.2", Quiet: true},
	Local: {Word: "local", Help: "what is for the router itself is taken: echo to the gateway's or the uplink's address", RFC: "RFC 1812 4.3.3.6, 5.2.3", Quiet: true},
	Route: {Word: "route", Help: "the longest prefix that contains the destination says where it goes", RFC: "RFC 1812 5.2.4.3"},
	TTL:   {Word: "ttl", Help: "the time to live is lowered by one", RFC: "RFC 1812 5.3.1"},
	MTU:   {Word: "mtu", Help: "what is too big for the next link is fragmented, or refused if it may not be", RFC: "RFC 791 3.2, RFC 1191 3", Quiet: true},
	Encap: {Word: "encap", Help: "an outer header is put around what goes through a tunnel", RFC: "RFC 2003 3.1", Quiet: true},
	Neigh: {Word: "neigh", Help: "the next hop's hardware address goes into the Ethernet header", RFC: "RFC 826, RFC 1122 2.3.2"},
	TX:    {Word: "tx", Help: "the frame is handed to its port"},
}

// String is the word of the metrics and the trace.
func (s Step) String() string { return stepTable[s].Word }

// Steps lists every step, in the order of the path.
func Steps() []Step {
	all := make([]Step, NumSteps)
	for i := range all {
		all[i] = Step(i)
	}
	return all
}

// StepNamed is the step of that word, if there is one.
func StepNamed(word string) (Step, bool) {
	for _, s := range Steps() {
		if s.String() == word {
			return s, true
		}
	}
	return 0, false
}

// Info describes the step to people.
func (s Step) Info() StepInfo { return stepTable[s] }
