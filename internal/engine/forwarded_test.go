package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vrouter/vrouter/internal/trace"
)

// passed are the recorded packets that were sent on, in text.
func (b *bed) passed() (all []string) {
	for _, r := range b.router.Trace().Forwarded() {
		all = append(all, text(b.t, []trace.Packet{r.View("k8s-master-1")}))
	}
	return all
}

// The first packet of each way is recorded though nobody listens, and then one a second. The numbers are no trace's.
func TestForwardedAreRecorded(t *testing.T) { inTime(t, "recorded", forwardedAreRecorded) }

func forwardedAreRecorded(b *bed) {
	t := b.t
	b.resolve()
	tunnel(b)
	for range 3 {
		b.ns1.Send(ping(farIP), ping(tunnelIP))
	}
	want := []string{`#1 k8s-master-1  ns1 > ens160  icmp echo request 10.70.1.1 > 10.70.2.1 id 41 seq 1  38 bytes
  rx     pass  ns1
  check  pass
  route  pass  10.70.2.1/32 via 192.168.0.12 dev ens160 proto static
  ttl    edit                                                               RFC 1812 5.3.1
  neigh  edit  192.168.0.12 is 02:00:00:00:00:0c                            RFC 826, RFC 1122 2.3.2
  tx     pass  ens160
  forwarded
`, `#2 k8s-master-1  ns1 > ens160  ipip 192.168.0.11 > 192.168.0.12 / icmp echo request 10.70.1.1 > 10.70.3.1 id 41 seq 1  58 bytes
  rx     pass  ns1
  check  pass
  route  pass  10.70.3.0/24 via 192.168.0.12 dev ens160 proto static encap ipip
  ttl    edit                                                               RFC 1812 5.3.1
  encap  edit                                                               RFC 2003 3.1
  neigh  edit  192.168.0.12 is 02:00:00:00:00:0c                            RFC 826, RFC 1122 2.3.2
  tx     pass  ens160
  forwarded
`}
	if d := cmp.Diff(want, b.passed()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	b.ns1.Send(withTTL(ping(farIP), 1))
	if kept := b.kept(false); len(kept) != 1 || !strings.HasPrefix(kept[0], "#1 ") {
		t.Errorf("a drop is not the first number: %q", kept)
	}
	for range 50 { // 5 s
		b.ns1.Send(ping(farIP), ping(farIP))
		pass(100 * time.Millisecond)
	}
	if n := len(b.passed()); n < 2+4 || n > 2+6 {
		t.Errorf("%d records after 5 s more of one way, want one a second", n)
	}
	b.waysAre(map[string]uint64{
		"rx > consumed at arp": 1, "rx > check > route > ttl > neigh > tx": 103, "rx > check > route > ttl > encap > neigh > tx": 3,
		"rx > check > route > dropped at ttl (ttl_exceeded)": 1,
	})
}

// One that waited for its next hop is recorded as well: it is the first ping.
func TestForwardedAfterWaitingAreRecorded(t *testing.T) {
	inTime(t, "waited", func(b *bed) {
		b.ns1.Send(ping(farIP))
		b.reply(peerMAC)
		if got := b.passed(); len(got) != 1 || !strings.Contains(got[0], "ns1 > ens160") {
			b.t.Errorf("recorded %q", got)
		}
	})
}

// However many ways there are, so many records are made in a second, and so many are kept.
func TestRecordedForwardedAreLimited(t *testing.T) {
	inTime(t, "limited", func(b *bed) {
		b.ns2.Send(withSrc(ping(ns1IP), ns2IP)) // once, long ago
		for range trace.MaxForwarded + 10 {
			b.ns1.Send(ping(ns2IP))
			pass(time.Second)
		}
		list := b.router.Trace().Forwarded()
		if len(list) != trace.MaxForwarded || list[0].In != "ns2" {
			b.t.Errorf("%d are kept, the first of %s; want %d, and the last one of each way longest", len(list), list[0].In, trace.MaxForwarded)
		}
		made := 0
		for range trace.ForwardedASecond + 5 {
			if _, ok := b.router.Trace().NextForwarded(); ok {
				made++
			}
		}
		if made > trace.ForwardedASecond {
			b.t.Errorf("%d in one second", made)
		}
	})
}

// One that somebody traces is kept with its times.
func TestTracedForwardedIsRecordedWithItsTimes(t *testing.T) {
	b := newBed(t)
	b.resolve()
	l := b.listen(trace.Options{}, "icmp")
	b.ns1.Send(ping(farIP))
	want := strings.SplitN(text(t, records(l)[:1]), " ", 2)[1]
	if got := b.passed(); len(got) != 1 || got[0] != fmt.Sprint("#1 ", want) || !strings.Contains(want, "µs") {
		t.Errorf("kept %q, want %q", got, want)
	}
}

// What is recalled has the frame as it left alone: what it went into is read there, what it came in is not known any more.
func TestForwardedByVXLANAreRecorded(t *testing.T) {
	inTime(t, "both ways", func(b *bed) {
		k := tunnelKinds[3]
		b.resolve()
		dual(b)
		k.setup(b)
		b.ns1.Send(ping(tunnelIP))
		b.uplink.Send(k.around(peerIP, hostIP, fromPeer(), 0))
		got := strings.Join(b.passed(), "")
		for _, line := range []string{"  encap  edit " + strings.Repeat(" ", 62) + "RFC 7348 5\n", "  decap  edit\n"} {
			if !strings.Contains(got, line) {
				t.Errorf("no %q in\n%s", line, got)
			}
		}
	})
}
