package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// lookerFor is set in a process of this program that plays somebody who looks at a router, and
// does it with all his might: a looker, in JSON.
const lookerFor = "VROUTER_E2E_LOOKER"

// looker is one, and where he finds the router.
type looker struct {
	Look     string // what he does
	Socket   string
	Metrics  string
	Listen   string // control.listen; "" for a look that needs none
	Cert     string // what he shows there, and its key
	Key      string
	Patience time.Duration // for an answer, before he tries again
}

// prying is what somebody who may look, or who may not even that, can do to a router: a look.
type prying struct {
	name     string
	member   bool // he is in control.group; else a stranger, who reaches two addresses
	far      bool // from the other host
	work     bool // it keeps a processor busy, that of the attacker himself
	ports    int  // workloads of the router; 0: one
	everyday bool // it is tried by `make test`, too
	do       func(x *looker)
}

// play does as it was told until somebody kills it.
func (x *looker) play() error {
	i := slices.IndexFunc(looks, func(l prying) bool { return l.name == x.Look })
	if i < 0 {
		return fmt.Errorf("nobody knows how to look by %q", x.Look)
	}
	looks[i].do(x)
	select {}
}

func playLooker() error {
	x := &looker{}
	if err := json.Unmarshal([]byte(os.Getenv(lookerFor)), x); err != nil {
		return err
	}
	return x.play()
}

// many does something n times at once, each over and over.
func many(n int, f func()) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for {
				f()
			}
		})
	}
	all.Wait()
}

// open connects, and waits a little where nobody answers.
func open(network, address string) net.Conn {
	for {
		c, err := net.Dial(network, address)
		if err == nil {
			return c
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// talk sends a request to the socket and reads what comes until the router hangs up.
func (x *looker) talk(request string) {
	c := open("unix", x.Socket)
	defer c.Close()
	if _, err := io.WriteString(c, request); err == nil {
		_, _ = io.Copy(io.Discard, c)
	}
}

// hold opens connections, says something on each and leaves them so.
func hold(n int, network, address, say string) {
	var all []net.Conn
	for range n {
		c := open(network, address)
		_, _ = io.WriteString(c, say)
		all = append(all, c)
	}
	for ; ; time.Sleep(50 * time.Millisecond) { // one that was hung up on comes again
		for i, c := range all {
			_ = c.SetReadDeadline(time.Now().Add(time.Microsecond))
			if _, err := c.Read(make([]byte, 1<<16)); err != nil && !os.IsTimeout(err) {
				c.Close()
				all[i] = open(network, address)
				_, _ = io.WriteString(all[i], say)
			}
		}
	}
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: vrouter\r\n\r\n" }

// filtered asks for a trace whose filter takes no packet, and looks at all its terms to find out.
func filtered(terms int) string {
	return get("/v1/trace?filter=" + strings.TrimSuffix(strings.Repeat("arp||", terms), "||"))
}

// untilRead asks by one connection, over and over, as fast as the answers come.
func untilRead(network, address, request string) {
	c := open(network, address)
	defer c.Close()
	go func() {
		for {
			if _, err := io.WriteString(c, request); err != nil {
				return
			}
		}
	}()
	_, _ = io.Copy(io.Discard, c)
}

// endless sends a body that does not end.
func (x *looker) endless(first, again string) {
	c := open("unix", x.Socket)
	defer c.Close()
	go func() { _, _ = io.Copy(io.Discard, c) }()
	w := bufio.NewWriterSize(c, 1<<16)
	chunk := func(s string) error {
		_, err := fmt.Fprintf(w, "%x\r\n%s\r\n", len(s), s)
		return err
	}
	_, _ = w.WriteString("POST /v1/replay HTTP/1.1\r\nHost: vrouter\r\nTransfer-Encoding: chunked\r\n\r\n")
	for err := chunk(first); err == nil; {
		err = chunk(again)
	}
}

// hello begins a TLS connection and shows no certificate.
func (x *looker) hello() {
	c := open("tcp", x.Listen)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(x.Patience))
	s := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	if s.Handshake() == nil {
		_, _ = s.Read(make([]byte, 1))
	}
}

// certified does something with a connection on which a right certificate was shown.
func (x *looker) certified(f func(c net.Conn)) {
	pair, err := tls.LoadX509KeyPair(x.Cert, x.Key)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	raw := open("tcp", x.Listen)
	defer raw.Close()
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}})
	f(c)
}

var replayed = `{"ip":"` + base64.StdEncoding.EncodeToString(make([]byte, 60)) + `"}`

