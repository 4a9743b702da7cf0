package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/engine"
	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/share"
)

// NewStop is what POST /v1/stops asks for: packets that match are to wait before a step.
type NewStop struct {
	Step    string  `json:"step"`
	Filter  string  `json:"filter,omitempty"` // "": all
	Seconds float64 `json:"seconds"`
}

// Stop is one that is in force.
type Stop struct {
	ID uint32 `json:"id"`
	NewStop
	Left    float64 `json:"left_seconds"`
	Packets int     `json:"packets"` // that wait
	Passed  uint64  `json:"passed"`  // that went on, as too many wait
}

// stopOf is one as it is told; nil: none.
func stopOf(s *engine.Stop) *Stop {
	if s == nil {
		return nil
	}
	return &Stop{s.ID, NewStop{s.Before.Word, s.Filter.String(), s.Time.Seconds()}, s.Left.Seconds(), s.Packets, s.Passed}
}

func (s *Server) stops(r *http.Request) (any, error) {
	list := []*Stop{}
	if v := s.stopped(r.Context()); v != nil {
		list = append(list, v)
	}
	return list, nil
}

func (s *Server) stopped(ctx context.Context) (v *Stop) {
	share.Locked(ctx, func() { v = stopOf(s.node.Router.Stopped()) })
	return v
}

func (s *Server) addStop(r *http.Request) (any, error) {
	var q NewStop
	if err := DecodeBody(r.Body, &q); err != nil {
		return nil, err
	}
	f, err := q.Check()
	if err != nil {
		return nil, err
	}
	v, err := s.node.Router.StopBefore(forwarder.StepNamed(q.Step), f, time.Duration(q.Seconds*float64(time.Second)))
	if errors.Is(err, engine.ErrStopped) {
		return nil, conflict{fmt.Errorf("%w: let them go first (DELETE /v1/stops/NUMBER; GET /v1/stops has the number)", err)}
	}
	return stopOf(&v), err
}

// Check says what is wrong with it, or returns its filter.
func (q *NewStop) Check() (*filter.Filter, error) {
	if !slices.Contains(StopSteps(), q.Step) {
		return nil, &config.FieldError{Field: "step", Reason: fmt.Sprintf("%q is no step before which packets can be stopped: give one of %s", q.Step, strings.Join(StopSteps(), ", "))}
	}
	if q.Seconds <= 0 || q.Seconds > engine.MaxStopTime.Seconds() {
		return nil, &config.FieldError{Field: "seconds", Reason: fmt.Sprintf("%v: give a number above 0, and at most %v", q.Seconds, engine.MaxStopTime.Seconds())}
	}
	f, err := filter.Parse(q.Filter)
	if err != nil {
		return nil, &config.FieldError{Field: "filter", Reason: err.Error()}
	}
	return f, nil
}

// StopSteps are those before which packets can be stopped.
func StopSteps() (words []string) {
	for _, s := range forwarder.Steps()[1:] {
		words = append(words, s.Word)
	}
	return words
}

func (s *Server) deleteStop(r *http.Request) (any, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 32)
	if err != nil || !s.node.Router.LetGo(uint32(id)) {
		return nil, notFound{fmt.Errorf("there is no stop %q: it may be over; GET /v1/stops lists what there is", r.PathValue("id"))}
	}
	return struct{}{}, nil
}
