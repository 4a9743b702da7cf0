// Package soak makes traffic that tells by itself what became of it: each datagram has a
// number and a checksum of its own, each TCP stream a running hash, each echo request
// contents that its reply has to bring back. What it sends follows from a seed.
package soak

import (
	"context"
	"hash/crc32"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/vrouter/vrouter/internal/workload"
)

// Path is from one workload to another.
type Path struct {
	From, To workload.Namespace
	Address  netip.Addr // of To
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pause sleeps between nothing and twice the mean, and says whether to go on.
func pause(ctx context.Context, random *rand.Rand, mean time.Duration) bool {
	select {
	case <-time.After(time.Duration(random.Int64N(int64(2 * mean)))):
		return true
	case <-ctx.Done():
		return false
	}
}

// numbers are a source of their own for each number below one seed.
func numbers(seed, which uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, which)) }
