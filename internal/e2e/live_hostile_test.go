package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/control"
)

// hostileTime is how long a router may take to hang up: more than it gives a client.
const hostileTime = 30 * time.Second

// raw sends bytes to the router's socket.
func (h host) raw(t *testing.T, text string) *net.UnixConn {
	t.Helper()
	conn, err := net.Dial("unix", h.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(hostileTime)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.UnixConn)
}

func request(method, path string, length int, body string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: vrouter\r\nContent-Length: %d\r\n\r\n%s", method, path, length, body)
}

// held is what a router holds: descriptors and goroutines.
func (h host) held(t *testing.T) (files, goroutines int) {
	t.Helper()
	return h.files(t), int(scrape(t, h.ns)[key("go_goroutines")])
}

func (h host) files(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.Router.PID))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// unharmed holds a router to what it was, after a test has done its worst: its state, its
// forwarding meanwhile, and what it holds.
func (h host) unharmed(t *testing.T, worst func()) {
	t.Helper()
	wantEcho(t, h.ns1, there, 62)
	before := h.ask(t, "show", "config").wantOK(t)
	files, goroutines := h.held(t)
	stop := floods(t, h.ns1, there)
	worst()
	stop()
	if after := h.ask(t, "show", "config").wantOK(t); after != before {
		t.Errorf("the state is now\n%s", after)
	}
	eventually(t, "descriptors and goroutines are as many as before", func() bool {
		f, g := h.held(t)
		return f <= files && g <= goroutines+2 // the scrape's own
	})
}

// A request that is wrong is answered with its field and the reason, and changes nothing.
func TestBadRequests(t *testing.T) {
	h := labUp(t, "")[0]
	const route = `{"op":"add","to":"10.71.0.0/16","via":"192.168.0.12"}`
	big := `[{"op":"add","to":"` + strings.Repeat("1", 2<<20) + `"}]`
	h.unharmed(t, func() {
		for _, c := range []struct {
			name, method, path, body string
			status                   int
			want                     control.Failure
		}{
			{"half a body", "POST", "/v1/routes", "[" + route + `,{"op":"add","to":"10.7`, 400, control.Failure{Field: "body", Reason: "ends too early", Index: at(1)}},
			{"no end", "POST", "/v1/routes", "[" + route, 400, control.Failure{Field: "body", Reason: "ends too early"}},
			{"no body", "POST", "/v1/routes", "", 400, control.Failure{Field: "body", Reason: "ends too early"}},
			{"two bodies", "POST", "/v1/routes", "[" + route + "][]", 400, control.Failure{Field: "body", Reason: "goes on after its end"}},
			{"no JSON", "POST", "/v1/routes", "add 10.71.0.0/16", 400, control.Failure{Field: "body", Reason: "invalid character"}},
			{"no list", "POST", "/v1/routes", route, 400, control.Failure{Field: "body", Reason: "it is no list"}},
			{"unknown field", "POST", "/v1/routes", "[" + route + `,{"op":"add","to":"10.72.0.0/16","gw":"192.168.0.12"}]`, 400, control.Failure{Field: "gw", Reason: "there is no such field", Index: at(1)}},
			{"wrong type", "POST", "/v1/routes", `[{"op":"add","to":"10.72.0.0/16","metric":"low"}]`, 400, control.Failure{Field: "metric", Reason: "a JSON string stands where", Index: at(0)}},
			{"unknown op", "POST", "/v1/routes", `[{"op":"flush"}]`, 400, control.Failure{Field: "op", Reason: `"flush" is none of add, replace and del`, Index: at(0)}},
			{"no neighbour", "POST", "/v1/routes", "[" + route + `,{"op":"add","to":"10.72.0.0/16","via":"172.16.0.1"}]`, 400, control.Failure{Field: "via", Reason: "172.16.0.1 is no neighbour", Index: at(1)}},
			{"there already", "POST", "/v1/routes", "[" + route + "," + route + "]", 409, control.Failure{Field: "to", Reason: "there is a route to 10.71.0.0/16", Index: at(1)}},
			{"not there", "POST", "/v1/routes", "[" + route + `,{"op":"del","to":"10.72.0.0/16"}]`, 404, control.Failure{Field: "to", Reason: "no route to 10.72.0.0/16", Index: at(1)}},
			{"too big an entry", "POST", "/v1/routes", big, 413, control.Failure{Field: "body", Reason: "more than the 1048576 bytes", Index: at(0)}},
			{"workload with a slash", "POST", "/v1/workloads", `{"name":"a/b","address":"10.70.1.9/24"}`, 400, control.Failure{Field: "name", Reason: "has a slash"}},
			{"workload with half a body", "POST", "/v1/workloads", `{"name":"ns3","addr`, 400, control.Failure{Field: "body", Reason: "ends too early"}},
			{"workload with an unknown field", "POST", "/v1/workloads", `{"name":"ns3","colour":"red"}`, 400, control.Failure{Field: "colour", Reason: "there is no such field"}},
			{"too big a body", "POST", "/v1/workloads", `{"name":"` + strings.Repeat("n", 2<<20) + `"}`, 413, control.Failure{Field: "body", Reason: "more than the 1048576 bytes"}},
			{"too big a question", "POST", "/v1/explain", `{"packet":"` + strings.Repeat("n", 2<<20) + `"}`, 413, control.Failure{Field: "body", Reason: "more than the 1048576 bytes"}},
			{"stop before no step", "POST", "/v1/stops", `{"step":"rx","seconds":5}`, 400, control.Failure{Field: "step", Reason: "give one of arp"}},
			{"stop for ever", "POST", "/v1/stops", `{"step":"ttl","seconds":61}`, 400, control.Failure{Field: "seconds", Reason: "at most 60"}},
			{"stop for no time", "POST", "/v1/stops", `{"step":"ttl"}`, 400, control.Failure{Field: "seconds", Reason: "above 0"}},
			{"stop by no filter", "POST", "/v1/stops", `{"step":"ttl","filter":"icmp and","seconds":5}`, 400, control.Failure{Field: "filter", Reason: "column"}},
			{"no such stop", "DELETE", "/v1/stops/7", "", 404, control.Failure{Message: `there is no stop "7"`}},
			{"no such workload", "DELETE", "/v1/workloads/a%2Fb", "", 404, control.Failure{Field: "name", Reason: `there is no workload "a/b"`}},
		} {
			t.Run(c.name, func(t *testing.T) {
				conn := h.raw(t, "")
				go func() { _, _ = io.WriteString(conn, request(c.method, c.path, len(c.body), c.body)) }()
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				var got control.Failure
				if err := json.Unmarshal(body, &got); err != nil {
					t.Fatalf("%v in %s", err, body)
				}
				if resp.StatusCode != c.status || got.Field != c.want.Field || !strings.Contains(got.Reason, c.want.Reason) ||
					!strings.Contains(got.Message, got.Field) || !strings.Contains(got.Message, got.Reason) || text(got.Index) != text(c.want.Index) {
					t.Errorf("status %d, %s", resp.StatusCode, body)
				}
			})
		}
	})
}

