package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// clusterText is a file of two hosts, with a mode of encapsulation, or with more of others.
const plain = "ipip: {mode: never}"

func clusterText(mode, more string) string {
	host := func(n int) string {
		return fmt.Sprintf(`  - node: n%[1]d
    uplink: {addresses: [192.168.0.1%[1]d/24, "fd00:192::1%[1]d/64"]}
    blocks: [10.70.%[1]d.0/24, "fd00:70:%[1]d::/64"]
    workloads:
      - {name: ns1, addresses: [10.70.%[1]d.1/24, "fd00:70:%[1]d::1/128"]}
      - {name: guest, address: 10.80.0.%[1]d/32}
    %[2]s
    metrics: {listen: ""}
    control: {socket: /run/vrouter/n%[1]d.sock}
`, n, mode)
	}
	return "hosts:\n" + host(1) + host(2) + more
}

const thirdHost = `  - node: n3
    uplink: {addresses: [192.168.0.13/24, "fd00:192::13/64"]}
    blocks: [10.70.3.0/24, "fd00:70:3::/64"]
    workloads: [{name: far, address: 10.80.0.3/32}]
    metrics: {listen: ""}
    control: {socket: /run/vrouter/n3.sock}
`

// One file is a lab, and each host's configuration: in each encapsulation and both families hosts reach the others' blocks, and what workloads
// they have outside of them.
func TestClusterFile(t *testing.T) {
	for _, mode := range []string{plain, "ipip: {mode: always}", "ipip: {mode: cross-subnet}", "vxlan: {mode: always}"} {
		t.Run(mode, func(t *testing.T) {
			hosts := labUp(t, clusterText(mode, thirdHost)) // which sends plainly, and takes what comes
			for _, to := range []string{"10.70.2.1", "fd00:70:2::1", "10.80.0.2", "10.80.0.3"} {
				wantEcho(t, hosts[0].ns1, to, 62)
			}
			wantEcho(t, hosts[1].ns1, "10.80.0.1", 62)
		})
	}
}

// The same file on each host, by --node; a host more in it, and one less, costs the others no packet. A file that is wrong, or
// for another host, changes nothing.
func TestClusterFileOnHosts(t *testing.T) {
	hosts := labUp(t, clusterText(plain, ""))
	path := file(t, "cluster.yaml", clusterText(plain, ""))
	sockets := []string{"/run/vrouter/n1.sock", "/run/vrouter/n2.sock"}
	run := func(i int, node string) *running {
		return start(t, command(t, "lab", "exec", hosts[i].Name, "--", program, "run", "--config", path, "--node", node), outsideOfAll)
	}
	for _, h := range hosts {
		h.killRouter(t, syscall.SIGTERM)
	}
	for i := range hosts {
		other := run(i, fmt.Sprint("n", 2-i)).wait(t)
		other.wantError(t, 1, fmt.Sprintf("uplink.address: the file gives this host 192.168.0.1%d/24, and ens160 has 192.168.0.1%d/24.*--node", 2-i, 1+i))
		run(i, "n9").wait(t).wantError(t, 1, `no host is called "n9": it has n1, n2`)
	}
	for i, h := range hosts {
		r := run(i, h.Name)
		t.Cleanup(func() { r.signal(t, syscall.SIGTERM) })
		eventually(t, h.Name+" answers", func() bool { return r.hasEnded() || vrouter(t, "--socket", sockets[i], "show", "ports").status == 0 })
	}
	for _, to := range []string{"10.70.2.1", "fd00:70:2::1", "10.80.0.2"} {
		resumes(t, hosts[0].ns1, to)
		wantEcho(t, hosts[0].ns1, to, 62)
	}
	plan := func(text, node string) result {
		return vrouter(t, "--socket", sockets[0], "plan", "--config", file(t, "next.yaml", text), "--node", node)
	}
	if out := plan(clusterText(plain, ""), "n1").wantOK(t); out != "nothing changes\n" {
		t.Errorf("the plan of the file in force: %s", out)
	}
	if out := plan(clusterText(plain, thirdHost), "n1").wantOK(t); !strings.Contains(out, "route  add 10.70.3.0/24 via 192.168.0.13") {
		t.Errorf("the plan of a host more: %s", out)
	}
	plan(clusterText(plain, ""), "n9").wantError(t, 1, `no host is called "n9": it has n1, n2`)
	examined := vrouter(t, "lab", "exec", "n1", "--", program, "doctor", "--config", path, "--node", "n1")
	if !strings.Contains(examined.out, path+" can be read") || !strings.Contains(examined.out, " uplink         it is up") {
		t.Errorf("doctor --node: %s%s", examined.out, examined.err)
	}
	stop := floods(t, hosts[0].ns1, "10.70.2.1")
	reload := func(text string) []result {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return []result{vrouter(t, "--socket", sockets[0], "reload"), vrouter(t, "--socket", sockets[1], "reload")}
	}
	for range 3 {
		for _, r := range reload(clusterText(plain, thirdHost)) {
			r.wantOK(t)
		}
		for _, socket := range sockets {
			routes := vrouter(t, "--socket", socket, "route", "list").wantOK(t)
			for _, want := range []string{"10.70.3.0/24 via 192.168.0.13", "fd00:70:3::/64 via fd00:192::13", "10.80.0.3/32 via 192.168.0.13"} {
				if !strings.Contains(routes, want) {
					t.Errorf("no %s in:\n%s", want, routes)
				}
			}
		}
		for _, wrong := range []string{
			strings.Replace(clusterText(plain, thirdHost), "10.70.3.0/24", "10.70.2.0/25", 1),
			strings.Replace(clusterText(plain, ""), "node: n", "node: m", 2),
			"hosts: []\n",
		} {
			for _, r := range reload(wrong) {
				if r.status != 1 {
					t.Errorf("a wrong file is taken: %+v", r)
				}
			}
		}
		if routes := vrouter(t, "--socket", sockets[0], "route", "list").wantOK(t); !strings.Contains(routes, "10.70.3.0/24") {
			t.Error("a wrong file has changed the routes")
		}
		for _, r := range reload(clusterText(plain, "")) {
			r.wantOK(t)
		}
		if routes := vrouter(t, "--socket", sockets[0], "route", "list").wantOK(t); strings.Contains(routes, "10.70.3.0/24") {
			t.Error("the third host's routes stay")
		}
	}
	stop()
}
