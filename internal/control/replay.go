package control

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"

	"github.com/vrouter/vrouter/internal/capture"
	"github.com/vrouter/vrouter/internal/node"
	"github.com/vrouter/vrouter/internal/share"
)

// replay takes the packets of a list through the router as it is now, one at a
// time, and tells which ways they take. The list may be as long as one likes.
func (s *Server) replay(w http.ResponseWriter, r *http.Request) {
	r.Body = patientReader{r.Body, http.NewResponseController(w)}
	answer(w, r, func(r *http.Request) (any, error) {
		v, err := s.replayList(r)
		if err != nil {
			_, _ = io.Copy(io.Discard, r.Body) // so that the client has sent all of it when it looks for the answer
		}
		return v, err
	})
}

func (s *Server) replayList(r *http.Request) (any, error) {
	var replay *node.Replay
	var err error
	share.Locked(r.Context(), func() { replay, err = s.node.NewReplay(r.URL.Query().Get("in")) })
	if err != nil {
		return nil, badRequest{err}
	}
	dec := newDecoder(r.Body)
	if t, err := dec.Token(); err != nil {
		return nil, bodyError(err)
	} else if t != json.Delim('[') {
		return nil, wrongBody(`it is no list: send [{"frame": …}, …]`)
	}
	n := 0
	for ; dec.More(); n++ {
		var p capture.Packet
		if err := dec.Decode(&p); err != nil {
			return nil, &indexError{n, bodyError(err)}
		}
		if err := replay.Add(&p); err != nil {
			return nil, &indexError{n, badRequest{err}}
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, bodyError(err)
	}
	return replayed(n, replay), nil
}

func replayed(n int, r *node.Replay) Replayed {
	ways, sent := r.Taken()
	all := Replayed{Packets: n, Sent: sent, Ways: []Taken{}}
	for _, t := range ways {
		_, v := t.Way.End()
		all.Ways = append(all.Ways, Taken{
			Way: t.Way.String(), Outcome: t.Way.Becomes(), Reason: v.Reason.String(),
			Asks: t.Asks, Packets: t.Packets, First: t.First,
		})
	}
	return all
}

// Replay sends the packets of a capture, and learns which ways they take.
func (c *Client) Replay(ctx context.Context, in string, list iter.Seq2[*capture.Packet, error]) (all Replayed, err error) {
	r, w := io.Pipe()
	defer r.Close() // where the router has heard enough
	go func() { w.CloseWithError(writeList(w, list)) }()
	path := "/v1/replay?" + url.Values{"in": {in}}.Encode()
	body, err := c.open(ctx, http.MethodPost, path, r)
	if err != nil {
		return all, err
	}
	return all, decode(path, body, &all)
}
