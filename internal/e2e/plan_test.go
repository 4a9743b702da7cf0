package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/workload"
)

// A plan says what a reload would do: objects, routes, and packets that go another way. It does none of it; after the reload
// it has nothing more to say.
func TestPlan(t *testing.T) {
	ns := newHost(t)
	const routes = "routes: [{to: 10.70.2.0/24, via: 192.168.0.12}]\n"
	tail := "control: {socket: " + defaultSocket + "}\n"
	config := twoWorkloads + routes
	r := startRouter(t, ns, defaultSocket, config)
	w1 := workload.Named("w1")
	echo(t, w1, "10.70.3.1", 1) // is recorded: there is no route
	eventually(t, "the packet is recorded", func() bool { return strings.Contains(vrouter(t, "show", "packets").wantOK(t), "10.70.3.1") })
	plan := func(text string) control.Plan {
		t.Helper()
		path := file(t, "new.yaml", text+tail)
		p := decode[control.Plan](t, vrouter(t, "plan", "--config", path, "-o", "json").wantOK(t))
		if human := vrouter(t, "plan", "--config", path).wantOK(t); (human == "nothing changes\n") != (len(p.Settings)+len(p.Objects)+len(p.Routes)+len(p.Packets) == 0) {
			t.Errorf("%+v, and for people: %s", p, human)
		}
		return p
	}
	if p := plan(config); !cmp.Equal(p, control.Plan{Settings: []string{}, Objects: []control.PlannedObject{}, Routes: []control.PlannedRoute{}, Packets: []control.PlannedPacket{}}) {
		t.Errorf("of what is in force: %+v", p)
	}
	before := []any{linksOf(t, ns), linksOf(t, w1), guardOf(t, ns), remains(), vrouter(t, "show", "config").wantOK(t)}
	// w2 goes, w3 comes, and waits; w4 comes; the route goes another way, and there is one for what had none.
	next := strings.Replace(hostConfig, "}]", ", mtu: 1400}, {name: w3, address: 10.70.1.3/24, namespace: /run/netns/later}, {name: w4, address: 10.70.1.4/24}]", 1) +
		"routes: [{to: 10.70.2.0/24, via: 192.168.0.13}, {to: 10.70.3.0/24, via: 192.168.0.12, encap: ipip}]\nlog: {level: debug}\n"
	p := plan(next)
	if d := cmp.Diff(before, []any{linksOf(t, ns), linksOf(t, w1), guardOf(t, ns), remains(), vrouter(t, "show", "config").wantOK(t)}); d != "" {
		t.Errorf("the plan has changed something (-before +now):\n%s", d)
	}
	if want := []string{"log.level: info > debug"}; !slices.Equal(p.Settings, want) {
		t.Errorf("settings %q, want %q", p.Settings, want)
	}
	wantObjects := []control.PlannedObject{
		{Object: "interface eth0 in /run/netns/w2", Workload: "w2", What: "remove interface eth0 in /run/netns/w2"},
		{Object: "namespace /run/netns/w2", Workload: "w2", What: "remove namespace /run/netns/w2"},
		{Object: "interface eth0 in /run/netns/w1", Workload: "w1", What: "set mtu 1400 of eth0"},
		{Object: "interface eth0 in /run/netns/later", Workload: "w3", Waits: "/run/netns/later: no network namespace there"},
		{Object: "namespace /run/netns/w4", Workload: "w4", What: "make namespace /run/netns/w4"},
		{Object: "interface eth0 in /run/netns/w4", Workload: "w4", What: "make interface eth0 in /run/netns/w4, set mtu 1480 of eth0, give 10.70.1.4/24 to eth0"},
	}
	if d := cmp.Diff(wantObjects, p.Objects); d != "" {
		t.Errorf("objects (-want +got):\n%s", d)
	}
	wantRoutes := []control.PlannedRoute{
		{Op: "add", Text: "10.70.1.3/32 dev w3 proto workload scope link"}, {Op: "add", Text: "10.70.1.4/32 dev w4 proto workload scope link"},
		{Op: "add", Text: "10.70.2.0/24 via 192.168.0.13 dev ens160 proto static"}, {Op: "add", Text: "10.70.3.0/24 via 192.168.0.12 dev ens160 proto static encap ipip"},
		{Op: "del", Text: "10.70.1.2/32 dev w2 proto workload scope link"}, {Op: "del", Text: "10.70.2.0/24 via 192.168.0.12 dev ens160 proto static"},
	}
	if d := cmp.Diff(wantRoutes, p.Routes); d != "" {
		t.Errorf("routes (-want +got):\n%s", d)
	}
	has := func(packet, now, then string) {
		t.Helper()
		if !slices.ContainsFunc(p.Packets, func(k control.PlannedPacket) bool {
			return strings.HasPrefix(k.Packet, packet) && k.Now == now && k.Then == then
		}) {
			t.Errorf("no packet %q: %s; then %s; in %+v", packet, now, then, p.Packets)
		}
	}
	has("icmp 10.70.1.1 > 10.70.1.2", "forwarded by w2", "dropped at route no_route")
	has("icmp 10.70.1.1 > 10.70.1.4", "dropped at route no_route", "forwarded by w4")
	has("icmp 10.70.1.4 > 10.70.1.1", "there is no workload 10.70.1.4", "forwarded by w1")
	has("icmp echo request 10.70.1.1 > 10.70.3.1", "dropped at route no_route", "forwarded by ens160 to 192.168.0.12 in ipip")

	write(t, configOf(r), next+tail)
	vrouter(t, "reload").wantOK(t)
	if p := plan(next); len(p.Objects)+len(p.Routes)+len(p.Packets)+len(p.Settings) != 0 {
		t.Errorf("after the reload: %+v", p)
	}
	for text, err := range map[string]string{
		"nonsense: 1\n": "nonsense: unknown key",
		strings.Replace(next, "ens160", "eth7", 1):                  "plan: uplink.interface cannot change",
		strings.Replace(next, "10.70.1.4/24", "192.168.0.11/24", 1): "plan: workload w4: address: 192.168.0.11 is the address of ens160",
	} {
		vrouter(t, "plan", "--config", file(t, "new.yaml", text+tail)).wantError(t, 1, err)
	}
}
