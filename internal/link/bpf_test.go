package link

import (
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
	arp := packet.FrameOf(make([]byte, packet.EthernetLen+packet.ARPLen))
	arp.SetEthernet(packet.Broadcast, packet.MAC{2}, packet.EtherTypeARP)
	for name, c := range map[string]struct {
		frame []byte
		seen  bool
	}{
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
		"too short for IPv4":            {ipv4("192.168.0.11", packet.ProtocolTCP, 0, 0)[:20], true},
	} {
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
				vm, err := bpf.NewVM(asFor(ownTraffic(own), as.direction, as.tagged, as.tag))
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
