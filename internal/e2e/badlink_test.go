package e2e

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vrouter/vrouter/internal/impair"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/soak"
)

const theLink = "192.168.0.0/24"

// linkState is what `lab link` says of the only one.
func linkState(t *testing.T) lab.LinkStatus {
	t.Helper()
	list := decode[[]lab.LinkStatus](t, vrouter(t, "lab", "link", "-o", "json").wantOK(t))
	if len(list) != 1 || list[0].Subnet != theLink {
		t.Fatalf("links %+v", list)
	}
	return list[0]
}

func changeLink(t *testing.T, words string) {
	t.Helper()
	vrouter(t, append([]string{"lab", "link", theLink}, strings.Fields(words)...)...).wantOK(t)
}

// counted waits until the link has counted so many frames more than before, all of which
// have found their end.
func counted(t *testing.T, before impair.Counts, sent uint64) (grown impair.Counts) {
	t.Helper()
	eventually(t, "the link has counted all", func() bool {
		c := linkState(t).Counts
		grown = impair.Counts{Sent: c.Sent - before.Sent, Delivered: c.Delivered - before.Delivered, Lost: c.Lost - before.Lost,
			Overflow: c.Overflow - before.Overflow, Duplicated: c.Duplicated - before.Duplicated,
			Corrupted: c.Corrupted - before.Corrupted, Reordered: c.Reordered - before.Reordered}
		return grown.Sent >= sent && grown.Delivered == grown.Sent+grown.Duplicated-grown.Lost-grown.Overflow
	})
	return grown
}

// crossing is a second of numbered datagrams from the first host's workload to the
// second's, and what the link and the second router did with them.
type crossing struct {
	*soak.Datagrams
	sent     uint64 // for which the first workload's port had room: on a busy machine not all
	link     impair.Counts
	router   series // of the second host, what grew
	rejected uint64 // by the receiver's kernel: a wrong checksum
	// By the second host's own stack, and not seen by its router: what came to the host's
	// address, and is no IP-in-IP as its damaged header has another protocol.
	strange uint64
}

func cross(t *testing.T, hosts []host) crossing {
	t.Helper()
	d := &soak.Datagrams{Path: soak.Path{From: hosts[0].ns1, To: hosts[1].ns1, Address: netip.MustParseAddr(there)}, Size: 64, Seed: 1}
	if err := d.Open(); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	go d.Receive()
	first, link, router, kernel := scrape(t, hosts[0].ns), linkState(t).Counts, scrape(t, hosts[1].ns), kernelOf(t, hosts[1].ns1)
	strange := badHeaders(t, hosts[1].ns)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := d.Send(ctx); err != nil {
		t.Fatal(err)
	}
	lost := scrape(t, hosts[0].ns).since(first)[key("port_receive_lost_packets_total", `port="ns1"`)]
	c := crossing{Datagrams: d, sent: d.Sent.Load() - uint64(lost)}
	c.link = counted(t, link, c.sent)
	eventually(t, "the receiver has all that the second router sent", func() bool {
		c.router = scrape(t, hosts[1].ns).since(router)
		c.rejected = kernelOf(t, hosts[1].ns1).unread - kernel.unread
		c.strange = badHeaders(t, hosts[1].ns) - strange
		return c.router[key("port_receive_packets_total", `port="ens160"`)] == float64(c.link.Delivered-c.strange) &&
			c.router[key("port_transmit_packets_total", `port="ns1"`)] == float64(d.Received.Load()+c.rejected)
	})
	return c
}

// dropped adds up the second router's drops, all of which have to begin so.
func (c *crossing) dropped(t *testing.T, reason string) (sum uint64) {
	t.Helper()
	for _, k := range c.router.labels("drop_packets_total{") {
		if sum += uint64(c.router[k]); !strings.Contains(k, `reason="`+reason) {
			t.Errorf("%s grew by %v", k, c.router[k])
		}
	}
	return sum
}

// What a link loses, doubles, reorders and damages, and nothing else, is missing, double,
// behind and dropped: the routers lose nothing themselves, plain and in IP-in-IP, and pass
// no damaged header on. The link is changed while it is up.
func TestBadLink(t *testing.T) {
	for name, more := range map[string]string{"plain": "", "ipip": "    ipip: {mode: always}\n"} {
		t.Run(name, func(t *testing.T) {
			hosts := labUp(t, twoHosts(more)+"links: {delay: 0ms, seed: 7}\n")
			wantEcho(t, hosts[0].ns1, there, 62)
			for _, c := range []struct {
				words string
				holds func(c crossing, received uint64) bool
			}{
				{"none", func(c crossing, received uint64) bool { return received == c.sent && c.Behind.Load() == 0 }},
				{"loss 5%", func(c crossing, received uint64) bool {
					return c.link.Lost > 0 && received == c.sent-c.link.Lost && c.Behind.Load() == 0
				}},
				{"duplicate 10%", func(c crossing, received uint64) bool {
					return c.link.Duplicated > 0 && received == c.sent+c.link.Duplicated && c.Behind.Load() == c.link.Duplicated
				}},
				{"delay 20ms reorder 5% limit 10000", func(c crossing, received uint64) bool { // with the default a busy machine's link overflows
					return received == c.sent && c.link.Reordered > 0 && c.Behind.Load() >= c.link.Reordered
				}},
				{"corrupt 20%", func(c crossing, received uint64) bool {
					bad := c.dropped(t, "ip") // ip_bad_checksum and its like, and ipip_bad_inner
					return bad > 0 && c.rejected > 0 && bad+c.rejected+c.strange == c.link.Corrupted && received == c.sent-c.link.Corrupted
				}},
			} {
				changeLink(t, c.words)
				x := cross(t, hosts)
				told := linkState(t)
				t.Logf("%s: %d sent, %d received, %d behind, %d rejected by the receiver, %d strange to the router; link %+v", told.Impairment, x.sent, x.Received.Load(), x.Behind.Load(), x.rejected, x.strange, x.link)
				if want := strings.Replace(c.words+" seed 7", "none ", "", 1); sorted(told.Impairment) != sorted(want) {
					t.Errorf("the link says %q of itself, want %q", told.Impairment, want)
				}
				if more == "" && x.strange != 0 {
					t.Errorf("%s: the host's own stack got %d packets that the router did not", c.words, x.strange)
				}
				if x.link.Sent != x.sent || x.link.Overflow != 0 {
					t.Errorf("%s: of %d datagrams, the link had %+v", c.words, x.sent, x.link)
				}
				if !c.holds(x, x.Received.Load()) || x.Corrupt.Load() != 0 {
					t.Errorf("%s: %d sent, %d received, %d of them corrupt, %d behind; %d rejected by the receiver; link %+v; second router %v",
						c.words, x.sent, x.Received.Load(), x.Corrupt.Load(), x.Behind.Load(), x.rejected, x.link, x.router)
				}
			}
		})
	}
}

