package engine

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/ipv4"
	"github.com/vrouter/vrouter/internal/ipv6"
	"github.com/vrouter/vrouter/internal/neigh"
	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
)

// The numbers in docs/architecture.md are those of the code.
func TestNumbersInDocs(t *testing.T) {
	if math.MaxInt == math.MaxInt32 {
		t.Skip("sizes are those of 64 bits")
	}
	doc, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	const KiB, MiB = 1 << 10, 1 << 20
	seconds := func(d time.Duration) int { return int(d.Seconds()) }
	for _, says := range []string{
		fmt.Sprintf("The headroom is %d bytes", packet.Headroom),
		fmt.Sprintf("virtio header, %d bytes", packet.VnetLen),
		fmt.Sprintf("If a batch makes more than %d of them", scratchMax),
		fmt.Sprintf("one frame in %s of each queue", thousands(sampleEvery)),
		fmt.Sprintf("pages of %d routes (%d KB)", routePage, routePage*unsafe.Sizeof(RouteCount{})/KiB),
		fmt.Sprintf("cost %d MB a worker", unsafe.Sizeof(RouteCount{})),
		fmt.Sprintf("is trusted for %d s", seconds(neigh.ReachableTime)),
		fmt.Sprintf("after %d s, if in use", seconds(neigh.ReachableTime)),
		fmt.Sprintf("kept for another %d s", seconds(neigh.ForgetTime)),
		fmt.Sprintf("| neighbours on all ports, without workloads and other permanent ones | %s |", thousands(neigh.MaxNeighbors)),
		fmt.Sprintf("| neighbours that are being asked for the first time | %s |", thousands(neigh.MaxIncomplete)),
		fmt.Sprintf("| packets that wait for one neighbour | %d |", neigh.MaxQueue),
		fmt.Sprintf("| memory of packets that wait, all neighbours | %d MiB |", neigh.MaxWaitingBytes/MiB),
		fmt.Sprintf("| records of packets that wait, for a neighbour or other fragments, while somebody traces | %s, %.1f MiB |", thousands(trace.MaxHeld), float64(trace.MaxHeld*trace.RecordSize)/MiB),
		fmt.Sprintf("| packets that are stopped | %d, for %d s;", MaxStopped, seconds(MaxStopTime)),
		fmt.Sprintf("| ARP requests for one target | %d a second, %d tries |", time.Second/neigh.RetransTime, neigh.Tries),
		fmt.Sprintf("| ICMP errors about what comes in by one port | %s a second, bursts of %d |", thousands(icmpRate), icmpBurst),
		fmt.Sprintf("| length of an ICMP error | %d bytes |", ipv4.ErrorMax),
		fmt.Sprintf("| extension headers of an IPv6 packet | %d |", packet.MaxExtensions),
		fmt.Sprintf("of IPv6 %s; the quote is cut", thousands(ipv6.ErrorMax)),
		fmt.Sprintf("| datagrams being put together | %d |", MaxReassemblies),
		fmt.Sprintf("| time for a datagram's fragments | %d s |", seconds(ReassemblyTimeout)),
		fmt.Sprintf("| memory of fragments that wait | %d MiB |", MaxReassemblyBytes/MiB),
		fmt.Sprintf("| fragments of one datagram | %d kept |", maxFragments),
		fmt.Sprintf("| frames that the router makes in one batch | %d,", scratchMax),
		fmt.Sprintf("a worker keeps %s, none of more than %d KB", thousands(2*scratchMax), forwarder.ScratchKept/KiB),
		fmt.Sprintf("in the last %d to %d s", seconds(identEpoch), seconds(2*identEpoch)),
		fmt.Sprintf("of a new key each %d s", seconds(identEpoch)),
		fmt.Sprintf("has lately had no more than %d.", forwarder.FewNumbers),
		fmt.Sprintf("| errors about a tunnel that quote what was not lately sent | %d, and %d a second |", guessBurst, guessRate),
		fmt.Sprintf("a budget of each tunnel, %d and %d a second", guessBurst, guessRate),
		fmt.Sprintf("is forgotten after %s minutes. After %s,", map[int]string{10: "ten"}[int(PathMTUTime.Minutes())], map[int]string{5: "five"}[int(ProbeAfter.Minutes())]),
		fmt.Sprintf("within %d s, the path MTU is forgotten", seconds(ProbeTime)),
		fmt.Sprintf("| ways that are told apart at one queue | %d |", MaxWays),
		fmt.Sprintf("announces it, once in %d s of each port", seconds(DefendInterval)),
		fmt.Sprintf("| one in %d s of each port |", seconds(DefendInterval)),
	} {
		if !strings.Contains(string(doc), says) {
			t.Errorf("docs/architecture.md does not say %q", says)
		}
	}
}

// thousands is a number with a comma.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
