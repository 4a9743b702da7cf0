package control

import (
	"context"
	"encoding/json"
	"net/http"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/trace"
)

// trace streams records, one JSON object a line, until the client goes.
func (s *Server) trace(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	o, err := traceOptions(q, s.node.Router)
	if err != nil {
		fail(w, badRequest{err})
		return
	}
	l, err := s.node.Router.Trace().Listen(o)
	if err != nil {
		fail(w, err)
		return
	}
	defer l.Close()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_ = flush.Flush() // the client knows now that the trace is on
	yieldToForwarding(func() {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		stream(r.Context(), l, s.node.Config().Node, q.Has("frames"), func(p *trace.Packet) error {
			if err := enc.Encode(p); err != nil || l.Waiting() {
				return err // what waits goes out together
			}
			return flush.Flush()
		})
	})
}

// yieldToForwarding runs f on a thread of the lowest priority: putting packets into
// words takes longer than forwarding them, and a trace that falls behind loses its
// own records rather than others' packets. The thread ends with f; a panic is the
// caller's.
func yieldToForwarding(f func()) {
	ended := make(chan any)
	go func() {
		defer func() { ended <- recover() }()
		runtime.LockOSThread()
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19) // may be forbidden; it only matters under load
		f()
	}()
	if p := <-ended; p != nil {
		panic(p)
	}
}

func stream(ctx context.Context, l *trace.Listener, host string, frames bool, write func(*trace.Packet) error) {
	var rec trace.Record
	for {
		gap, err := l.Next(ctx, &rec)
		if err != nil {
			return
		}
		p := rec.View(host)
		p.Lost, p.Skipped = gap.Lost, gap.Skipped
		if frames {
			rec.AddFrames(&p)
		}
		if write(&p) != nil {
			return
		}
	}
}
