package verdict

// Meaning is what the source of a packet is told about its end. Each family says it
// by a type and code of its own (packages ipv4 and ipv6).
type Meaning uint8

const (
	MeansNothing      Meaning = iota // it is told nothing
	MeansNoRoute                     // no route leads there
	MeansNoHost                      // the next hop, or the host itself, cannot be reached
	MeansNoProtocol                  // the router does not speak the protocol
	MeansNoPort                      // nobody listens there
	MeansTooBig                      // too big for a link on the way; so much fits
	MeansProhibited                  // somebody forbids it
	MeansTTLExceeded                 // the time to live ran out on the way
	MeansNotAssembled                // the rest of its fragments did not come in time
	MeansBeyondScope                 // its source means nothing where it is to go
	MeansBadField                    // a field of a header is wrong, at that byte
	MeansBadOption                   // an option is not known, at that byte
	numMeanings
)

// NumMeanings counts MeansNothing too.
const NumMeanings = int(numMeanings)

var meaningWords = [NumMeanings]string{
	MeansNoRoute: "no route", MeansNoHost: "host unreachable", MeansNoProtocol: "protocol unreachable", MeansNoPort: "port unreachable",
	MeansTooBig: "too big", MeansProhibited: "prohibited", MeansTTLExceeded: "ttl ran out", MeansNotAssembled: "fragments missing",
	MeansBeyondScope: "beyond the scope of its source", MeansBadField: "bad header field", MeansBadOption: "unknown option",
}

// String says it to people; "" for MeansNothing.
func (m Meaning) String() string { return meaningWords[m] }

// Meanings lists all but MeansNothing.
func Meanings() []Meaning {
	all := make([]Meaning, 0, NumMeanings-1)
	for m := MeansNothing + 1; m < numMeanings; m++ {
		all = append(all, m)
	}
	return all
}
