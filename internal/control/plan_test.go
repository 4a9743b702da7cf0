package control

import (
	"bytes"
	"context"
	"io"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/share"
)

// patientRecorder is an answer whose request has deadlines.
type patientRecorder struct{ *httptest.ResponseRecorder }

func (patientRecorder) SetReadDeadline(time.Time) error  { return nil }
func (patientRecorder) SetWriteDeadline(time.Time) error { return nil }

// slowBody is one that does not come.
type slowBody struct{ began, end chan struct{} }

func (s slowBody) Read([]byte) (int, error) {
	select {
	case s.began <- struct{}{}:
	case <-s.end:
	}
	<-s.end
	return 0, io.EOF
}

// Who may only look and sends a file slowly, to be planned, keeps nobody waiting: not root with a long list of routes, and
// nobody else who looks, however many others wait to have theirs planned.
func TestSlowPlanHoldsNobodyUp(t *testing.T) {
	const patience = 10 * time.Second
	s := &Server{looks: share.New(), lookBulk: make(chan struct{}, 1)}
	h := s.inTurn(s.routes())
	body := slowBody{make(chan struct{}), make(chan struct{})}
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer all.Wait()
	defer close(body.end)
	defer cancel()
	request := func(who uint32, method, path string, b io.Reader) func() {
		r := as(peer{who}, method, path, b)
		r = r.WithContext(context.WithValue(ctx, peerKey{}, peer{who}))
		return func() { h.ServeHTTP(patientRecorder{httptest.NewRecorder()}, r) }
	}
	ask := func(what string, who uint32, method, path string, b io.Reader) {
		t.Helper()
		ended := make(chan struct{})
		all.Go(func() {
			request(who, method, path, b)()
			close(ended)
		})
		select {
		case <-ended:
		case <-time.After(patience):
			t.Errorf("%s waits", what)
		}
	}
	all.Go(request(1000, "POST", "/v1/plan", body))
	<-body.began
	long := append(bytes.TrimSuffix(list(longList+1), []byte("]")), `,{"op": "none"}]`...) // refused without a node
	ask("root, who has a long list of routes,", 0, "POST", "/v1/routes", bytes.NewReader(long))
	for i := range 8 { // more than there are turns
		all.Go(request(uint32(2000+i), "POST", "/v1/plan", body))
	}
	for end := time.Now().Add(patience); s.looks.Streams.Taken() != 9; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d plans are under way, want 9", s.looks.Streams.Taken())
		}
	}
	ask("another one who looks", 5000, "GET", "/v1/no/such", nil)
}
