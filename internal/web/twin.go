package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/vrouter/vrouter/internal/compare"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/timeline"
)

var errNoTwin = errors.New("the lab has no kernel beside it: `vrouter lab down`, `vrouter lab up --twin`, then the page again")

// twin sends a packet into the lab and into its twin, and says what came out of both: a packet that is described, or
// the one of a way that is kept.
func (s *Server) twin(w http.ResponseWriter, r *http.Request) {
	switch err := s.deeds.allowed(); {
	case err != nil:
		fail(w, http.StatusForbidden, err)
		return
	case len(s.Lab.Twins) == 0:
		fail(w, http.StatusConflict, errNoTwin)
		return
	}
	var q struct {
		Packet string `json:"packet"`
		ID     uint64 `json:"id"`
	}
	if err := body(w, r, &q); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	frameOf := func(a *compare.Arena) (string, []byte, error) { return a.Described(q.Packet) }
	if q.ID != 0 {
		way := s.watches.find(q.ID)
		if way == nil {
			fail(w, http.StatusNotFound, fmt.Errorf("packet %d is no longer kept", q.ID))
			return
		}
		frameOf = func(a *compare.Arena) (string, []byte, error) { return recorded(a, way) }
	}
	result, err := s.besides(r.Context(), frameOf)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	answer(w, result)
}

// besides sends a packet into the lab and its twin: one after the other, as they hear all that comes out.
func (s *Server) besides(ctx context.Context, frameOf func(*compare.Arena) (string, []byte, error)) (*compare.Result, error) {
	s.beside.Lock()
	defer s.beside.Unlock()
	a, err := compare.Open(s.Lab)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	from, frame, err := frameOf(a)
	if err != nil {
		return nil, err
	}
	return a.Packet(ctx, from, frame)
}

// recorded is the packet with which a way begins, if it is kept whole and a workload has sent it.
func recorded(a *compare.Arena, way *timeline.Way) (from string, frame []byte, err error) {
	p := &way.Packets[0]
	if p.Frame == nil || p.Frame.Length != len(p.Frame.Bytes) || p.Packets > 1 {
		return "", nil, errors.New("the packet is not kept whole, and cannot be sent again: describe one like it")
	}
	ip := p.Frame.Bytes[min(packet.EthernetLen, len(p.Frame.Bytes)):]
	if p.Proto == "arp" || len(ip) < packet.IPv4MinLen {
		return "", nil, errors.New("that is no packet of IP")
	}
	if n := packet.IP(ip).Len(); n >= packet.IPv4MinLen && n < len(ip) {
		ip = ip[:n] // without padding
	}
	return p.Host + "/" + p.In, a.Frame(ip), nil
}
