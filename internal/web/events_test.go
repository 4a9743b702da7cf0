package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/trace"
)

// The page is told of the picture, of how routers are, and of packets as they come; each can be asked for.
func TestEvents(t *testing.T) {
	f := newFake(t)
	s := pageOf(t, f)
	c, end := s.hear(t, "udp", "")
	defer end()
	await(t, c, "hello", `"filter_said":"udp"`)
	await(t, c, "topology", `"id":"192.168.0.0/24"`)
	state := await(t, c, "state", `"rx_packets_per_second":7`)
	if !strings.Contains(state.data, `"reason":"rpf_failed"`) || !strings.Contains(state.data, `"mend":`) || strings.Contains(state.data, "no_route") {
		t.Errorf("drops that count now, with what they mean: %s", state.data)
	}
	f.traced()
	f.send(datagram(1), func(p *trace.Packet) { p.Outcome, p.Reason, p.Lost, p.Skipped = trace.Dropped, "no_route", 3, 4 })
	e := await(t, c, "packet", "udp 10.70.2.1:1001")
	var b Brief
	if err := json.Unmarshal([]byte(e.data), &b); err != nil || b.Outcome != "dropped" || b.Reason != "no_route" || b.At != "a" || b.Lost != 3 || b.Skipped != 4 || e.id != "1" {
		t.Errorf("%s %+v %v", e.id, b, err)
	}
	resp, text := s.ask(t, "GET", "/v1/ways/1", "", nil)
	var w Way
	if err := json.Unmarshal([]byte(text), &w); err != nil || resp.StatusCode != 200 || w.Format != wayFormat || len(w.Packets) != 1 || len(w.Packets[0].Fields) == 0 || w.Packets[0].Steps[0].Help == "" {
		t.Errorf("%v %s", err, text)
	}
	if resp, _ := s.ask(t, "GET", "/v1/ways/2", "", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a way that is not kept: %d", resp.StatusCode)
	}
	// What was saved is read again; what is no way is not.
	if resp, again := s.ask(t, "POST", "/v1/read", text, nil); resp.StatusCode != 200 || again != text {
		t.Errorf("%d %s", resp.StatusCode, again)
	}
	for _, no := range []string{"", "{}", `{"format":"vrouter way 1"}`, "[1]"} {
		if resp, _ := s.ask(t, "POST", "/v1/read", no, nil); resp.StatusCode != 400 {
			t.Errorf("%q is read as a way: %d", no, resp.StatusCode)
		}
	}
}

// What is wrong with a filter is said at its word, before anything is listened to.
func TestWrongFilter(t *testing.T) {
	s := pageOf(t, newFake(t))
	for _, path := range []string{"/v1/filter", "/v1/events"} {
		resp, text := s.ask(t, "GET", path+"?filter=icmp+and+hots+1", "", nil)
		var e failure
		if err := json.Unmarshal([]byte(text), &e); err != nil || resp.StatusCode != 400 || e.Column != 10 || e.Word != "hots" {
			t.Errorf("%s: %d %s", path, resp.StatusCode, text)
		}
	}
}

// Who comes back hears what came meanwhile, and how much of it is no longer kept.
func TestComingBack(t *testing.T) {
	f := newFake(t)
	s := pageOf(t, f)
	c, end := s.hear(t, "", "")
	defer end()
	f.traced()
	f.send(datagram(0), nil)
	first := await(t, c, "packet", ":1000")
	end()
	w := s.watches.list[0]
	way := s.watches.find(1)
	for range keptWays + 10 {
		w.mu.Lock()
		w.pace.shown = 0 // however quick
		w.mu.Unlock()
		w.keep(way)
	}
	c, end = s.hear(t, "", first.id)
	defer end()
	if e := await(t, c, "lost", ""); e.data != `{"packets":10}` {
		t.Errorf("of %d that came meanwhile: %s", keptWays+10, e.data)
	}
	if e := await(t, c, "packet", ""); e.id != "12" {
		t.Errorf("the first that is kept is %s", e.id)
	}
	if s.watches.find(1) != nil {
		t.Error("more are kept than should be")
	}
}

// Of ways that are more than anybody reads, those that are left out are counted.
func TestSkippedAreCounted(t *testing.T) {
	f := newFake(t)
	s := pageOf(t, f)
	c, end := s.hear(t, "", "")
	defer end()
	f.traced()
	f.send(datagram(0), nil)
	await(t, c, "packet", ":1000")
	w, way := s.watches.list[0], s.watches.find(1)
	again := func(from int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.pace.second, w.pace.shown = time.Now().Add(time.Hour), from // all in one second
	}
	again(shownRate)
	for range 50 {
		w.keep(way)
	}
	again(0)
	w.keep(way)
	if e := await(t, c, "packet", ""); !strings.Contains(e.data, `"skipped":50`) {
		t.Errorf("%s", e.data)
	}
}

// A router that ends is said to be dead, and why; when it is back, so is the trace.
func TestRouterEndsAndComesBack(t *testing.T) {
	f := newFake(t)
	s := pageOf(t, f)
	c, end := s.hear(t, "", "")
	defer end()
	f.traced()
	await(t, c, "state", `"state":"up"`)
	f.stop()
	await(t, c, "state", `"state":"dead","why":"no router answers at`)
	await(t, c, "warning", "no router answers at")
	f.start()
	await(t, c, "state", `"rx_packets_per_second"`)
	await(t, c, "warning", `"text":""`)
	f.traced()
	f.send(datagram(2), nil)
	await(t, c, "packet", ":1002")
}

// One that is there and says nothing is silent, not dead.
func TestSilentRouter(t *testing.T) {
	f := newFake(t)
	s := pageOf(t, f)
	c, end := s.hear(t, "", "")
	defer end()
	await(t, c, "state", `"rx_packets_per_second"`)
	f.quiet.Store(true)
	await(t, c, "state", `"state":"silent","why":"the router is there, and does not answer","seconds":`)
}

// Of very many packets fewer are asked for, the same ones of every router; of few all again.
func TestPaceOfPackets(t *testing.T) {
	f := newFake(t)
	s := pageOf(t, f)
	c, end := s.hear(t, "", "")
	defer end()
	f.traced()
	f.send(datagram(0), func(p *trace.Packet) { p.Skipped = 100_000 })
	e := await(t, c, "sampled", "")
	if e.data == `{"one_in":1}` {
		t.Fatal(e.data)
	}
	eventually(t, "the router is asked for fewer", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		last := f.options[len(f.options)-1]
		return strings.Contains(last, "hash=") && strings.Contains(last, "rate=500")
	})
	await(t, c, "sampled", `{"one_in":1}`)
}

// Whoever looks no more costs the routers nothing, after a while.
func TestNobodyLooks(t *testing.T) {
	f := newFake(t)
	s := pageOf(t, f)
	_, end := s.hear(t, "", "")
	f.traced()
	end()
	w := s.watches.list[0]
	eventually(t, "nobody is taken to look", func() bool { return w.idleFor() > 0 })
	w.mu.Lock()
	w.idle = w.idle.Add(-lingerWatch)
	w.mu.Unlock()
	s.watches.sweep()
	eventually(t, "the trace has ended", func() bool { return f.tracing() == 0 })
}

// So many filters at once, and no more.
func TestFiltersAreBounded(t *testing.T) {
	s := pageOf(t, newFake(t))
	for _, filter := range []string{"udp", "tcp", "icmp", "arp"} {
		_, end := s.hear(t, filter, "")
		defer end()
	}
	if resp, text := s.ask(t, "GET", "/v1/events?filter=ip6", "", nil); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	_, end := s.hear(t, "udp", "")
	end()
}
