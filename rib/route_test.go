package rib

import (
	"net/netip"
	"testing"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }

func TestRouteString(t *testing.T) {
	via := addr("192.168.0.12")
	tests := []struct {
		want  string
		route Route
	}{
		{"10.70.2.1/32 via 192.168.0.12 dev ens160 proto static",
			Route{Prefix: prefix("10.70.2.1/32"), Via: via, Dev: "ens160", Protocol: "static"}},
		{"10.70.1.1/32 dev ns1 proto workload scope link",
			Route{Prefix: prefix("10.70.1.1/32"), Dev: "ns1", Protocol: "workload"}},
		{"blackhole 10.70.9.0/24 proto static",
			Route{Type: Blackhole, Prefix: prefix("10.70.9.0/24"), Port: NoPort, Protocol: "static"}},
		{"10.70.2.1/32 via 192.168.0.12 dev ens160 proto static encap ipip",
			Route{Prefix: prefix("10.70.2.1/32"), Via: via, Dev: "ens160", Protocol: "static", Encap: IPIP}},
		{"10.70.2.0/24 via 192.168.0.12 dev ens160 proto bird encap ipip metric 100",
			Route{Prefix: prefix("10.70.2.0/24"), Via: via, Dev: "ens160", Protocol: "bird", Encap: IPIP, Metric: 100}},
		{"default via 192.168.0.12 dev ens160 proto boot metric 20 mtu 1400",
			Route{Prefix: prefix("0.0.0.0/0"), Via: via, Dev: "ens160", Protocol: "boot", Metric: 20, MTU: 1400}},
		{"unreachable default metric 4278198272",
			Route{Type: Unreachable, Prefix: prefix("0.0.0.0/0"), Port: NoPort, Metric: 4278198272}},
		{"prohibit 10.70.9.1/32 proto static",
			Route{Type: Prohibit, Prefix: prefix("10.70.9.1/32"), Port: NoPort, Protocol: "static"}},
		{"broadcast 192.168.0.255/32 dev ens160 proto kernel scope link",
			Route{Type: Broadcast, Prefix: prefix("192.168.0.255/32"), Dev: "ens160", Protocol: "kernel"}},
		{"unknown(9) invalid Prefix", Route{Type: 9}},
	}
	for _, tt := range tests {
		if got := tt.route.String(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestWords(t *testing.T) {
	tests := []struct{ got, want string }{
		{Unicast.String(), "unicast"}, {Broadcast.String(), "broadcast"},
		{Workload.String(), "workload"}, {Connected.String(), "connected"},
		{Static.String(), "static"}, {Kernel.String(), "kernel"}, {Source(4).String(), "unknown(4)"},
		{None.String(), "none"}, {IPIP.String(), "ipip"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}