func at(i int) *int { return &i }

func text(i *int) string {
	if i == nil {
		return ""
	}
	return fmt.Sprint(*i)
}

// Ten thousand requests at once are all answered.
func TestTenThousandRequests(t *testing.T) {
	h := labUp(t, "")[0]
	h.unharmed(t, func() {
		var all sync.WaitGroup
		failures := make(chan error, 10000)
		begin := make(chan struct{})
		for i := range 10000 {
			all.Go(func() {
				<-begin
				c := control.NewClient(h.Socket)
				defer c.Close()
				ctx, cancel := context.WithTimeout(t.Context(), hostileTime)
				defer cancel()
				change := control.RouteChange{Op: "replace", To: fmt.Sprintf("10.71.%d.%d", i>>8, i&255), Via: "192.168.0.12"}
				if _, err := c.ChangeRoutes(ctx, func(yield func(control.RouteChange, error) bool) { yield(change, nil) }); err != nil {
					failures <- err
				}
			})
		}
		close(begin)
		all.Wait()
		close(failures)
		n := 0
		for err := range failures {
			if n++; n <= 3 {
				t.Error(err)
			}
		}
		if n > 0 {
			t.Errorf("%d requests failed", n)
		}
		var del bytes.Buffer
		for i := range 10000 {
			fmt.Fprintf(&del, "10.71.%d.%d\n", i>>8, i&255)
		}
		if out := h.ask(t, "route", "del", "-f", file(t, "routes", del.String())).wantOK(t); out != "0 added, 0 replaced, 10000 deleted\n" {
			t.Error(out)
		}
	})
}

// Clients that say nothing, that stop in the middle of a request, and that never read
// the answer are hung up on; others are served meanwhile.
func TestClientsThatHang(t *testing.T) {
	h := labUp(t, "")[0]
	var many bytes.Buffer
	for i := range 20000 { // a list of them fills every buffer
		fmt.Fprintf(&many, "10.71.%d.%d via 192.168.0.12\n", i>>8, i&255)
	}
	h.ask(t, "route", "add", "-f", file(t, "routes", many.String())).wantOK(t)
	h.unharmed(t, func() {
		var conns []*net.UnixConn
		for range 50 {
			conns = append(conns,
				h.raw(t, ""),
				h.raw(t, "POST /v1/rou"),
				h.raw(t, request("POST", "/v1/workloads", 100, `{"name":`)),
				h.raw(t, "GET /v1/routes HTTP/1.1\r\nHost: vrouter\r\n\r\n"),
				h.raw(t, "GET /v1/config HTTP/1.1\r\nHost: vrouter\r\n\r\n"),
			)
		}
		h.ask(t, "route", "get", there).wantOK(t)
		files, _ := h.held(t)
		if files < 250 {
			t.Fatalf("the router has %d descriptors: these clients are not with it", files)
		}
		within(t, hostileTime, "the router hangs up on all of them", func() bool {
			files, _ = h.held(t)
			return files < 100
		})
		for _, c := range conns {
			c.Close()
		}
	})
}
