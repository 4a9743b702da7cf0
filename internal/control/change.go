package control

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/node"
	"github.com/vrouter/vrouter/internal/share"
)

const (
	// maxChanges is how many a list of routes may have.
	maxChanges = 2_000_000
	// A list longer than longList is read alone, so that memory is bounded; it may take listTime.
	longList = 1000
	listTime = time.Minute
)

var routeOps = map[string]node.RouteOp{"add": node.AddRoute, "replace": node.ReplaceRoute, "del": node.DeleteRoute}

func (s *Server) listRoutes(w http.ResponseWriter, r *http.Request) {
	counts, err := s.routeCounts(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = writeList(patient(w), routes(s.node, counts))
}

// changeRoutes makes a list of changes as a whole, or none of it.
func (s *Server) changeRoutes(w http.ResponseWriter, r *http.Request) {
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(listTime)); err != nil {
		fail(w, err)
		return
	}
	held := false
	defer func() {
		if held {
			s.bulk.Unlock()
		}
	}()
	answer(w, r, func(r *http.Request) (any, error) {
		batch, err := readChanges(newDecoder(http.MaxBytesReader(w, r.Body, maxList)), func() { s.bulk.Lock(); held = true })
		if err != nil {
			_, _ = io.Copy(io.Discard, r.Body) // so that the client has sent all of it when it looks for the answer
			return nil, err
		}
		done, err := s.node.ChangeRoutes(batch)
		return RouteCounts(done), err
	})
}

// readChanges reads a list; long is called when it is a long one.
func readChanges(dec *json.Decoder, long func()) (*node.RouteBatch, error) {
	if t, err := dec.Token(); err != nil {
		return nil, bodyError(err)
	} else if t != json.Delim('[') {
		return nil, wrongBody(`it is no list: send [{"op": "add", "to": …}, …]`)
	}
	b := &node.RouteBatch{}
	for dec.More() {
		switch b.Len() {
		case longList:
			long()
		case maxChanges:
			return nil, wrongBody(fmt.Sprintf("more than %d changes in a list: send less at a time", maxChanges))
		}
		var c RouteChange
		err := dec.Decode(&c)
		if err != nil {
			return nil, &indexError{b.Len(), bodyError(err)}
		}
		change, err := c.check()
		if err != nil {
			return nil, &indexError{b.Len(), err}
		}
		b.Append(change)
	}
	if _, err := dec.Token(); err != nil {
		return nil, bodyError(err)
	}
	return b, wantEnd(dec)
}

func (c *RouteChange) check() (node.RouteChange, error) {
	op, ok := routeOps[c.Op]
	if !ok {
		return node.RouteChange{}, &config.FieldError{Field: "op", Reason: fmt.Sprintf("%q is none of add, replace and del", c.Op)}
	}
	return node.NewRouteChange(op, config.RouteWords{
		To: c.To, Via: c.Via, Type: c.Type, Encap: c.Encap, Metric: number(c.Metric), Proto: c.Proto,
	}, c.Dev)
}

func number(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

func (s *Server) addWorkload(r *http.Request) (any, error) {
	var q NewWorkload
	if err := DecodeBody(r.Body, &q); err != nil {
		return nil, err
	}
	addresses := q.Addresses
	if q.Address != "" {
		addresses = append([]string{q.Address}, addresses...)
	}
	w, err := config.CheckWorkload(config.WorkloadWords{
		Name: q.Name, Addresses: addresses, Interface: q.Interface, Namespace: q.Namespace, MTU: number(q.MTU),
	})
	if err != nil {
		return nil, err
	}
	if c := q.Container; c != nil {
		if c.Network == "" || c.ID == "" {
			return nil, &config.FieldError{Field: "container", Reason: "it takes the network's name and the container's id"}
		}
		w.Container = config.Container{Network: c.Network, ID: c.ID}
	}
	if err := s.node.AddWorkload(w); err != nil {
		return nil, err
	}
	for _, v := range workloads(s.node) {
		if v.Name == w.Name {
			return v, nil
		}
	}
	return nil, fmt.Errorf("workload %s: it went again meanwhile", w.Name)
}

func (s *Server) deleteWorkload(r *http.Request) (any, error) {
	return struct{}{}, s.node.DeleteWorkload(r.PathValue("name"))
}

func (s *Server) config(w http.ResponseWriter, r *http.Request) {
	var write func(io.Writer) error
	share.Locked(r.Context(), func() { write = s.node.ConfigWriter() })
	w.Header().Set("Content-Type", "application/json")
	out := patient(w)
	_, _ = io.WriteString(out, `"`)
	if write(jsonText{out}) == nil {
		_, _ = io.WriteString(out, "\"\n") // without it the client sees that something is wrong
	}
}
