package doctor

import (
	"context"

	"github.com/vrouter/vrouter/internal/control"
)

// workloads are those that wait, and those whose namespace has another set-up than the router gave it.
func workloads(h *Host) (found []Finding, err error) {
	if h.Router == nil {
		return nil, nil
	}
	client := control.NewClient(h.Socket)
	defer client.Close()
	var all []control.Workload
	if err := client.Get(context.Background(), "/v1/workloads", &all); err != nil {
		return nil, err
	}
	for _, w := range all {
		switch {
		case w.Waits != "":
			found = append(found, Finding{State: Warn, Means: "workload " + w.Name + " waits: " + w.Waits, Mend: "vrouter workload list   # it is attached as soon as that is mended"})
		case w.Note != "":
			found = append(found, Finding{State: Warn, Means: "workload " + w.Name + ": " + w.Note, Mend: "vrouter reload"})
		}
	}
	return found, nil
}
