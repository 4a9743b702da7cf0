package rib

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
)

const million = 1_000_000

// manyRoutes makes n routes to different prefixes, as mixed as a full Internet
// table with host routes on top: three fifths /24, a fifth /32, a fifth shorter.
func manyRoutes(n int) []Route {
	rnd := rand.New(rand.NewPCG(1, 2))
	seen := make(map[netip.Prefix]bool, n)
	routes := make([]Route, 0, n)
	for len(routes) < n {
		p := randomPrefix(rnd)
		if seen[p] {
			continue
		}
		seen[p] = true
		routes = append(routes, Route{
			Prefix: p, Via: netip.AddrFrom4([4]byte{192, 168, 0, byte(len(routes)%200 + 1)}),
			Dev: "ens160", Port: 1, Protocol: "bird", Source: Kernel,
		})
	}
	return routes
}

func randomPrefix(rnd *rand.Rand) netip.Prefix {
	bits := []int{24, 24, 24, 32, 16 + rnd.IntN(8)}[rnd.IntN(5)]
	return netip.PrefixFrom(randomAddr(rnd), bits).Masked()
}

func randomAddr(rnd *rand.Rand) netip.Addr {
	v := rnd.Uint32()
	return netip.AddrFrom4([4]byte{byte(v>>24)%223 + 1, byte(v >> 16), byte(v >> 8), byte(v)})
}

func fullTable(b *testing.B) (*Table, []Route) {
	routes := manyRoutes(million)
	t := NewTable()
	if err := t.SetSource(Kernel, routes); err != nil {
		b.Fatal(err)
	}
	return t, routes
}

func BenchmarkLookup(b *testing.B) {
	t, _ := fullTable(b)
	rnd := rand.New(rand.NewPCG(3, 4))
	addrs := make([]netip.Addr, 1<<16)
	for i := range addrs {
		addrs[i] = randomAddr(rnd)
	}
	f := t.FIB()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		f.Lookup(addrs[i&(len(addrs)-1)])
		i++
	}
}

func BenchmarkReplaceOne(b *testing.B) {
	t, routes := fullTable(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		r := routes[i*7919%len(routes)]
		r.Via = netip.AddrFrom4([4]byte{192, 168, 1, byte(i%200 + 1)})
		if err := t.Replace(r); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkAddDeleteOne(b *testing.B) {
	t, routes := fullTable(b)
	i := 0
	for b.Loop() {
		r := routes[i*7919%len(routes)]
		if err := t.Delete(r.Prefix, Kernel, 0); err != nil {
			b.Fatal(err)
		}
		if err := t.Add(r); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkSetSource1M loads an empty table. heap-MiB is what the table holds,
// the caller's slice not counted.
func BenchmarkSetSource1M(b *testing.B) {
	routes := manyRoutes(million)
	before := heap()
	var t *Table
	for b.Loop() {
		t = NewTable()
		if err := t.SetSource(Kernel, routes); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(heap()-before)/(1<<20), "heap-MiB")
	runtime.KeepAlive(t)
	runtime.KeepAlive(routes)
}

// BenchmarkSetSourceFewOf1M gives the same million again with ten changes.
func BenchmarkSetSourceFewOf1M(b *testing.B) {
	t, routes := fullTable(b)
	i := 0
	for b.Loop() {
		for j := range 10 {
			routes[(i*10+j)*7919%len(routes)].Metric++
		}
		if err := t.SetSource(Kernel, routes); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkSetSourceSmall changes another source's few routes beside a million.
func BenchmarkSetSourceSmall(b *testing.B) {
	t, _ := fullTable(b)
	r := Route{Prefix: netip.MustParsePrefix("192.168.0.0/24"), Dev: "ens160", Source: Connected}
	i := 0
	for b.Loop() {
		r.Port = i % 2
		if err := t.SetSource(Connected, []Route{r}); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkSetSourceBoth loads 100,000 routes of IPv6 beside a million of IPv4.
func BenchmarkSetSourceBoth(b *testing.B) {
	routes := append(manyRoutes(million), manyRoutes6(million/10)...)
	before := heap()
	var t *Table
	for b.Loop() {
		t = NewTable()
		if err := t.SetSource(Kernel, routes); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(heap()-before)/(1<<20), "heap-MiB")
	runtime.KeepAlive(t)
	runtime.KeepAlive(routes)
}

// manyRoutes6 makes n routes as the Internet has them, with host routes: half /48, a fifth
// /32, a fifth /128, some between, under some thousand networks.
func manyRoutes6(n int) []Route {
	rnd := rand.New(rand.NewPCG(5, 6))
	seen := make(map[netip.Prefix]bool, n)
	routes := make([]Route, 0, n)
	for len(routes) < n {
		bits := []int{48, 48, 48, 48, 48, 32, 32, 128, 128, 33 + rnd.IntN(31)}[rnd.IntN(10)]
		a := [16]byte{0: 0x20 + byte(rnd.IntN(8)), 1: byte(rnd.IntN(20)), 2: byte(rnd.IntN(256)), 3: byte(rnd.IntN(256))}
		for i := 4; i < 16; i++ {
			a[i] = byte(rnd.IntN(256))
		}
		p := netip.PrefixFrom(netip.AddrFrom16(a), bits).Masked()
		if seen[p] {
			continue
		}
		seen[p] = true
		routes = append(routes, Route{
			Prefix: p, Via: netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: byte(len(routes)%200 + 1)}),
			Dev: "ens160", Port: 1, Protocol: "bird", Source: Kernel,
		})
	}
	return routes
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