// TCP gets across all of it at once, and a transfer arrives as it was sent.
func TestTransferOverABadLink(t *testing.T) {
	hosts := labUp(t, twoHosts("")+"links: {loss: 5%, delay: 2ms±1ms, reorder: 2%, duplicate: 2%, corrupt: 0.5%, seed: 7}\n")
	eventually(t, "a ping gets across", func() bool { return echo(t, hosts[0].ns1, there, 100*time.Millisecond) == 62 })
	a, b := connect(t, hosts[0].ns1, hosts[1].ns1, there)
	exchange(t, a, b, 2<<20)
	if c := linkState(t).Counts; c.Lost == 0 || c.Duplicated == 0 || c.Corrupted == 0 || c.Reordered == 0 {
		t.Errorf("the link was not that bad: %+v", c)
	}
	for _, h := range hosts {
		if n := scrape(t, h.ns)[key("accounting_imbalance_packets")]; n != 0 {
			t.Errorf("%s: the books are out of balance by %v packets", h.Name, n)
		}
	}
}

func TestLabLinkRefuses(t *testing.T) {
	labUp(t, twoHosts("")+"links: {loss: 5%, seed: 7}\n")
	for _, c := range []struct {
		words, want string
		status      int
	}{
		{theLink + " loss 5", `loss: "5" is no share of packets: write it as 5%`, 2},
		{theLink + " loss", "write `none`, or a key and its value", 2},
		{theLink, "write `none`, or a key and its value", 2},
		{theLink + " speed 5", `there is no "speed": there is loss, delay`, 2},
		{theLink + " reorder 5%", "reorder needs a delay", 2},
		{"192.168.1.0/24 loss 5%", `no impaired link "192.168.1.0/24" in the lab; there is \[192.168.0.0/24\]`, 1},
	} {
		vrouter(t, append([]string{"lab", "link"}, strings.Fields(c.words)...)...).wantError(t, c.status, c.want)
	}
	if s := linkState(t); s.Impairment != "loss 5% seed 7" {
		t.Errorf("after errors the link has %q", s.Impairment)
	}
	changeLink(t, "loss 6% seed 0")
	if s := linkState(t); s.Impairment != "loss 6% seed 7" {
		t.Errorf("with seed 0 the link has %q, not the seed there was", s.Impairment)
	}
}

func TestNoLinkIsImpaired(t *testing.T) {
	labUp(t, "")
	vrouter(t, "lab", "link", theLink, "loss", "5%").wantError(t, 1, "no link of the lab is impaired: give one an impairment in the lab file")
	if out := vrouter(t, "lab", "link", "-o", "json").wantOK(t); strings.TrimSpace(out) != "[]" {
		t.Errorf("links %s", out)
	}
}

// A carrier that was killed carries nothing, is said to have stopped, and is no reason
// for `lab down` to leave anything.
func TestCarrierIsKilled(t *testing.T) {
	hosts := labUp(t, twoHosts("")+"links: {delay: 0ms}\n")
	wantEcho(t, hosts[0].ns1, there, 62)
	if s := linkState(t); !s.Running {
		t.Errorf("link %+v", s)
	}
	l, err := lab.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(l.Links[0].Carrier.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the link has stopped", func() bool { return !linkState(t).Running })
	if out := vrouter(t, "lab", "link").wantOK(t); !hasLine(out, []string{theLink, "stopped", "none"}) {
		t.Errorf("links:\n%s", out)
	}
	vrouter(t, "lab", "link", theLink, "loss", "5%").wantError(t, 1, "its carrier has ended: .*take the lab down and up again")
	if ttl := echo(t, hosts[0].ns1, there, 100*time.Millisecond); ttl != 0 {
		t.Errorf("a reply with ttl %d by a link that nobody carries", ttl)
	}
}

// sorted are the words in order, as an impairment has an order of its own.
func sorted(words string) string {
	f := strings.Fields(words)
	slices.Sort(f)
	return strings.Join(f, " ")
}
