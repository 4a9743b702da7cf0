package control

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/share"
)

// Who may do what: the members of the socket's group read, root and the router's
// own user change.
func TestGuardChanges(t *testing.T) {
	done := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	own := peer{uint32(os.Geteuid())}
	for _, c := range []struct {
		method, path string
		uid          any
		status       int
	}{
		{"GET", "/v1/ports", peer{1000}, 200},
		{"GET", "/v1/trace", peer{1000}, 200},
		{"POST", "/v1/explain", peer{1000}, 200},
		{"POST", "/v1/reload", peer{1000}, 403},
		{"DELETE", "/v1/routes", peer{1000}, 403},
		{"POST", "/v1/reload", nil, 403}, // nobody knows who asks
		{"POST", "/v1/reload", peer{0}, 200},
		{"POST", "/v1/reload", own, 200},
	} {
		ctx := context.Background()
		if c.uid != nil {
			ctx = context.WithValue(ctx, peerKey{}, c.uid)
		}
		w := recorder{httptest.NewRecorder()}
		guardChanges(done, mayChange).ServeHTTP(w, httptest.NewRequestWithContext(ctx, c.method, c.path, nil))
		if w.Code != c.status {
			t.Errorf("%s %s by user %v: %d, want %d", c.method, c.path, c.uid, w.Code, c.status)
		}
		if c.status == 403 && !strings.Contains(w.Body.String(), "only root may change") {
			t.Errorf("the refusal says %s", w.Body)
		}
	}
}

// recorder is a connection to a client that reads.
type recorder struct{ *httptest.ResponseRecorder }

func (recorder) SetWriteDeadline(time.Time) error { return nil }

func TestPeerIsWhoConnected(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	looks := share.New()
	places, err := share.Listen(l, share.Options{Peer: peerOf, Who: partyAt, Where: func(share.Party) *share.Conns { return &looks.Root }})
	if err != nil {
		t.Fatal(err)
	}
	defer places.Close()
	if _, err := c.Write([]byte("G")); err != nil { // who says nothing gets no place
		t.Fatal(err)
	}
	accepted, err := places.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	wrapped := struct{ net.Conn }{accepted} // as a server may do
	if p, ok := withPeer(t.Context(), wrapped).Value(peerKey{}).(peer); !ok || int(p.uid) != os.Geteuid() {
		t.Errorf("the peer is %v, want user %d", p, os.Geteuid())
	}
	if mayChange(withPeer(t.Context(), wrapped)) != nil {
		t.Error("the router's own user may not change it")
	}
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	if mayChange(withPeer(t.Context(), near)) == nil {
		t.Error("a peer whom the kernel did not name may change")
	}
}

func TestUnknownGroup(t *testing.T) {
	err := SetGroup("/nowhere", "no-such-group")
	if err == nil || !strings.Contains(err.Error(), `control.group: no group is called "no-such-group"; make it`) {
		t.Error(err)
	}
}
