package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/filter"
	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/walk"
)

// failure is the body of every answer that is no success.
type failure struct {
	Message string `json:"error"`
	Column  int    `json:"column,omitempty"` // of a filter, in characters from 1
	Word    string `json:"word,omitempty"`   // that stands there
}

func (s *Server) routes() http.Handler {
	page, err := fs.Sub(assets, "page")
	if err != nil {
		panic(err) // it is in the program
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(page))
	mux.HandleFunc("GET /v1/topology", func(w http.ResponseWriter, _ *http.Request) {
		t, _ := s.state.picture()
		answer(w, t)
	})
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("GET /v1/filter", checkFilter)
	mux.HandleFunc("GET /v1/ways/{id}", s.way)
	mux.HandleFunc("POST /v1/explain", s.explain)
	mux.HandleFunc("POST /v1/read", read)
	mux.HandleFunc("POST /v1/twin", s.twin)
	mux.HandleFunc("GET /v1/deeds", s.deeds.listAll)
	mux.HandleFunc("POST /v1/deeds", s.deeds.start)
	mux.HandleFunc("DELETE /v1/deeds/{id}", s.deeds.undoOne)
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, fmt.Errorf("there is no %s %s", r.Method, r.URL.Path))
	})
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(readTime))
	_ = newEncoder(w).Encode(v)
}

func newEncoder(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}

func fail(w http.ResponseWriter, status int, err error) {
	f := failure{Message: strings.ReplaceAll(err.Error(), "\n", "; ")}
	var wrong *filter.Error
	if errors.As(err, &wrong) {
		f.Column, f.Word = wrong.Column, wrong.Word
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) || errors.As(err, new(control.TooLarge)) {
		status = http.StatusRequestEntityTooLarge
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = newEncoder(w).Encode(f)
}

// body reads a request into v.
func body(w http.ResponseWriter, r *http.Request, v any) error {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	defer func() { _ = http.NewResponseController(w).SetReadDeadline(time.Time{}) }()
	return control.DecodeBody(r.Body, v)
}

func checkFilter(w http.ResponseWriter, r *http.Request) {
	f, err := filter.Parse(r.URL.Query().Get("filter"))
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	answer(w, map[string]string{"filter": f.String()})
}

func (s *Server) way(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		fail(w, http.StatusBadRequest, fmt.Errorf("%q is no number of a packet", r.PathValue("id")))
		return
	}
	kept := s.watches.find(id)
	if kept == nil {
		fail(w, http.StatusNotFound, fmt.Errorf("packet %d is no longer kept: the last %d are", id, keptWays))
		return
	}
	v := wayOf(kept, follow.Within)
	v.ID = id
	answer(w, v)
}

// explain takes a packet over all hosts that nobody has sent.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Packet string `json:"packet"`
	}
	if err := body(w, r, &q); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	n := follow.Net(r.Context(), s.Sources)
	if s.Lab != nil {
		around, err := s.Lab.Gateways()
		if err != nil {
			fail(w, http.StatusInternalServerError, err)
			return
		}
		n.Others = append(n.Others, around...)
	}
	x, err := walk.Run(r.Context(), *n, q.Packet)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	v := wayOfWalk(x)
	for _, h := range n.Hosts {
		if h.Err != nil {
			v.Notes = append(v.Notes, fmt.Sprintf("%s cannot be asked: %v", h.Name, h.Err))
		}
	}
	answer(w, v)
}

// read takes a way that was saved: nothing of it is believed but what routers have recorded.
func read(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	v, err := ReadWay(r.Body)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	answer(w, v)
}
