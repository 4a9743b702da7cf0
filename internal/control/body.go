package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/node"
	"github.com/vrouter/vrouter/rib"
)

// maxRequest is how long a request's body may be, or an entry of a list of routes, in bytes; the
// list as a whole maxList.
const (
	maxRequest = 1 << 20
	maxList    = 256 << 20
)

// badRequest is an error of the one who asked; notFound one about what is not there, conflict
// one about what cannot be beside what is there.
type (
	badRequest struct{ error }
	notFound   struct{ error }
	conflict   struct{ error }
)

// DecodeBody reads the one JSON value that a body is to be.
func DecodeBody(body io.ReadCloser, v any) error {
	dec := newDecoder(http.MaxBytesReader(nil, body, maxRequest))
	if err := dec.Decode(v); err != nil {
		return bodyError(err)
	}
	return wantEnd(dec)
}

func newDecoder(r io.Reader) *json.Decoder {
	short := &shortEntries{from: r}
	dec := json.NewDecoder(short)
	dec.DisallowUnknownFields()
	short.dec = dec
	return dec
}

// shortEntries bounds what the decoder keeps in memory: it holds a value until that has ended.
type shortEntries struct {
	from io.Reader
	read int64
	dec  *json.Decoder
}

func (s *shortEntries) Read(b []byte) (int, error) {
	if s.read-s.dec.InputOffset() > maxRequest {
		return 0, &http.MaxBytesError{Limit: maxRequest}
	}
	n, err := s.from.Read(b)
	s.read += int64(n)
	return n, err
}

func wantEnd(dec *json.Decoder) error {
	if _, err := dec.Token(); err == nil {
		return wrongBody("it goes on after its end: send one JSON value")
	} else if err != io.EOF {
		return bodyError(err)
	}
	return nil
}

// bodyError says what is wrong with a body, and with which field if one can be named.
func bodyError(err error) error {
	var large *http.MaxBytesError
	var kind *json.UnmarshalTypeError
	const unknown = "json: unknown field "
	switch {
	case errors.As(err, &large):
		return TooLarge{wrongBody(fmt.Sprintf("it has more than the %d bytes that are read: send less at a time", large.Limit))}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return wrongBody("it did not arrive in time: send all of it at once")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return wrongBody("it ends too early: send JSON as a whole")
	case errors.As(err, &kind) && kind.Field != "":
		return &config.FieldError{Field: kind.Field, Reason: fmt.Sprintf("a JSON %s stands where %s is expected", kind.Value, kind.Type)}
	case strings.HasPrefix(err.Error(), unknown):
		return &config.FieldError{Field: strings.Trim(strings.TrimPrefix(err.Error(), unknown), `"`), Reason: "there is no such field: leave it out"}
	}
	return wrongBody(strings.TrimPrefix(err.Error(), "json: ") + ": send JSON as docs/control-api.md has it")
}

func wrongBody(reason string) error { return &config.FieldError{Field: "body", Reason: reason} }

// TooLarge is an error about a body that is longer than is read: it has a status of its own (413).
type TooLarge struct{ error }

func (e TooLarge) Unwrap() error { return e.error }

func answer(w http.ResponseWriter, r *http.Request, f func(*http.Request) (any, error)) {
	v, err := f(r)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(patient(w)).Encode(v)
}

func fail(w http.ResponseWriter, err error) {
	f := Failure{Message: err.Error()}
	var change *node.ChangeError
	var field *config.FieldError
	var indexed *indexError
	if errors.As(err, &indexed) {
		f.Index = &indexed.index
	}
	switch {
	case errors.As(err, &change):
		f.Field, f.Reason = change.Field, change.Reason
		if change.Index >= 0 {
			f.Index = &change.Index
		}
	case errors.As(err, &field):
		f.Field, f.Reason = field.Field, field.Reason
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statusOf(err))
	_ = json.NewEncoder(patient(w)).Encode(f)
}

func statusOf(err error) int {
	var field *config.FieldError
	switch {
	case errors.As(err, &TooLarge{}):
		return http.StatusRequestEntityTooLarge
	case errors.As(err, &unavailable{}):
		return http.StatusServiceUnavailable
	case errors.Is(err, errForbidden), errors.Is(err, errFromElsewhere):
		return http.StatusForbidden
	case errors.Is(err, rib.ErrExists), errors.As(err, &conflict{}):
		return http.StatusConflict
	case errors.Is(err, rib.ErrNotFound), errors.As(err, &notFound{}):
		return http.StatusNotFound
	case errors.Is(err, rib.ErrInvalid), errors.As(err, &field), errors.As(err, &badRequest{}):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// indexError is an error about an entry of a list.
type indexError struct {
	index int
	error
}

func (e *indexError) Unwrap() error { return e.error }

// patientWriter hangs up on a client that reads nothing for a while.
type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

func patient(w http.ResponseWriter) io.Writer {
	return &patientWriter{w, http.NewResponseController(w)}
}

func (p *patientWriter) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}

// patientReader hangs up on a client that sends nothing for a while.
type patientReader struct {
	io.ReadCloser
	control *http.ResponseController
}

func (p patientReader) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(patience))
	return p.ReadCloser.Read(b)
}

// writeList writes a JSON list without having all of it in memory. An error in
// the list leaves it without an end.
func writeList[T any](to io.Writer, list iter.Seq2[T, error]) error {
	w := bufio.NewWriterSize(to, 1<<16)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	before := "["
	for v, err := range list {
		if err != nil {
			return err
		}
		w.WriteString(before)
		if err := enc.Encode(v); err != nil {
			return err
		}
		before = ","
	}
	if before == "[" {
		w.WriteString(before)
	}
	w.WriteString("]\n")
	return w.Flush()
}

// jsonText writes the inside of a JSON string: UTF-8 stays as it is.
type jsonText struct{ to io.Writer }

func (t jsonText) Write(b []byte) (int, error) {
	out := make([]byte, 0, len(b)+len(b)/8)
	for _, c := range b {
		switch {
		case c == '\n':
			out = append(out, '\\', 'n')
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < ' ':
			out = fmt.Appendf(out, `\u%04x`, c)
		default:
			out = append(out, c)
		}
	}
	if _, err := t.to.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}
