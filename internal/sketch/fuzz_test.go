package sketch

import (
	"strings"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
)

// FuzzParse holds the one-line packet to its promise for any text: a packet that can be
// built, or an error in one line.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "icmp 10.70.1.1 > 10.70.2.1 ttl 1", "udp 10.70.1.1:53 > 10.70.2.1:40000 length 1500 df", "tcp 10.70.1.1:1 > 10.70.2.1:65536",
		"arp 169.254.1.1 10.70.1.1", "icmp 10.70.1.1 >", "icmp 10.70.1.1 > 10.70.2.1 length 99999999999999999999", "\xff > \x00",
		"icmp6 fd00:70:1::1 > fd00:70:2::1 hlim 1", "udp [fd00::1]:53 > [fd00::2]:40000 length 1500 id 7 offset 8 mf", "nd who has fe80::1 tell ::", "tcp [::1 > ::]:",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		p, err := Parse(line)
		if err == nil && p == nil {
			t.Fatal("neither a packet nor an error")
		}
		if err != nil && strings.Contains(err.Error(), "\n") && !strings.Contains(line, "\n") {
			t.Fatalf("an error of more than a line: %q", err)
		}
		if err == nil {
			if _, err := p.Frame(packet.MAC{2}, packet.MAC{2}); err != nil {
				t.Fatalf("%q cannot be built: %v", line, err)
			}
		}
	})
}
