package sketch

import (
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
)

// Frame builds the packet, between two stations.
func (p *Packet) Frame(src, dst packet.MAC) (*packet.Frame, error) {
	switch {
	case p.ARP:
		return p.arp(src), nil
	case p.ND:
		return p.nd(src), nil
	}
	header, pseudo := p.ipv4, gopacket.NetworkLayer(&layers.IPv4{Protocol: layers.IPProtocol(p.Protocol), SrcIP: p.Src.AsSlice(), DstIP: p.Dst.AsSlice()})
	etherType := uint16(packet.EtherTypeIPv4)
	if p.six() {
		header, pseudo = p.ipv6, &layers.IPv6{NextHeader: layers.IPProtocol(p.Protocol), SrcIP: p.Src.AsSlice(), DstIP: p.Dst.AsSlice()}
		etherType = packet.EtherTypeIPv6
	}
	var stack []gopacket.SerializableLayer
	if p.Offset == 0 {
		stack = p.transport(pseudo)
	}
	stack = append(stack, gopacket.Payload(make([]byte, max(0, p.Length-p.headers()))))
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		return nil, fmt.Errorf("building the packet: %w", err)
	}
	f := packet.FrameOf(append(header(make([]byte, packet.EthernetLen), len(buf.Bytes())), buf.Bytes()...))
	if p.six() && p.Dst.IsMulticast() {
		dst = packet.GroupMAC(p.Dst)
	}
	f.SetEthernet(dst, src, etherType)
	return f, nil
}

// ipv4 appends the header in front of so many bytes.
func (p *Packet) ipv4(b []byte, payload int) []byte {
	at := len(b)
	b = append(b, make([]byte, packet.IPv4MinLen)...)
	h := packet.Header{
		TOS: byte(p.TOS), TotalLen: packet.IPv4MinLen + payload, ID: uint16(p.ID), DF: p.DF, TTL: byte(p.TTL), Protocol: byte(p.Protocol), Src: p.Src, Dst: p.Dst,
	}
	packet.PutIPv4(b[at:], &h)
	field := p.Offset / 8
	if p.MF {
		field |= 0x2000
	}
	b[at+6] |= byte(field >> 8)
	b[at+7] = byte(field)
	packet.IPv4(b[at:]).SetChecksum()
	return b
}

// ipv6 appends the header, and that of a fragment.
func (p *Packet) ipv6(b []byte, payload int) []byte {
	at := len(b)
	h := packet.Header6{
		TrafficClass: byte(p.TOS), FlowLabel: uint32(p.Flow), PayloadLen: payload, NextHeader: byte(p.Protocol), HopLimit: byte(p.TTL), Src: p.Src, Dst: p.Dst,
	}
	b = append(b, make([]byte, packet.IPv6MinLen)...)
	if p.Fragment {
		h.PayloadLen, h.NextHeader = packet.FragmentHeaderLen+payload, packet.HeaderFragment
		b = append(b, make([]byte, packet.FragmentHeaderLen)...)
		packet.PutFragmentHeader(b[at+packet.IPv6MinLen:], byte(p.Protocol), p.Offset, p.MF, uint32(p.ID))
	}
	packet.PutIPv6(b[at:], &h)
	return b
}

func (p *Packet) transport(ip gopacket.NetworkLayer) []gopacket.SerializableLayer {
	switch {
	case p.Protocol == packet.ProtocolICMP && !p.six():
		return []gopacket.SerializableLayer{&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 1, Seq: 1}}
	case p.Protocol == packet.ProtocolICMPv6 && p.six():
		icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}
		_ = icmp.SetNetworkLayerForChecksum(ip) // a layer of IP is always taken
		return []gopacket.SerializableLayer{icmp, &layers.ICMPv6Echo{Identifier: 1, SeqNumber: 1}}
	case p.Protocol == packet.ProtocolTCP:
		tcp := &layers.TCP{SrcPort: layers.TCPPort(p.SrcPort), DstPort: layers.TCPPort(p.DstPort), SYN: true, Window: 65535}
		_ = tcp.SetNetworkLayerForChecksum(ip)
		return []gopacket.SerializableLayer{tcp}
	case p.Protocol == packet.ProtocolUDP:
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

// nd is a neighbour solicitation; without a source it asks whether the address is taken.
func (p *Packet) nd(src packet.MAC) *packet.Frame {
	f := packet.NewFrame()
	m := packet.ND{Type: packet.ICMPv6NeighborSolicitation, Src: p.Src, Dst: packet.SolicitedNode(p.Dst), Target: p.Dst, MAC: src}
	if p.Src.IsUnspecified() {
		m.MAC = packet.MAC{} // RFC 4861 4.3
	}
	packet.PutND(&f, &m, src, packet.MAC{})
	return &f
}
