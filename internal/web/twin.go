package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/vrouter/vrouter/internal/compare"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/sketch"
	"github.com/vrouter/vrouter/internal/timeline"
)

// beside sends packets into a lab and its twin, one after the other.
type beside struct{ mu sync.Mutex }

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
	frameOf := func(a *compare.Arena) (string, []byte, error) { return described(a, q.Packet) }
	if q.ID != 0 {
		way := s.watches.find(q.ID)
		if way == nil {
			fail(w, http.StatusNotFound, fmt.Errorf("packet %d is no longer kept", q.ID))
			return
		}
		frameOf = func(a *compare.Arena) (string, []byte, error) { return recorded(a, way) }
	}
	result, err := s.beside.send(r.Context(), s, frameOf)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	answer(w, result)
}

func (b *beside) send(ctx context.Context, s *Server, frameOf func(*compare.Arena) (string, []byte, error)) (*compare.Result, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
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

// described is a packet in one line, from the workload that has its source or that `in HOST/WORKLOAD` names.
func described(a *compare.Arena, line string) (from string, frame []byte, err error) {
	p, err := sketch.Parse(line)
	if err != nil {
		return "", nil, err
	}
	if from = p.In; from == "" {
		if from = a.From(p.Src); from == "" {
			return "", nil, fmt.Errorf("no workload of the lab has %v: say which is to send it, such as `in %s`", p.Src, strings.Join(a.Workloads(), "` or `in "))
		}
	}
	f, err := p.Frame(packet.MAC{}, a.Gateway())
	if err != nil {
		return "", nil, err
	}
	return from, f.Bytes(), nil
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
