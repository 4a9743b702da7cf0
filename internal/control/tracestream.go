package control

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/vrouter/vrouter/internal/share"
	"github.com/vrouter/vrouter/internal/trace"
)

// trace streams records, one JSON object a line, until the client goes. Where the router ends the trace,
// the last line says why.
func (s *Server) trace(w http.ResponseWriter, r *http.Request) {
	q, ctx := r.URL.Query(), r.Context()
	o, err := traceOptions(q, s.node.Router)
	if err != nil {
		fail(w, badRequest{err})
		return
	}
	o.Owner = string(party(ctx))
	var l *trace.Listener
	share.Locked(ctx, func() { l, err = s.node.Router.Trace().Listen(o) })
	if err != nil {
		fail(w, unavailable{err})
		return
	}
	defer share.Locked(ctx, l.Close)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_ = flush.Flush() // the client knows now that the trace is on
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	err = stream(ctx, l, s.node.Config().Node, q.Has("frames"), func(p *trace.Packet) error {
		if err := enc.Encode(p); err != nil || l.Waiting() {
			return err // what waits goes out together
		}
		return flush.Flush()
	})
	if l.Err() != nil {
		_ = enc.Encode(Failure{Message: err.Error()})
	}
}

func stream(ctx context.Context, l *trace.Listener, host string, frames bool, write func(*trace.Packet) error) error {
	var rec trace.Record
	for {
		gap, err := next(ctx, l, &rec)
		if err != nil {
			return err
		}
		p := rec.View(host)
		p.Lost, p.Skipped = gap.Lost, gap.Skipped
		if frames {
			rec.AddFrames(&p)
		}
		if err := write(&p); err != nil {
			return err
		}
	}
}

// next waits for a record, where there is none yet, outside of the turn.
func next(ctx context.Context, l *trace.Listener, rec *trace.Record) (gap trace.Gap, err error) {
	if l.Ready() {
		return l.Next(ctx, rec)
	}
	share.Wait(ctx, func() { gap, err = l.Next(ctx, rec) })
	return gap, err
}
