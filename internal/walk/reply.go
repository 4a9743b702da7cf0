package walk

import (
	"encoding/binary"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
)

// reply follows what a workload answers to a packet that has come to it whole: to an echo
// request the reply, to a datagram one the other way round, to a SYN the SYN-ACK.
func (w *walker) reply(first *trace.Packet, ends []End) error {
	if !w.walk.good() || w.walk.Outcome != Delivered {
		return nil
	}
	asked := first.Frame.Padded()
	ip := reply(packet.IP(asked[packet.EthernetLen:]))
	if ip == nil {
		return nil
	}
	end := &w.walk.End
	var h *Host
	for _, o := range w.Hosts {
		if o.Name == end.Host {
			h = o
		}
	}
	var all []End
	for _, piece := range pieces(ip, h.port(end.Port).MTU) {
		e, err := w.ask(h, Question{In: end.Port, IP: piece}, Hop{Part: PartReply})
		if err != nil {
			return err
		}
		all = append(all, e...)
	}
	if err := w.errors(); err != nil {
		return err
	}
	got := worst(all)
	w.walk.Reply, w.walk.Back = &got, path(w.walk.Hops, PartReply)
	return nil
}

// reply is what a host's stack answers; nil: nothing that one can know.
func reply(asked packet.IP) packet.IP {
	protocol, at, fragment := packet.Transport(asked)
	asked = asked[:min(len(asked), asked.Len())]
	if fragment || at < 0 || len(asked) < at+8 || asked.Dst().IsMulticast() || asked.Src() == asked.Dst() {
		return nil
	}
	echo, answer := byte(8), byte(0)
	if asked.Version() == 6 {
		echo, answer = packet.ICMPv6EchoRequest, packet.ICMPv6EchoReply
	}
	b := append(packet.IP{}, asked...)
	switch l4 := b[at:]; {
	case (protocol == packet.ProtocolICMP || protocol == packet.ProtocolICMPv6) && l4[0] == echo:
		l4[0] = answer
	case protocol == packet.ProtocolUDP:
		swapPorts(l4)
	case protocol == packet.ProtocolTCP && len(l4) >= packet.TCPMinLen:
		swapPorts(l4)
		binary.BigEndian.PutUint32(l4[8:], binary.BigEndian.Uint32(l4[4:])+1)
		l4[12], l4[13] = packet.TCPMinLen/4<<4, 0x12 // SYN, ACK, no options
		b = b[:at+packet.TCPMinLen]
	default:
		return nil
	}
	turn(b, protocol, at)
	return b
}

func swapPorts(l4 []byte) {
	l4[0], l4[1], l4[2], l4[3] = l4[2], l4[3], l4[0], l4[1]
}

// turn makes a packet one the other way round, as who sends it begins it. Addresses and ports are summed up in any
// order; so only an echo's checksum changes, by its type.
func turn(b packet.IP, protocol byte, at int) {
	const ttl = 64
	if b.Version() == 6 {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-packet.IPv6MinLen))
		src, dst := b[8:24], b[24:40]
		for i := range src {
			src[i], dst[i] = dst[i], src[i]
		}
		if protocol == packet.ProtocolICMPv6 {
			packet.SetICMPv6Checksum(packet.IPv6(b), at)
		}
		b.SetHopLimit(ttl)
		return
	}
	src, dst := b[12:16], b[16:20]
	for i := range src {
		src[i], dst[i] = dst[i], src[i]
	}
	if protocol == packet.ProtocolICMP {
		icmp := b[at:]
		icmp[2], icmp[3] = 0, 0
		binary.BigEndian.PutUint16(icmp[2:], packet.Checksum(icmp))
	}
	if protocol == packet.ProtocolTCP {
		b[6] |= 0x40 // Don't Fragment: RFC 1191 6.5
	} else {
		b[6] &^= 0x40
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[8] = ttl
	packet.IPv4(b).SetChecksum()
}

// pieces are the packets that a host with a link's MTU makes of one.
func pieces(ip packet.IP, mtu int) [][]byte {
	frames := []*packet.Frame{packet.FrameOf(append(make([]byte, packet.EthernetLen), ip...))}
	more := func() *packet.Frame {
		f := packet.NewFrame()
		frames = append(frames, &f)
		return &f
	}
	switch {
	case len(ip) <= mtu:
	case ip.Version() == 6:
		packet.Fragment6(frames[0], mtu, 1, more)
	case packet.Fragmentable(packet.IPv4(ip), mtu):
		packet.Fragment(frames[0], mtu, more)
	}
	var list [][]byte
	for _, f := range frames {
		list = append(list, f.Payload())
	}
	return list
}
