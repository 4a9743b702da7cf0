// Package verdict is the closed list of how a packet's way through the router can
// end: the verdict that each step gives, the reasons for which a packet is dropped,
// and what its source is told of it. The words here are the words in the metrics, the
// trace and the documentation, which are generated from these tables. The steps
// themselves are the packet path's: package forwarder.
package verdict

// Kind says how a step ended.
type Kind uint8

const (
	Pass    Kind = iota // goes on as it is
	Edit                // goes on, changed
	Drop                // ends here, for a Reason
	Consume             // ends here: the router took it
	numKinds
	// Hold is no verdict: the packet waits, for its next hop's hardware address or for
	// the rest of its datagram, and gets its verdict when the wait is over. It is
	// never counted as an end.
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
	Noise  bool   // of a drop: nobody sent it to this router, and nothing is lost
}

// Dropped is the verdict of a step that ends a packet's way for a reason.
func Dropped(r Reason) Verdict { return Verdict{Kind: Drop, Reason: r} }

// Noise is Dropped for what a link carries for others: it was not sent to this router.
func Noise(r Reason) Verdict { return Verdict{Kind: Drop, Reason: r, Noise: true} }
