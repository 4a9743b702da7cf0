package e2e

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/timeline"
	"github.com/vrouter/vrouter/internal/trace"
)

// sixInFour is a lab whose hosts have IPv4 alone between them.
const sixInFour = `
hosts:
  - node: k8s-master-1
    uplink: {address: 192.168.0.11/24}
    workloads: [{name: ns1, addresses: [10.70.1.1/24, "fd00:70:1::1/128"]}]
    routes: [{to: 10.70.2.1, via: 192.168.0.12, encap: ipip}, {to: "fd00:70:2::1", via: 192.168.0.12, encap: ipip}]
  - node: k8s-node-1
    uplink: {address: 192.168.0.12/24}
    workloads: [{name: ns1, addresses: [10.70.2.1/24, "fd00:70:2::1/128"]}]
    routes: [{to: 10.70.1.1, via: 192.168.0.11, encap: ipip}, {to: "fd00:70:1::1", via: 192.168.0.11, encap: ipip}]
`

// The way of a ping of IPv6 over both hosts, with its reply: plain, and in IPv4.
func TestLabTraceIPv6(t *testing.T) {
	for name, lab := range map[string]string{"plain": read(t, "../../examples/lab-dual-stack.yaml"), "6in4": sixInFour} {
		t.Run(name, func(t *testing.T) {
			hosts := labUp(t, lab)
			wantEcho(t, hosts[0].ns1, there6, 62)
			list := ways(t, hosts, func() { wantEcho(t, hosts[0].ns1, there6, 62) }, "lab", "trace", "-c", "1", "icmp6 and host "+there6)
			wantPing(t, list, forth, back)
			if s := list[0].Summary; !strings.HasPrefix(s, "icmp6 echo request "+here6+" > "+there6+" id ") {
				t.Errorf("it is told as %q", s)
			}
			for _, p := range list[0].Packets {
				if p.From != "" && p.Clocks != timeline.ClocksSame || p.Proto != "icmp6" {
					t.Errorf("%s %s > %s %s from %q: the clocks are %q", p.Host, p.In, p.Out, p.Summary, p.From, p.Clocks)
				}
			}
		})
	}
}

// The first packet waits for Neighbor Discovery, which is in its way.
func TestTraceHostsIPv6(t *testing.T) {
	hosts := dualStack(t)
	r := start(t, command(t, "trace", "--hosts", hosts[0].Name+","+hosts[1].Socket, "-c", "1", "icmp6", "and", "src", here6, "and", "dst", there6), outsideOfAll)
	traceRuns(t, r, hosts...)
	wantEcho(t, hosts[0].ns1, there6, 62)
	out := r.wait(t).wantOK(t)
	for _, want := range [][]string{
		{"── icmp6 echo request fd00:70:1::1 > fd00:70:2::1 id ", "k8s-master-1 > k8s-node-1, delivered after ", ", reply after "},
		{"  wire   k8s-master-1 > k8s-node-1  +"},
		{"  wire   k8s-node-1 > k8s-master-1  +"},
		{"k8s-master-1  vrouter > ens160  icmp6 neighbor solicitation who has fd00:192::12 tell fe80::"},
	} {
		if !hasLine(out, want) {
			t.Errorf("no line with %q in\n%s", want, out)
		}
	}
}

// Traces select IPv6, tell it in one line, and know its drops.
func TestTraceIPv6(t *testing.T) {
	h := dualStack(t)[0]
	wantEcho(t, h.ns1, there6, 62)
	r := start(t, command(t, "--socket", h.Socket, "trace", "--drops", "-c", "1", "-o", "json", "icmp6[icmp6type] == icmp6-echo and net fd00:70:9::/48"), outsideOfAll)
	traceRuns(t, r, h)
	wantEcho(t, h.ns1, there6, 62)
	wantEcho(t, h.ns1, "fd00:70:9::1", 0)
	p := decode[trace.Packet](t, r.wait(t).wantOK(t))
	if p.Outcome != trace.Dropped || p.Reason != "no_route" || p.Src != here6 || p.Dst != "fd00:70:9::1" || p.Proto != "icmp6" ||
		!strings.HasPrefix(p.Summary, "icmp6 echo request "+here6+" > fd00:70:9::1 id ") {
		t.Errorf("%+v", p)
	}
}

// Each table speaks both families.
func TestTablesIPv6(t *testing.T) {
	h := labUp(t, sixInFour)[0]
	wantEcho(t, h.ns1, there6, 62)
	for args, want := range map[string][]string{
		"show ports":             {"ns1", "workload", "eth0", "10.70.1.1,fd00:70:1::1", "1480"},
		"show tunnels":           {"192.168.0.12", "ipip,6in4", "both", "1500", "uplink"},
		"show neighbors":         {here6, "ns1", "permanent"},
		"route list":             {there6 + "/128 via 192.168.0.12 dev ens160 proto static encap ipip"},
		"route get fd00:70:2::1": {there6, "by", there6 + "/128 via 192.168.0.12 dev ens160"},
		"workload list":          {"ns1", "10.70.1.1/24", "fd00:70:1::1/128"},
	} {
		if out := h.ask(t, strings.Fields(args)...).wantOK(t); !hasLine(out, want) {
			t.Errorf("%s: no line with %q in\n%s", args, want, out)
		}
	}
	list := decode[[]control.Port](t, h.ask(t, "show", "ports", "-o", "json").wantOK(t))
	for _, p := range list {
		if p.Port == "ns1" {
			if d := cmp.Diff([]string{here, here6}, p.Addresses); d != "" {
				t.Error(d)
			}
		}
	}
}

