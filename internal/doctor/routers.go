package doctor

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/vrouter/vrouter/internal/host"
)

// otherRouters: who has the uplink is told by its lock, and where he can be asked by his record.
func otherRouters(h *Host) ([]Finding, error) {
	if _, err := h.link(); err != nil {
		return nil, err
	}
	name := h.Config.Uplink.Interface
	pid, held := host.Holder(name)
	if !held || h.Router != nil && h.Router.PID == pid {
		return nil, nil
	}
	r, err := h.record()
	switch {
	case err != nil && !errors.Is(err, host.ErrDamaged):
		return nil, err
	case r == nil || r.Owner.PID != pid || r.Owner.Socket == h.Socket:
		return []Finding{{
			State: Warn, Means: fmt.Sprintf("process %d has the uplink %s, and does not answer at %s: it is starting or stopping, or it hangs", pid, name, h.Socket),
			Mend: "vrouter doctor   # again",
		}}, nil
	}
	return []Finding{{
		State: Warn, Means: fmt.Sprintf("the router that has the uplink %s, process %d, answers at %s, not at %s: this configuration is not its own", name, pid, r.Owner.Socket, h.Socket),
		Mend: "vrouter --socket " + r.Owner.Socket + " doctor",
	}}, nil
}

// record is what was done to this host for the uplink; nil if nothing was.
func (h *Host) record() (*host.Record, error) {
	if h.Config == nil {
		return nil, nil
	}
	return host.Look(h.Config.Uplink.Interface)
}

// left is a record whose router runs no longer.
func (h *Host) left() (all []*host.Record, err error) {
	if h.Config != nil {
		r, err := h.record()
		if r == nil || err != nil {
			return nil, err
		}
		all = []*host.Record{r}
	} else if all, err = host.Records(); err != nil {
		return nil, err
	}
	var left []*host.Record
	for _, r := range all {
		if _, held := host.Holder(r.Owner.Uplink); !held {
			left = append(left, r)
		}
	}
	return left, nil
}

// takeBack removes objects of a record, if its router runs as little as before.
func takeBack(uplink string, which func(*host.Entry) bool) func() error {
	return func() error {
		_, err := host.TakeBack(uplink, which, slog.New(slog.DiscardHandler))
		return err
	}
}
