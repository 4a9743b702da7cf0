package sketch

import (
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
)

// Frame builds the packet, between two stations.
func (p *Packet) Frame(src, dst packet.MAC) (*packet.Frame, error) {
	if p.ARP {
		return p.arp(src), nil
	}
	ip := &layers.IPv4{
		Version: 4, IHL: 5, TTL: uint8(p.TTL), TOS: uint8(p.TOS), Id: uint16(p.ID), FragOffset: uint16(p.Offset / 8),
		Protocol: layers.IPProtocol(p.Protocol), SrcIP: p.Src.AsSlice(), DstIP: p.Dst.AsSlice(),
	}
	if p.DF {
		ip.Flags |= layers.IPv4DontFragment
	}
	if p.MF {
		ip.Flags |= layers.IPv4MoreFragments
	}
	stack := []gopacket.SerializableLayer{ip}
	if p.Offset == 0 {
		stack = append(stack, p.transport(ip)...)
	}
	stack = append(stack, gopacket.Payload(make([]byte, max(0, p.Length-p.headers()))))
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		return nil, fmt.Errorf("building the packet: %w", err)
	}
	f := packet.FrameOf(append(make([]byte, packet.EthernetLen), buf.Bytes()...))
	f.SetEthernet(dst, src, packet.EtherTypeIPv4)
	return f, nil
}

func (p *Packet) transport(ip *layers.IPv4) []gopacket.SerializableLayer {
	switch ip.Protocol {
	case layers.IPProtocolICMPv4:
		return []gopacket.SerializableLayer{&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 1, Seq: 1}}
	case layers.IPProtocolTCP:
		tcp := &layers.TCP{SrcPort: layers.TCPPort(p.SrcPort), DstPort: layers.TCPPort(p.DstPort), SYN: true, Window: 65535}
		_ = tcp.SetNetworkLayerForChecksum(ip) // an IPv4 layer is always taken
		return []gopacket.SerializableLayer{tcp}
	case layers.IPProtocolUDP:
		udp := &layers.UDP{SrcPort: layers.UDPPort(p.SrcPort), DstPort: layers.UDPPort(p.DstPort)}
		_ = udp.SetNetworkLayerForChecksum(ip)
		return []gopacket.SerializableLayer{udp}
	}
	return nil
}

func (p *Packet) arp(src packet.MAC) *packet.Frame {
	f := packet.FrameOf(make([]byte, packet.EthernetLen+packet.ARPLen))
	f.SetEthernet(packet.Broadcast, src, packet.EtherTypeARP)
	m := packet.ARPMessage{Op: packet.ARPRequest, SenderMAC: src, SenderIP: p.Src, TargetIP: p.Dst}
	m.Put(f.Payload())
	return f
}
