package main

import (
	"strings"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/control"
)

func TestLastRecorded(t *testing.T) {
	for age, want := range map[time.Duration]string{time.Hour: "s ago: arp", -time.Hour: "#7 before the clock was set back: arp"} {
		last := &control.Recorded{ID: 7, Time: time.Now().Add(-age), Summary: "arp"}
		if got := lastOf(&control.Drop{Last: last}); !strings.HasSuffix(got, want) || strings.Contains(got, "-") {
			t.Errorf("recorded %v ago: %q, want %q", age, got, want)
		}
	}
}
