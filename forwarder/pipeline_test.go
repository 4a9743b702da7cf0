package forwarder

import (
	"strings"
	"testing"
)

// The words are in dashboards and scripts: none may go or change.
func TestStepWords(t *testing.T) {
	var words []string
	for i, s := range Steps() {
		words = append(words, s.Word)
		if s.Help == "" || s.Number() != i || StepNamed(s.Word) != s || s.run == nil || s.say == nil {
			t.Errorf("%s has no help, no words or no place", s)
		}
	}
	if got := strings.Join(words, " "); got != "rx arp check decap nd rpf local route ttl mtu encap neigh tx" {
		t.Errorf("the steps are %s", got)
	}
}
