package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"

	"github.com/vrouter/vrouter/internal/host"
)

// SetGroup lets the members of a group, given by name or number, use the socket.
func SetGroup(socket, group string) error {
	id := group
	if _, err := strconv.ParseUint(group, 10, 32); err != nil {
		g, err := user.LookupGroup(group)
		if err != nil {
			return fmt.Errorf("control.group: no group is called %q; make it (groupadd --system %s), or name another one", group, group)
		}
		id = g.Gid
	}
	gid, err := strconv.Atoi(id)
	if err == nil {
		err = os.Chown(socket, -1, gid)
	}
	if err != nil {
		return fmt.Errorf("control socket %s: giving it to group %s: %w (run as root, or with CAP_CHOWN)", socket, group, err)
	}
	return nil
}

// readOnlyPosts are the calls that change nothing although they are no GET.
var readOnlyPosts = map[string]bool{"/v1/explain": true, "/v1/replay": true, "/v1/plan": true}

// peer is who is at the other end of a connection: the user who opened it, as the
// kernel knows him (SO_PEERCRED, unix(7)). It is the connection's remote address.
type peer struct{ uid uint32 }

func (peer) Network() string  { return "unix" }
func (p peer) String() string { return fmt.Sprintf("user %d", p.uid) }

// root says whether he may change the router.
func (p peer) root() bool { return p.uid == 0 || int(p.uid) == os.Geteuid() }

// nobody is a peer whom the kernel does not name: he may change nothing.
type nobody struct{}

func (nobody) Network() string { return "unix" }
func (nobody) String() string  { return "nobody" }

func peerOf(fd int) net.Addr {
	cred, err := host.PeerOf(fd)
	if err != nil {
		return nobody{}
	}
	return peer{cred.Uid}
}

type peerKey struct{}

// withPeer keeps the peer for the requests of his connection.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, c.RemoteAddr())
}

var errForbidden = errors.New("members of the socket's group may read; only root may change the router: run this as root (sudo)")

// mayChange says whether a peer may change the router: root may, and whoever
// the router runs as. All others who can open the socket may read.
func mayChange(ctx context.Context) error {
	if p, ok := ctx.Value(peerKey{}).(peer); ok && p.root() {
		return nil
	}
	return errForbidden
}

// guardChanges refuses a change to those who may only read.
func guardChanges(h http.Handler, may func(context.Context) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead || readOnlyPosts[r.URL.Path]
		if !reads {
			if err := may(r.Context()); err != nil {
				fail(w, err)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}
