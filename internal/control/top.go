package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/vrouter/vrouter/internal/share"
)

// Limits of the interval of `vrouter top`.
const (
	MinInterval = 100 * time.Millisecond
	MaxInterval = time.Hour
)

// CheckInterval says what is wrong with one.
func CheckInterval(d time.Duration) error {
	if d < MinInterval || d > MaxInterval {
		return fmt.Errorf("an interval of %v: give one from %v to %v", d, MinInterval, MaxInterval)
	}
	return nil
}

// top streams rates, one JSON object a line and an interval, until the client goes.
func (s *Server) top(w http.ResponseWriter, r *http.Request) {
	interval, err := time.ParseDuration(r.URL.Query().Get("interval"))
	if err == nil {
		err = CheckInterval(interval)
	}
	if err != nil {
		fail(w, badRequest{fmt.Errorf("interval: %w", err)})
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_ = flush.Flush() // the client knows now that he will hear
	enc := json.NewEncoder(patient(w))
	ctx := r.Context()
	before, err := s.moment(ctx)
	tick := time.NewTicker(interval) // from then on
	defer tick.Stop()
	for err == nil && flush.Flush() == nil {
		share.Wait(ctx, func() {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		})
		var now *moment
		if now, err = s.moment(ctx); err != nil {
			return
		}
		rates := now.since(before)
		rates.Host, rates.Stop = s.node.Config().Node, s.stopped(ctx)
		if enc.Encode(rates) != nil {
			return
		}
		before = now
	}
}

// Top asks for rates, and hands them over as they come, until f fails or the context
// ends.
func (c *Client) Top(ctx context.Context, interval time.Duration, f func(*Rates) error) error {
	body, err := c.open(ctx, http.MethodGet, "/v1/top?interval="+interval.String(), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var r Rates
		switch err := dec.Decode(&r); {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("the router at %s has stopped", c.socket)
		case err != nil:
			return err
		}
		if err := f(&r); err != nil {
			return err
		}
	}
}
