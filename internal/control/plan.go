package control

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/node"
	"github.com/vrouter/vrouter/internal/share"
)

// Plan is the answer to POST /v1/plan: what a reload with that file would change.
type Plan struct {
	Settings []string        `json:"settings"` // KEY: WAS > IS
	Objects  []PlannedObject `json:"objects"`
	Routes   []PlannedRoute  `json:"routes"`
	Packets  []PlannedPacket `json:"packets"`      // that would go another way, the first of them
	More     int             `json:"more_packets"` // besides
}

// PlannedObject is a thing on the host that would be made, changed or removed.
type PlannedObject struct {
	Object   string `json:"object"`
	Workload string `json:"workload,omitempty"`
	What     string `json:"what,omitempty"`
	Waits    string `json:"waits,omitempty"` // for what it would wait
	Error    string `json:"error,omitempty"` // why it could not be done
}

// PlannedRoute would be added or deleted.
type PlannedRoute struct {
	Op   string `json:"op"` // add, del
	Text string `json:"text"`
}

// PlannedPacket would go another way.
type PlannedPacket struct {
	ID     uint64 `json:"id,omitempty"` // of one that was recorded
	Packet string `json:"packet"`
	Now    string `json:"now"`
	Then   string `json:"then"`
}

// maxPlanned is how many packets a plan lists.
const maxPlanned = 100

// plan reads a configuration file, as it is.
func (s *Server) plan(w http.ResponseWriter, r *http.Request) {
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(listTime)); err != nil {
		fail(w, err)
		return
	}
	answer(w, r, func(r *http.Request) (v any, err error) {
		unlock, err := s.lockBulk(r.Context())
		if err != nil {
			return nil, err
		}
		defer unlock()
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxList))
		if err != nil {
			return nil, bodyError(err)
		}
		name := r.URL.Query().Get("name")
		if name == "" {
			name = "the file"
		}
		c, err := config.ParseNode(name, r.URL.Query().Get("node"), text)
		if err != nil {
			return nil, badRequest{err}
		}
		c.Lab = s.node.Config().Lab
		var f *node.Foresight
		share.Locked(r.Context(), func() { f, err = s.node.Foresee(c) })
		if err != nil {
			return nil, badRequest{fmt.Errorf("plan: %w", err)}
		}
		return planned(f.Plan()), nil
	})
}

// lockBulk waits until the one long text may be read, of root's or of those who look: these wait outside of their turn, and keep nobody
// else waiting.
func (s *Server) lockBulk(ctx context.Context) (unlock func(), err error) {
	if party(ctx) == share.Root {
		s.bulk.Lock()
		return s.bulk.Unlock, nil
	}
	share.Wait(ctx, func() {
		select {
		case s.lookBulk <- struct{}{}:
		case <-ctx.Done():
			err = ctx.Err()
		}
	})
	return func() { <-s.lookBulk }, err
}

func planned(p node.Plan) Plan {
	v := Plan{Settings: append([]string{}, p.Settings...), Objects: []PlannedObject{}, Routes: []PlannedRoute{}, Packets: []PlannedPacket{}}
	for _, o := range p.Objects {
		planned := PlannedObject{Object: o.ID.String(), Workload: o.Workload, What: o.What, Waits: o.Waits}
		if o.Err != nil {
			planned.Error = o.Err.Error()
		}
		v.Objects = append(v.Objects, planned)
	}
	for _, r := range p.Routes {
		op := "add"
		if r.Gone {
			op = "del"
		}
		v.Routes = append(v.Routes, PlannedRoute{op, r.Text})
	}
	v.Packets, v.More = plannedPackets(p.Packets)
	return v
}

func plannedPackets(all []node.PlannedPacket) (list []PlannedPacket, more int) {
	list = []PlannedPacket{}
	for _, p := range all[:min(len(all), maxPlanned)] {
		list = append(list, PlannedPacket(p))
	}
	return list, len(all) - len(list)
}

// Plan asks what a reload with a configuration file would change, or with one of all hosts, of which this is node.
func (c *Client) Plan(ctx context.Context, name, node, text string) (p Plan, err error) {
	path := "/v1/plan?" + url.Values{"name": {name}, "node": {node}}.Encode()
	body, err := c.open(ctx, http.MethodPost, path, strings.NewReader(text))
	if err != nil {
		return p, err
	}
	return p, decode(path, body, &p)
}