// explain knows the packets of IPv6, described and kept.
func TestExplainIPv6(t *testing.T) {
	h := dualStack(t)[0]
	wantEcho(t, h.ns1, there6, 62)
	frames := described(t, "icmp6 fd00:70:1::1 > fd00:70:2::1 hlim 1")
	kept := file(t, "frame.hex", hex.EncodeToString(frames[0])+"\n")
	bare := file(t, "bare.pcap", pcap(t, layers.LinkTypeRaw, [][]byte{frames[0][14:]}))
	dies := []string{"ttl", "drop", "ttl_exceeded", "RFC 8200"}
	told := []string{"icmp6 time exceeded " + uplink6 + " > " + here6}
	for _, c := range []struct {
		args []string
		want [][]string
	}{
		{[]string{"icmp6 fd00:70:1::1 > fd00:70:2::1 hlim 1"}, [][]string{dies, told, {"dropped", "ttl_exceeded"}}},
		{[]string{"--hex", kept}, [][]string{dies, told}},
		{[]string{"--pcap", bare}, [][]string{dies, told}},
		{[]string{"udp [fd00:70:1::1]:1234 > [fd00:70:2::1]:53 length 1500"}, [][]string{
			{"ns1 > ens160", "udp fd00:70:1::1.1234 > fd00:70:2::1.53", "1500 bytes"}, {"ttl", "edit", "64 > 63"}, {"forwarded"},
			{"why: by fd00:70:2::1/128 via fd00:192::12 dev ens160"},
		}},
		{[]string{"udp fd00:70:1::1 > fd00:70:2::1 length 1501"}, [][]string{{"mtu", "drop"}, {"icmp6 packet too big", "mtu 1500"}, {"dropped", "mtu_exceeded"}}},
		{[]string{"tcp [fd00:70:2::1]:80 > [fd00:70:1::1]:9999"}, [][]string{{"ens160 > ns1", "tcp fd00:70:2::1.80"}, {"forwarded"}}},
		{[]string{"icmp6 fd00:70:1::7 > fd00:70:2::1 in ns1"}, [][]string{{"dropped", "rpf_failed"}}},
		{[]string{"icmp6 fd00:70:1::1 > fd00:70:9::1"}, [][]string{{"dropped", "no_route"}, {"icmp6 no route"}}},
		{[]string{"icmp6 fe80::1 > fd00:70:2::1 in ns1"}, [][]string{{"dropped", "beyond_scope"}}},
		{[]string{"ip6 fd00:70:1::1 > fd00:70:2::1 proto 17 offset 8 id 7"}, [][]string{{"udp fd00:70:1::1 > fd00:70:2::1 id 7 offset 8"}, {"forwarded"}}},
		{[]string{"icmp6 fd00:70:1::1 > fe80::ecee:eeff:feee:eeee"}, [][]string{{"consumed"}, {"icmp6 echo reply fe80::ecee:eeff:feee:eeee > fd00:70:1::1"}}},
		{[]string{"nd who has fe80::ecee:eeff:feee:eeee tell fd00:70:1::1"}, [][]string{
			{"neighbor solicitation who has fe80::ecee:eeff:feee:eeee tell fd00:70:1::1"}, {"consumed"},
			{"neighbor advertisement fe80::ecee:eeff:feee:eeee is at ee:ee:ee:ee:ee:ee router solicited override"},
		}},
	} {
		out := h.ask(t, append([]string{"explain", "-v"}, c.args...)...).wantOK(t)
		for _, want := range c.want {
			if !hasLine(out, want) {
				t.Errorf("explain %q: no line with %q in\n%s", c.args, want, out)
			}
		}
	}
	h.ask(t, "explain", "icmp fd00:70:1::1 > fd00:70:2::1").wantError(t, 2, "write icmp6")
}

// A capture of both families is counted by the ways that its packets would take.
func TestReplayIPv6(t *testing.T) {
	h := dualStack(t)[0]
	wantEcho(t, h.ns1, there6, 62)
	frames := described(t, "icmp6 fd00:70:1::1 > fd00:70:2::1 hlim 1", "icmp6 fd00:70:1::1 > fd00:70:2::1", "udp [fd00:70:1::1]:1 > [fd00:70:2::1]:2",
		"icmp6 fd00:70:1::1 > fd00:99::1", "icmp 10.70.1.1 > 10.99.0.1")
	got := decode[control.Replayed](t, h.ask(t, "replay", file(t, "all.pcap", pcap(t, layers.LinkTypeEthernet, frames)), "-o", "json").wantOK(t))
	want := control.Replayed{Packets: 5, Ways: []control.Taken{
		{Way: onward, Outcome: "forwarded", Packets: 2, First: 2},
		{Way: homeless, Outcome: "dropped", Reason: "no_route", Packets: 2, First: 4},
		{Way: expires, Outcome: "dropped", Reason: "ttl_exceeded", Packets: 1, First: 1},
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}
