package arpproxy_test

import (
	"fmt"
	"net/netip"

	"github.com/vrouter/vrouter/arpproxy"
)

// A workload asks for its gateway, which no interface has.
func Example() {
	ask := arpproxy.Message{
		Op: arpproxy.Request, SenderMAC: arpproxy.MAC{2, 0, 0, 0, 1, 1},
		SenderIP: netip.MustParseAddr("10.70.1.1"), TargetIP: netip.MustParseAddr("169.254.1.1"),
	}
	answer := arpproxy.Decide(&ask, arpproxy.Facts{Gateway: netip.MustParseAddr("169.254.1.1")})
	var f arpproxy.Frame
	arpproxy.PutReply(&f, &ask, arpproxy.MAC{0xee, 0xee, 0xee, 0xee, 0xee, 0xee})
	reply, _ := arpproxy.Parse(f.Payload())
	fmt.Println(answer, reply.SenderIP, "is at", reply.SenderMAC)
	// Output: gateway 169.254.1.1 is at ee:ee:ee:ee:ee:ee
}
