package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/why"
)

// Each lab of the shelf fails its checks, and its solution passes them; why names something in the broken one.
func TestBrokenLabs(t *testing.T) {
	files, err := filepath.Glob("../../examples/broken/*.check.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d check files: %v", len(files), err)
	}
	for _, checks := range files {
		name := strings.TrimSuffix(filepath.Base(checks), ".check.yaml")
		text := read(t, checks)
		t.Run(name, func(t *testing.T) {
			labUp(t, read(t, "../../examples/broken/"+name+".yaml"))
			if r := vrouter(t, "lab", "check", file(t, "checks.yaml", text)); r.status != 1 || !strings.Contains(r.out, "FAIL  ") {
				t.Errorf("the broken lab passes: %+v", r)
			}
		})
		t.Run(name+" mended", func(t *testing.T) {
			labUp(t, read(t, "../../examples/broken/solutions/"+name+".yaml"))
			if r := vrouter(t, "lab", "check", file(t, "checks.yaml", text)); r.status != 0 || strings.Contains(r.out, "FAIL  ") {
				t.Errorf("the mended lab fails: %+v", r)
			}
		})
	}
}

// Each fault that can be planted is named by why, and mended; the lab is what it was.
func TestLabBreak(t *testing.T) {
	breaks(t, "ipip", lab.Faults)
}

// The faults that are a tunnel's are VXLAN's, too.
func TestLabBreakVXLAN(t *testing.T) {
	breaks(t, "vxlan", slices.DeleteFunc(slices.Clone(lab.Faults), func(f lab.Fault) bool { return !strings.HasPrefix(f.Name, "tunnel-") && f.Name != "own-mtu" }))
}

func breaks(t *testing.T, encap string, faults []lab.Fault) {
	text := twoHosts("    "+encap+": {mode: always, peers: [192.168.0.11, 192.168.0.12]}\n") + "links: {loss: 0%}\n"
	causes := map[string]why.Cause{
		"return-route": "no_route", "next-hop": why.Unanswered, "blackhole": "blackhole", "loop": why.Loop, "far-mtu": why.MTU, "own-mtu": why.MTU, "tunnel-peer": why.Cause(encap + "_unknown_peer"),
		"tunnel-source": why.TunnelSource, "second-copy": why.Copy, "killed-router": why.NoRouter, "lossy-cable": why.Cable, "wrong-address": why.Waiting,
	}
	labUp(t, text)
	if r := vrouter(t, "lab", "mend"); r.status != 1 {
		t.Errorf("%+v", r)
	}
	if r := vrouter(t, "lab", "break", "nothing"); r.status != 2 || !strings.Contains(r.err, "return-route") {
		t.Errorf("%+v", r)
	}
	for _, f := range faults {
		t.Run(f.Name, func(t *testing.T) {
			dst := there
			if f.Name == "loop" {
				dst = "10.99.0.1"
			}
			vrouter(t, "lab", "break", f.Name).wantOK(t)
			if out := vrouter(t, "lab", "break").wantOK(t); !hasLine(out, []string{f.Name, f.Shows, "yes"}) {
				t.Errorf("not said to be planted:\n%s", out)
			}
			if r := vrouter(t, "lab", "break", f.Name); r.status != 1 || !strings.Contains(r.err, "lab mend") {
				t.Errorf("broken twice: %+v", r)
			}
			a := decode[why.Answer](t, vrouter(t, "why", "-o", "json", here, dst).out)
			t.Log(a.Sentence)
			if a.Cause != causes[f.Name] || a.Next == "" {
				t.Errorf("%+v", a)
			}
			vrouter(t, "lab", "mend").wantOK(t)
			wantWhy(t, here, there, true, why.None, "", "")
		})
	}
}
