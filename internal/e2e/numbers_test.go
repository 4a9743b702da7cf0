package e2e

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/trace"
)

// openMetrics asks for the format that has exemplars.
const openMetrics = "application/openmetrics-text; version=1.0.0"

// A count of drops leads to a packet of it, though nobody traced: over the exemplar
// that Prometheus scrapes, and over `show drops`.
func TestDropLeadsToItsRecord(t *testing.T) {
	h := labUp(t, "")[0]
	began := time.Now()
	wantEcho(t, h.ns1, "10.99.0.1", 0) // no route
	resp := fetch(t, h.ns, openMetrics)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^vrouter_drop_packets_total\{port="ns1",reason="no_route"\} 1.0 # \{packet="(\d+)"\} 1.0 [\d.e+]+$`).FindSubmatch(body)
	if found == nil {
		t.Fatalf("no exemplar in\n%s", regexp.MustCompile(`(?m)^vrouter_drop.*no_route.*$`).Find(body))
	}
	if n := strings.Count(string(body), " # {packet="); n > 3 { // what else the kernel sent may be dropped too
		t.Errorf("%d exemplars", n)
	}

	id := string(found[1])
	text := h.ask(t, "show", "packets", id).wantOK(t)
	for _, want := range []string{"#" + id + " k8s-master-1  ns1 > -  icmp echo request 10.70.1.1 > 10.99.0.1", "  check  pass\n", "  route  drop  no_route: ", "  dropped  no_route: add one"} {
		if !strings.Contains(text, want) || strings.Contains(text, "µs") {
			t.Errorf("no %q, or a time, in\n%s", want, text)
		}
	}
	json := h.ask(t, "show", "packets", id, "-o", "json").wantOK(t)
	list := decode[[]trace.Packet](t, json)
	if len(list) != 1 {
		t.Fatalf("%s", json)
	}
	if p := list[0]; p.Reason != "no_route" || p.Dst != "10.99.0.1" || p.Time.Before(began) || time.Since(p.Time) < 0 || strings.Contains(json, `"ns"`) {
		t.Errorf("%s", json)
	}
	if out := h.ask(t, "show", "drops").wantOK(t); !hasLine(out, []string{"no_route", "ns1:1", "#" + id + " ", " ago: icmp echo request 10.70.1.1 > 10.99.0.1"}) {
		t.Errorf("show drops:\n%s", out)
	}
	h.ask(t, "show", "packets", "4711").wantError(t, 1, `no record of packet "4711": .*show packets`)
	h.ask(t, "show", "packets", "last").wantError(t, 2, `"last" is no number`)

	capture := h.ask(t, "show", "packets", id, "-o", "pcapng").wantOK(t)
	r, err := pcapgo.NewNgReader(strings.NewReader(capture), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	frame, info, err := r.ReadPacketData()
	if err != nil {
		t.Fatal(err)
	}
	at, err := r.Interface(info.InterfaceIndex)
	if ip, ok := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default).NetworkLayer().(*layers.IPv4); err != nil || at.Name != "ns1 rx" || !ok || ip.DstIP.String() != "10.99.0.1" {
		t.Errorf("in the capture: %v at %q, %v", ip, at.Name, err)
	}
	if _, _, err := r.ReadPacketData(); err != io.EOF {
		t.Errorf("one frame is known, and there is another one: %v", err)
	}
}

func TestShowPathsAndRouteCounts(t *testing.T) {
	h := labUp(t, "")[0]
	for range 3 {
		wantEcho(t, h.ns1, there, 62)
	}
	wantEcho(t, h.ns1, "10.99.0.1", 0)
	const way = "rx > check > route > ttl > neigh > tx"
	if out := h.ask(t, "show", "paths").wantOK(t); !hasLine(out, []string{"6  ", way}) || !hasLine(out, []string{"1  ", "rx > check > dropped at route (no_route)"}) {
		t.Errorf("show paths:\n%s", out)
	}
	var got []control.Way
	for _, w := range decode[[]control.Way](t, h.ask(t, "show", "paths", "-o", "json").wantOK(t)) {
		if w.Step == "tx" || w.Step == "route" {
			got = append(got, w)
		}
	}
	want := []control.Way{
		{Path: way, Outcome: "forwarded", Step: "tx", Packets: 6},
		{Path: "rx > check > dropped at route (no_route)", Outcome: "dropped", Step: "route", Reason: "no_route", Packets: 1},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	const size = 98 // of a ping, with its Ethernet header
	l := decode[control.Lookup](t, h.ask(t, "route", "get", there, "-o", "json").wantOK(t))
	if l.Route.Packets != 3 || l.Route.Bytes != 3*size {
		t.Errorf("%d packets, %d bytes by %s; want 3, %d", l.Route.Packets, l.Route.Bytes, l.Route.Text, 3*size)
	}
	for _, r := range decode[[]control.Route](t, h.ask(t, "route", "list", "-o", "json").wantOK(t)) {
		if r.Dev == "ns1" && (r.Packets != 3 || r.Bytes != 3*size) {
			t.Errorf("%d packets, %d bytes by %s; want 3, %d", r.Packets, r.Bytes, r.Text, 3*size)
		}
	}
}