// looks are the attacks. A description says what a member, a stranger or a holder of a certificate does.
var looks = []prying{
	{name: "nothing but two busy processors, to compare with", work: true, do: func(*looker) { many(2, func() {}) }},
	{name: "a filter of 205,000 terms", member: true, do: func(x *looker) { many(1, func() { x.talk(filtered(205_000)) }) }},
	{name: "16 filters of 205,000 terms", member: true, do: func(x *looker) { many(16, func() { x.talk(filtered(205_000)) }) }},
	{name: "16 filters of 500 terms", everyday: true, member: true, do: func(x *looker) { many(16, func() { x.talk(filtered(500)) }) }},
	{name: "16 traces of everything", member: true, work: true, do: func(x *looker) { many(16, func() { x.talk(get("/v1/trace")) }) }},
	{name: "16 traces of everything, not read", everyday: true, member: true, do: func(x *looker) { hold(16, "unix", x.Socket, get("/v1/trace")) }},
	{name: "10,000 trace clients", member: true, work: true, do: func(x *looker) { many(10_000, func() { x.talk(get("/v1/trace")) }) }},
	{name: "520 traces and tops", everyday: true, member: true, work: true, do: func(x *looker) {
		go many(260, func() { x.talk(get("/v1/trace")) })
		many(260, func() { x.talk(get("/v1/top?interval=1h")) })
	}},
	{name: "400 tops at 100 ms", member: true, work: true, do: func(x *looker) { many(400, func() { x.talk(get("/v1/top?interval=100ms")) }) }},
	{name: "16 endless replays", member: true, work: true, do: func(x *looker) {
		many(16, func() { x.endless("["+replayed, ","+replayed) })
	}},
	{name: "16 endless bodies of wrong requests", everyday: true, member: true, work: true, do: func(x *looker) {
		many(16, func() { x.endless("[7", strings.Repeat(" ", 1<<16)) })
	}},
	{name: "300 traces of one packet beside a running one", everyday: true, member: true, do: func(x *looker) {
		go many(1, func() { x.talk(get("/v1/trace")) })
		many(1, func() {
			c := open("unix", x.Socket)
			defer c.Close()
			_, _ = io.WriteString(c, get("/v1/trace"))
			r := bufio.NewReader(c)
			for range 20 {
				if line, err := r.ReadString('\n'); err != nil || strings.HasPrefix(line, "{") {
					return
				}
			}
		})
	}},
	{name: "traces opened and closed", member: true, work: true, do: func(x *looker) {
		many(8, func() {
			c := open("unix", x.Socket)
			defer c.Close()
			_, _ = io.WriteString(c, get("/v1/trace?filter=port+7"))
			_, _ = c.Read(make([]byte, 1000))
		})
	}},
	{name: "pipelined requests", member: true, work: true, do: func(x *looker) {
		many(32, func() { untilRead("unix", x.Socket, strings.Repeat(get("/v1/version"), 100)) })
	}},
	{name: "pipelined requests for ports, 1,000 workloads", member: true, work: true, ports: 1000, do: func(x *looker) {
		many(32, func() { untilRead("unix", x.Socket, strings.Repeat(get("/v1/ports"), 100)) })
	}},
	{name: "connections to the socket", member: true, work: true, do: func(x *looker) { many(8, func() { open("unix", x.Socket).Close() }) }},
	{name: "unread answers", member: true, do: func(x *looker) {
		var all []net.Conn
		many(1, func() {
			c := open("unix", x.Socket)
			_ = c.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = io.WriteString(c, strings.Repeat(get("/v1/ports"), 100))
			all = append(all, c)
		})
	}},
	{name: "wrong requests", member: true, work: true, do: func(x *looker) { many(8, func() { x.talk("NONSENSE\r\n\r\n") }) }},
	{name: "scrapes in a loop, 1,000 workloads", work: true, ports: 1000, do: func(x *looker) { many(8, func() { untilRead("tcp", x.Metrics, get("/metrics")) }) }},
	{name: "150 pipelines of scrapes, not read, 1,000 workloads", ports: 1000, do: func(x *looker) {
		hold(150, "tcp", x.Metrics, strings.Repeat(get("/metrics"), 100))
	}},
	{name: "connections to the metrics", work: true, do: func(x *looker) { many(8, func() { open("tcp", x.Metrics).Close() }) }},
	{name: "TLS hellos without a certificate", everyday: true, far: true, work: true, do: func(x *looker) { many(16, x.hello) }},
	{name: "600 idle connections to control.listen", everyday: true, far: true, do: func(x *looker) { hold(600, "tcp", x.Listen, "") }},
	{name: "100 idle holders of a certificate", far: true, do: func(x *looker) {
		many(100, func() { x.certified(func(c net.Conn) { _, _ = c.Write([]byte("G")); _, _ = io.Copy(io.Discard, c) }) })
	}},
	{name: "16 holders of a certificate that trace", far: true, work: true, do: func(x *looker) {
		many(16, func() {
			x.certified(func(c net.Conn) { _, _ = io.WriteString(c, get("/v1/trace")); _, _ = io.Copy(io.Discard, c) })
		})
	}},
}
