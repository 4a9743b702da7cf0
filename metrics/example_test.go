package metrics_test

import (
	"fmt"

	"github.com/vrouter/vrouter/metrics"
)

// What a router serves, without one: for dashboards and alerts that name only what there is.
func ExampleTable() {
	for _, m := range metrics.Table() {
		if m.Name == "vrouter_drop_packets_total" {
			fmt.Printf("%s %s\n", m.Kind, m)
		}
	}
	// Output: counter vrouter_drop_packets_total{port,reason}
}
