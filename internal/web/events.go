package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/vrouter/vrouter/internal/share"
)

const (
	// commentEvery is how often something is said where nothing happens.
	commentEvery = 15 * time.Second
	// flushEvery is how often a client is written to at most.
	flushEvery = 50 * time.Millisecond
)

// stream is what one client has been told.
type stream struct {
	server *Server
	watch  *watch
	out    *http.ResponseController
	w      http.ResponseWriter
	buffer bytes.Buffer

	last    uint64 // way
	drawn   int
	state   *State
	warning string
	oneIn   uint64
	deeds   int
}

// events is the one stream that a page listens to (server-sent events, HTML 9.2). It has no queue: a client is told
// what it has not heard, as far as that is kept, and how much it missed.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	who := share.Party("page")
	watch, err := s.watches.enter(r.URL.Query().Get("filter"))
	if err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, errTooManyFilters) {
			status = http.StatusServiceUnavailable
		}
		fail(w, status, err)
		return
	}
	defer s.watches.leave(watch)
	if err := s.streams.Take(who); err != nil {
		fail(w, http.StatusServiceUnavailable, errors.New("too many pages are open: close one of them"))
		return
	}
	defer s.streams.Leave(who)
	c := &stream{server: s, watch: watch, out: http.NewResponseController(w), w: w, last: lastID(r)}
	if c.last > s.watches.newest() {
		c.last = 0 // of another page, that was here before
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	c.oneIn = 1
	c.say("hello", 0, map[string]any{"filter": r.URL.Query().Get("filter"), "filter_said": watch.filter})
	if c.last > 0 && c.last < watch.after { // nobody has listened meanwhile
		c.say("lost", 0, map[string]int{"packets": 0})
	}
	comment := time.NewTicker(commentEvery)
	defer comment.Stop()
	for {
		news, state, done := watch.bell.wait(), s.state.bell.wait(), s.deeds.bell.wait()
		c.tell()
		if c.flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-s.farewell:
			c.say("bye", 0, map[string]string{"text": "the page has ended where it was started"})
			_ = c.flush()
			return
		case <-comment.C:
			c.buffer.WriteString(": \n\n")
		case <-news:
		case <-state:
		case <-done:
		}
		select {
		case <-time.After(flushEvery):
		case <-r.Context().Done():
		}
	}
}

// lastID is where a client that comes back had got to.
func lastID(r *http.Request) uint64 {
	id, _ := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64)
	return id
}

// tell says what is new.
func (c *stream) tell() {
	if t, at := c.server.state.picture(); at != c.drawn {
		c.drawn = at
		c.say("topology", 0, t)
	}
	if now := c.server.state.current(); now != c.state {
		c.state = now
		c.say("state", 0, now)
	}
	warning, oneIn := c.watch.how()
	if warning != c.warning {
		c.warning = warning
		c.say("warning", 0, map[string]string{"text": warning})
	}
	if oneIn != c.oneIn {
		c.oneIn = oneIn
		c.say("sampled", 0, map[string]uint64{"one_in": oneIn})
	}
	list, lost := c.watch.since(c.last)
	if c.last > 0 && lost > 0 { // who has just come has missed nothing
		c.say("lost", 0, map[string]int{"packets": lost})
	}
	for i := range list {
		c.last = list[i].ID
		c.say("packet", c.last, &list[i])
	}
	var changed []*Deed
	changed, c.deeds = c.server.deeds.since(c.deeds)
	for _, d := range changed {
		c.say("deed", 0, d)
	}
}

// say writes one event into the buffer.
func (c *stream) say(event string, id uint64, v any) {
	if id > 0 {
		fmt.Fprintf(&c.buffer, "id: %d\n", id)
	}
	fmt.Fprintf(&c.buffer, "event: %s\ndata: ", event)
	_ = newEncoder(&c.buffer).Encode(v) // into memory; it ends its line
	c.buffer.WriteByte('\n')
}

// flush writes the buffer out. Who reads nothing for a while is hung up on.
func (c *stream) flush() error {
	_ = c.out.SetWriteDeadline(time.Now().Add(readTime))
	_, err := c.w.Write(c.buffer.Bytes())
	c.buffer.Reset()
	if err != nil {
		return err
	}
	return c.out.Flush()
}
