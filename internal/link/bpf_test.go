package link

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/packet"
)

// asFor writes into a program what the library's virtual machine does not know of a
// frame: its direction, and its VLAN tag.
func asFor(program []bpf.Instruction, direction, tagged, tag uint32) []bpf.Instruction {
	for i, instruction := range program {
		switch instruction {
		case bpf.LoadExtension{Num: bpf.ExtType}:
			program[i] = bpf.LoadConstant{Dst: bpf.RegA, Val: direction}
		case bpf.LoadExtension{Num: bpf.ExtVLANTagPresent}:
			program[i] = bpf.LoadConstant{Dst: bpf.RegA, Val: tagged}
		case bpf.LoadExtension{Num: bpf.ExtVLANTag}:
			program[i] = bpf.LoadConstant{Dst: bpf.RegA, Val: tag}
		}
	}
	return program
}

func TestOwnTraffic(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("192.168.0.11"), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("172.17.0.1")}
	ipv4 := func(dst string, protocol, icmpType byte, options int) []byte {
		f := packet.FrameOf(make([]byte, packet.EthernetLen+packet.IPv4MinLen+options+8))
		f.SetEthernet(packet.MAC{2}, packet.MAC{2, 1}, packet.EtherTypeIPv4)
		packet.PutIPv4(f.Payload(), &packet.Header{TotalLen: f.Len - packet.EthernetLen, TTL: 9, Protocol: protocol,
			Src: netip.MustParseAddr("192.168.0.12"), Dst: netip.MustParseAddr(dst)})
		f.Payload()[0] += byte(options / 4)
		f.Payload()[packet.IPv4MinLen+options] = icmpType
		return f.Bytes()
	}
	own = append(own, netip.MustParseAddr("fd00:192::11"), netip.MustParseAddr("fe80::5054:ff:fe00:b"))
	ipv6 := func(dst string, next byte, inside ...byte) []byte {
		f := packet.FrameOf(make([]byte, packet.EthernetLen+packet.IPv6MinLen+len(inside)))
		f.SetEthernet(packet.MAC{2}, packet.MAC{2, 1}, packet.EtherTypeIPv6)
		packet.PutIPv6(f.Payload(), &packet.Header6{PayloadLen: len(inside), HopLimit: 9, NextHeader: next,
			Src: netip.MustParseAddr("fd00:192::12"), Dst: netip.MustParseAddr(dst)})
		copy(f.Payload()[packet.IPv6MinLen:], inside)
		return f.Bytes()
	}
	const host6, near = "fd00:192::11", "fe80::5054:ff:fe00:b"
	arp := packet.FrameOf(make([]byte, packet.EthernetLen+packet.ARPLen))
	arp.SetEthernet(packet.Broadcast, packet.MAC{2}, packet.EtherTypeARP)
	udp := func(frame []byte, at int, port, field uint16) []byte { // field: of IPv4's fragment
		binary.BigEndian.PutUint16(frame[at+2:], port)
		if field != 0 {
			binary.BigEndian.PutUint16(frame[packet.EthernetLen+6:], field)
		}
		return frame
	}
	four, six := packet.EthernetLen+packet.IPv4MinLen, packet.EthernetLen+packet.IPv6MinLen
	type what struct {
		frame []byte
		seen  bool
	}
	cases := map[string]what{
		"transit":                       {ipv4("10.70.1.1", packet.ProtocolTCP, 0, 0), true},
		"transit, echo":                 {ipv4("10.70.1.1", packet.ProtocolICMP, packet.ICMPEchoRequest, 0), true},
		"TCP to the host":               {ipv4("192.168.0.11", packet.ProtocolTCP, 0, 0), false},
		"TCP to another of its":         {ipv4("10.0.0.1", packet.ProtocolTCP, 0, 0), false},
		"TCP to the last of its":        {ipv4("172.17.0.1", packet.ProtocolTCP, 0, 0), false},
		"echo to the host":              {ipv4("192.168.0.11", packet.ProtocolICMP, packet.ICMPEchoRequest, 0), false},
		"IP-in-IP to the host":          {ipv4("192.168.0.11", packet.ProtocolIPIP, 0, 0), true},
		"unreachable to the host":       {ipv4("192.168.0.11", packet.ProtocolICMP, packet.ICMPUnreachable, 0), true},
		"unreachable, behind options":   {ipv4("172.17.0.1", packet.ProtocolICMP, packet.ICMPUnreachable, 8), true},
		"echo, behind options":          {ipv4("172.17.0.1", packet.ProtocolICMP, packet.ICMPEchoRequest, 8), false},
		"time exceeded to the host":     {ipv4("192.168.0.11", packet.ProtocolICMP, packet.ICMPTimeExceeded, 0), true},
		"parameter problem to the host": {ipv4("10.0.0.1", packet.ProtocolICMP, packet.ICMPParameterProblem, 0), true},
		"ARP":                           {arp.Bytes(), true},
		"IPv6 in IPv4 to the host":      {ipv4("192.168.0.11", packet.ProtocolIPv6, 0, 0), true},

		"IPv6, transit":                       {ipv6("fd00:70:1::1", packet.ProtocolTCP, 0), true},
		"IPv6, transit, like an own one":      {ipv6("fd00:193::11", packet.ProtocolTCP, 0), true},
		"IPv6, transit, like another":         {ipv6("fd00:192::12", packet.ProtocolTCP, 0), true},
		"IPv6, to a group":                    {ipv6("ff02::1:ff00:11", packet.ProtocolICMPv6, packet.ICMPv6NeighborSolicitation), true},
		"IPv6, TCP to the host":               {ipv6(host6, packet.ProtocolTCP, 0), false},
		"IPv6, TCP to its link-local":         {ipv6(near, packet.ProtocolTCP, 0), false},
		"IPv6, nothing to the host":           {ipv6(host6, packet.NoNextHeader), false},
		"IPv6, echo to the host":              {ipv6(host6, packet.ProtocolICMPv6, packet.ICMPv6EchoRequest), false},
		"IPv6, router advertisement to it":    {ipv6(near, packet.ProtocolICMPv6, packet.ICMPv6RouterAdvertisement), false},
		"IPv6, redirect to it":                {ipv6(near, packet.ProtocolICMPv6, packet.ICMPv6Redirect), false},
		"IPv6, solicitation to it":            {ipv6(host6, packet.ProtocolICMPv6, packet.ICMPv6NeighborSolicitation), true},
		"IPv6, advertisement to it":           {ipv6(near, packet.ProtocolICMPv6, packet.ICMPv6NeighborAdvertisement), true},
		"IPv6, unreachable to the host":       {ipv6(host6, packet.ProtocolICMPv6, packet.ICMPv6Unreachable), true},
		"IPv6, too big to the host":           {ipv6(host6, packet.ProtocolICMPv6, packet.ICMPv6PacketTooBig), true},
		"IPv6, time exceeded to the host":     {ipv6(host6, packet.ProtocolICMPv6, packet.ICMPv6TimeExceeded), true},
		"IPv6, parameter problem to the host": {ipv6(host6, packet.ProtocolICMPv6, packet.ICMPv6ParameterProblem), true},
		"IPv6, an error that nobody knows":    {ipv6(host6, packet.ProtocolICMPv6, 5), false},
		"IPv4 in IPv6 to the host":            {ipv6(host6, packet.ProtocolIPIP, 0x45), true},
		"IPv6 in IPv6 to the host":            {ipv6(host6, packet.ProtocolIPv6, 0x60), true},
		"the same, behind a limit":            {ipv6(host6, packet.HeaderDestination, packet.ProtocolIPv6, 0, 4, 1, 4, 1, 1, 0), true},
		"the same, in a fragment":             {ipv6(host6, packet.HeaderFragment, packet.ProtocolIPIP, 0, 0, 1, 0, 0, 0, 0), true},
		"the same, in one behind a limit":     {ipv6(host6, packet.HeaderFragment, packet.HeaderDestination, 0, 0, 1, 0, 0, 0, 0), true},
		"IPv6, another fragment to the host":  {ipv6(host6, packet.HeaderFragment, packet.ProtocolUDP, 0, 0, 1, 0, 0, 0, 0), false},
		"IPv6, options and UDP to the host":   {ipv6(host6, packet.HeaderDestination, packet.ProtocolUDP, 0, 1, 4, 0, 0, 0, 0), false},
		"IPv6 in a tunnel to another host":    {ipv6("fd00:192::12", packet.ProtocolIPv6, 0x60), true},
		"too short for IPv6":                  {ipv6(host6, packet.ProtocolTCP)[:53], true},
		"too short for IPv4":                  {ipv4("192.168.0.11", packet.ProtocolTCP, 0, 0)[:20], true},
		"VXLAN to the host":                   {udp(ipv4("192.168.0.11", packet.ProtocolUDP, 0, 0), four, 4789, 0), false},
		"VXLAN, transit":                      {udp(ipv4("10.70.1.1", packet.ProtocolUDP, 0, 0), four, 4789, 0), true},
	}
	each := func(t *testing.T, vxlan uint16, cases map[string]what) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				for _, as := range []struct {
					direction, tagged, tag uint32
					seen                   bool
				}{
					{unix.PACKET_HOST, 0, 0, c.seen}, {unix.PACKET_BROADCAST, 0, 0, c.seen}, {unix.PACKET_OTHERHOST, 0, 0, c.seen},
					{unix.PACKET_OUTGOING, 0, 0, false}, {unix.PACKET_HOST, 1, 1, false}, {unix.PACKET_HOST, 1, 0xffff, false},
					{unix.PACKET_HOST, 1, 0, c.seen}, {unix.PACKET_HOST, 1, 0xf000, c.seen}, {unix.PACKET_OUTGOING, 1, 0, false},
					{unix.PACKET_HOST, 0, 1, c.seen}, // what an older kernel has left of a tag
				} {
					vm, err := bpf.NewVM(asFor(ownTraffic(own, vxlan), as.direction, as.tagged, as.tag))
					if err != nil {
						t.Fatal(err)
					}
					n, err := vm.Run(c.frame)
					if err != nil {
						t.Fatal(err)
					}
					if (n > 0) != as.seen {
						t.Errorf("as %+v the router sees it: %t", as, n > 0)
					}
				}
			})
		}
	}
	each(t, 0, cases)
	// Where the router speaks VXLAN, its port is not the host's, nor are fragments that may be of it.
	for name, seen := range map[string]what{
		"VXLAN to the host":                  {cases["VXLAN to the host"].frame, true},
		"VXLAN to the host, behind options":  {udp(ipv4("172.17.0.1", packet.ProtocolUDP, 0, 8), four+8, 4789, 0), true},
		"UDP to the host":                    {udp(ipv4("10.0.0.1", packet.ProtocolUDP, 0, 0), four, 53, 0), false},
		"UDP, a first fragment":              {udp(ipv4("192.168.0.11", packet.ProtocolUDP, 0, 0), four, 53, 0x2000), true},
		"UDP, a last fragment":               {udp(ipv4("192.168.0.11", packet.ProtocolUDP, 0, 0), four, 53, 185), true},
		"UDP, not to be cut":                 {udp(ipv4("192.168.0.11", packet.ProtocolUDP, 0, 0), four, 53, 0x4000), false},
		"IPv6, another fragment to the host": {cases["IPv6, another fragment to the host"].frame, true},
		"IPv6, options and UDP to the host":  {cases["IPv6, options and UDP to the host"].frame, true},
		"IPv6, a fragment of TCP":            {ipv6(host6, packet.HeaderFragment, packet.ProtocolTCP, 0, 0, 1, 0, 0, 0, 0), false},
		"IPv6, VXLAN to the host":            {udp(ipv6(host6, packet.ProtocolUDP, make([]byte, 8)...), six, 4789, 0), true},
		"IPv6, UDP to the host":              {udp(ipv6(host6, packet.ProtocolUDP, make([]byte, 8)...), six, 53, 0), false},
	} {
		cases[name] = seen
	}
	each(t, packet.VXLANPort, cases)
}

// The filter takes as many addresses as it says, of each family.
func TestOwnTrafficTakesAll(t *testing.T) {
	var own []netip.Addr
	for i := range maxOwn + 9 {
		own = append(own, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(i >> 8), 15: byte(i)}))
	}
	program := ownTraffic(own, 0)
	if _, err := bpf.Assemble(program); err != nil || len(program) > 4096 {
		t.Errorf("%d instructions, %v", len(program), err)
	}
}

// A router that has nothing of IPv6 leaves all of it to the host.
func TestOwnTrafficWithoutIPv6(t *testing.T) {
	f := packet.FrameOf(make([]byte, 100))
	for etherType, seen := range map[uint16]bool{packet.EtherTypeIPv6: false, packet.EtherTypeARP: true, 0x88cc: true} {
		f.SetEthernet(packet.MAC{2}, packet.MAC{2, 1}, etherType)
		vm, err := bpf.NewVM(asFor(ownTraffic([]netip.Addr{netip.MustParseAddr("10.0.0.1")}, 0), unix.PACKET_HOST, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := vm.Run(f.Bytes()); err != nil || (n > 0) != seen {
			t.Errorf("type %04x is seen: %t, %v", etherType, n > 0, err)
		}
	}
}
