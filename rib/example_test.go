package rib_test

import (
	"fmt"
	"net/netip"

	"github.com/vrouter/vrouter/rib"
)

// The longest prefix wins; what loses is kept.
func Example() {
	table := rib.NewTable()
	for to, via := range map[string]string{"10.70.0.0/16": "192.168.0.12", "10.70.2.0/24": "192.168.0.13"} {
		if err := table.Add(rib.Route{
			Prefix: netip.MustParsePrefix(to), Via: netip.MustParseAddr(via), Dev: "ens160", Protocol: "static", Source: rib.Static,
		}); err != nil {
			fmt.Println(err)
		}
	}
	fib := table.FIB() // never changes: who reads it is not disturbed by who writes
	fmt.Println(fib.Lookup(netip.MustParseAddr("10.70.2.1")))
	fmt.Println(fib.Lookup(netip.MustParseAddr("10.70.9.1")))
	fmt.Println(fib.Lookup(netip.MustParseAddr("10.99.0.1")) == nil)
	// Output:
	// 10.70.2.0/24 via 192.168.0.13 dev ens160 proto static
	// 10.70.0.0/16 via 192.168.0.12 dev ens160 proto static
	// true
}
