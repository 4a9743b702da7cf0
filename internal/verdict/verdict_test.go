package verdict

import (
	"slices"
	"strings"
	"testing"
)

// The words are in dashboards and scripts: none may go or change.
const reasonWords = `frame_too_short not_for_router unknown_ethertype arp_malformed arp_ignored ip_too_short ip_bad_version
ip_bad_header_length ip_bad_length ip_bad_checksum l2_broadcast martian_source martian_destination link_local
rpf_failed ttl_exceeded no_route blackhole unreachable prohibit mtu_exceeded neighbor_unresolved
neighbor_queue_full ipip_unknown_peer ipip_bad_inner ipip_inner_ttl_zero ipip_ecn ipip_loop
reassembly_timeout reassembly_limit local_unsupported tx_error tx_queue_full
nd_malformed nd_ignored ip6_bad_header beyond_scope`

func TestReasonWords(t *testing.T) {
	var words []string
	for _, r := range Reasons() {
		words = append(words, r.String())
		if r.Info().Help == "" {
			t.Errorf("%s has no help", r)
		}
	}
	for _, want := range strings.Fields(reasonWords) {
		if !slices.Contains(words, want) {
			t.Errorf("the reason %s is gone", want)
		}
	}
	if slices.Sort(words); len(slices.Compact(words)) != NumReasons-1 || words[0] == "" {
		t.Errorf("a word is missing, or there twice: %q", words)
	}
	if None.String() != "" {
		t.Errorf("no reason is called %q", None)
	}
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		word string
		ends bool
	}{{Pass, "pass", false}, {Edit, "edit", false}, {Drop, "drop", true}, {Consume, "consume", true}} {
		if c.kind.String() != c.word || c.kind.Ends() != c.ends || int(c.kind) >= NumKinds {
			t.Errorf("%s: ends %v, want %s, %v", c.kind, c.kind.Ends(), c.word, c.ends)
		}
	}
	if int(Hold) < NumKinds {
		t.Error("hold can be counted")
	}
}

// Silence is asked for where nothing in the packet can be trusted (RFC 1812
// 5.2.2), and where an answer would tell a stranger something.
func TestMeaningOfReasons(t *testing.T) {
	want := map[Reason]Meaning{
		TTLExceeded: MeansTTLExceeded, NoRoute: MeansNoRoute, UnreachableRoute: MeansNoHost, ProhibitRoute: MeansProhibited, MTUExceeded: MeansTooBig,
		NeighborUnresolved: MeansNoHost, ReassemblyTimeout: MeansNotAssembled, LocalUnsupported: MeansNoProtocol,
		BeyondScope: MeansBeyondScope, IP6BadHeader: MeansBadField,
	}
	for _, r := range Reasons() {
		if got := r.Tells(); got != want[r] {
			t.Errorf("%s is told as %q, want %q", r, got, want[r])
		}
	}
}
