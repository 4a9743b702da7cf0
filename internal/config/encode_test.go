package config

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestYAML(t *testing.T) {
	h := defaults("k8s-master-1")
	h.Workloads = []Workload{{Name: "ns1", Interface: "eth0", Addresses: []netip.Prefix{prefix("10.70.1.1/24")}}}
	h.Workloads = append(h.Workloads, Workload{Name: "ns2", Interface: "eth0", Addresses: []netip.Prefix{prefix("10.70.1.2/24"), prefix("fd00:70:1::2/128")}})
	h.Routes = NewRoutes([]Route{
		{To: prefix("fd00:70:2::1/128"), Via: addr("fe80::1"), Type: RouteUnicast},
		{To: prefix("10.70.2.1/32"), Via: addr("192.168.0.12"), Type: RouteUnicast, Encap: EncapIPIP},
		{To: prefix("10.70.3.1/32"), Via: addr("192.168.0.12"), Type: RouteUnicast, Encap: EncapVXLAN},
		{To: prefix("10.70.9.0/24"), Type: RouteBlackhole, Metric: 20, Proto: "bird"},
	})
	h.IPIP.Peers = []netip.Addr{}
	h.VXLAN.Peers = []VTEP{{Address: addr("192.168.0.12")}, {Address: addr("192.168.0.13"), MAC: net.HardwareAddr{0x66, 0, 0, 0, 0, 1}}}
	h.Metrics.Listen = ""
	got, err := h.YAML()
	if err != nil {
		t.Fatal(err)
	}
	const want = `node: k8s-master-1
uplink:
  interface: ens160
workloads:
  - name: ns1
    interface: eth0
    address: 10.70.1.1/24
  - name: ns2
    interface: eth0
    addresses:
      - 10.70.1.2/24
      - fd00:70:1::2/128
routes:
  - to: fd00:70:2::1/128
    via: fe80::1
    type: unicast
  - to: 10.70.2.1/32
    via: 192.168.0.12
    type: unicast
    encap: ipip
  - to: 10.70.3.1/32
    via: 192.168.0.12
    type: unicast
    encap: vxlan
  - to: 10.70.9.0/24
    type: blackhole
    metric: 20
    proto: "bird"
ipip:
  mode: never
  peers: []
vxlan:
  mode: never
  vni: 4096
  port: 4789
  peers:
    - 192.168.0.12
    - address: 192.168.0.13
      mac: 66:00:00:00:00:01
gateway:
  address: 169.254.1.1
  address6: fe80::ecee:eeff:feee:eeee
  mac: ee:ee:ee:ee:ee:ee
kernel:
  export: false
  guard: true
rpf: strict
offload: true
metrics:
  listen: ""
control:
  socket: /run/vrouter/vrouter.sock
log:
  level: info
  format: text
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("wrong file (-want +got):\n%s", diff)
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genHost(t)
		file, err := want.YAML()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse("f.yaml", file)
		if err != nil {
			t.Fatalf("%v in\n%s", err, file)
		}
		if diff := cmp.Diff(want, got, equateNetip); diff != "" {
			t.Fatalf("reading what was written gives something else (-want +got):\n%s\n%s", diff, file)
		}
	})
}

var (
	genName  = rapid.StringMatching(`[A-Za-z0-9_][A-Za-z0-9._-]{0,20}`)
	genIface = rapid.OneOf(rapid.SampledFrom([]string{"eth0", "null", "~", "no", "0x1f", "1e3", "-", "#", "&a", "*a", "!t", "{", "'", `"`, "<<", "é", `\n`}),
		rapid.StringMatching(`[!-$&-.0-9;-~]{3,15}`))
	genPath = rapid.OneOf(rapid.SampledFrom([]string{"/", "/a: b #c", "/ ", "/'\"", "/é", `/\`, "/a:"}),
		rapid.StringMatching(`/[ -~]{0,40}`))
	genBool = rapid.Bool()
)

func genHost(t *rapid.T) *Host {
	h := &Host{
		Node:    genName.Draw(t, "node"),
		Uplink:  Uplink{Interface: genIface.Draw(t, "uplink")},
		IPIP:    genIPIP(t),
		Gateway: Gateway{Address: genAddr(t, 192, 168, 1), Address6: genAddr6(t, "fe80::"), MAC: net.HardwareAddr{2 * rapid.Byte().Draw(t, "mac"), 1, 2, 3, 4, rapid.Byte().Draw(t, "mac")}},
		Kernel:  Kernel{Import: genList(t, rapid.SampledFrom([]string{"static", "bird", "0", "255", "no", "null", "-"})), Guard: genBool.Draw(t, "guard")},
		RPF:     rapid.SampledFrom([]string{RPFStrict, RPFOff}).Draw(t, "rpf"),
		Offload: genBool.Draw(t, "offload"),
		Metrics: Metrics{Listen: rapid.SampledFrom([]string{"", ":0", "[::1]:9473", "localhost:65535"}).Draw(t, "listen")},
		Control: Control{Socket: genPath.Draw(t, "socket"), Group: rapid.SampledFrom([]string{"", "adm", "4"}).Draw(t, "group")},
		Log: Log{
			Level:  rapid.SampledFrom([]string{LogDebug, LogInfo, LogWarn, LogError}).Draw(t, "level"),
			Format: rapid.SampledFrom([]string{LogText, LogJSON}).Draw(t, "format"),
		},
	}
	h.VXLAN = genVXLAN(t, h.IPIP.Mode)
	for i := range rapid.IntRange(0, 3).Draw(t, "workloads") {
		h.Workloads = append(h.Workloads, genWorkload(t, i))
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "routes") {
		h.Routes.append(genRoute(t, i))
	}
	return h
}

func genAddr(t *rapid.T, a, b, c byte) netip.Addr {
	return netip.AddrFrom4([4]byte{a, b, c, rapid.Byte().Draw(t, "address")})
}

func genAddr6(t *rapid.T, prefix string) netip.Addr {
	a := netip.MustParseAddr(prefix).As16()
	a[12], a[15] = rapid.Byte().Draw(t, "address"), rapid.ByteRange(1, 254).Draw(t, "address")
	return netip.AddrFrom16(a)
}

func genIPIP(t *rapid.T) IPIP {
	i := IPIP{Mode: rapid.SampledFrom([]string{ModeNever, ModeAlways, ModeCrossSubnet}).Draw(t, "mode")}
	if genBool.Draw(t, "has source") {
		i.Source = append(i.Source, genAddr(t, 192, 168, 1))
	}
	if genBool.Draw(t, "has source6") {
		i.Source = append(i.Source, genAddr6(t, "fd00:192::"))
	}
	switch rapid.IntRange(0, 2).Draw(t, "peers") {
	case 1:
		i.Peers = []netip.Addr{}
	case 2:
		i.Peers = []netip.Addr{genAddr(t, 192, 168, 2), genAddr(t, 192, 168, 3), genAddr6(t, "fd00:192:2::")}
	}
	return i
}

func genVXLAN(t *rapid.T, ipip string) VXLAN {
	v := VXLAN{Mode: ModeNever, VNI: rapid.IntRange(0, 1<<24-1).Draw(t, "vni"), Port: rapid.IntRange(1, 65535).Draw(t, "port")}
	if ipip == ModeNever {
		v.Mode = rapid.SampledFrom([]string{ModeNever, ModeAlways, ModeCrossSubnet}).Draw(t, "vxlan mode")
	}
	switch rapid.IntRange(0, 2).Draw(t, "vxlan peers") {
	case 1:
		v.Peers = []VTEP{}
	case 2:
		v.Peers = []VTEP{{Address: genAddr(t, 192, 168, 2)}, {Address: genAddr6(t, "fd00:192:2::"), MAC: net.HardwareAddr{2, 1, 2, 3, 4, rapid.Byte().Draw(t, "mac")}}}
	}
	return v
}

func genList(t *rapid.T, of *rapid.Generator[string]) []string {
	var all []string
	for range rapid.IntRange(0, 3).Draw(t, "entries") {
		all = append(all, of.Draw(t, "entry"))
	}
	return all
}

func genWorkload(t *rapid.T, i int) Workload {
	w := Workload{
		Name:      fmt.Sprintf("%d%s", i, rapid.StringMatching(`[A-Za-z0-9._-]{0,20}`).Draw(t, "name")),
		Interface: genIface.Draw(t, "interface"),
	}
	four := netip.PrefixFrom(genAddr(t, 10, 70, byte(i)), rapid.SampledFrom([]int{8, 16, 31, 32}).Draw(t, "length"))
	if four == four.Masked() && four.Bits() < 31 {
		four = netip.PrefixFrom(four.Addr().Next(), four.Bits())
	}
	six := netip.PrefixFrom(genAddr6(t, fmt.Sprintf("fd00:70:%d::", i)), rapid.SampledFrom([]int{1, 64, 127, 128}).Draw(t, "length"))
	w.Addresses = rapid.SampledFrom([][]netip.Prefix{{four}, {six}, {four, six}, {six, four, netip.PrefixFrom(six.Addr().Next(), 128)}}).Draw(t, "addresses")
	if genBool.Draw(t, "has namespace") {
		w.Namespace = fmt.Sprintf("/%d%s", i, genPath.Draw(t, "namespace"))
	}
	if genBool.Draw(t, "has mtu") {
		least := 68
		if w.SpeaksIPv6() {
			least = 1280
		}
		w.MTU = rapid.IntRange(least, 65521).Draw(t, "mtu")
	}
	return w
}

func genRoute(t *rapid.T, metric int) Route {
	r := Route{
		To:     netip.PrefixFrom(genAddr(t, 10, 71, 1), rapid.IntRange(0, 32).Draw(t, "length")).Masked(),
		Type:   rapid.SampledFrom([]string{RouteUnicast, RouteBlackhole, RouteUnreachable, RouteProhibit}).Draw(t, "type"),
		Metric: uint32(metric),
	}
	if genBool.Draw(t, "six") {
		r.To = netip.PrefixFrom(genAddr6(t, "fd00:71::"), rapid.IntRange(1, 128).Draw(t, "length")).Masked()
	}
	if r.Type == RouteUnicast {
		r.Via = rapid.SampledFrom([]netip.Addr{genAddr(t, 192, 168, 4), genAddr6(t, "fd00:192::")}).Draw(t, "via")
		r.Proto = rapid.SampledFrom([]string{"", "bird", "12", "null", "-"}).Draw(t, "proto")
		r.Encap = rapid.SampledFrom([]string{"", EncapNone, EncapIPIP, EncapVXLAN}).Draw(t, "encap")
		if r.To.Addr().Is6() && r.Via.Is4() {
			r.Encap = EncapIPIP
		}
	}
	return r
}
