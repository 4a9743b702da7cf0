package tunnelgso

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf/asm"

	"github.com/vrouter/vrouter/internal/packet"
)

// What the program speaks of (linux/bpf.h).
const (
	skbProtocol = 16 // in struct __sk_buff
	skbGSOSize  = 176

	roomMAC       = 1      // BPF_ADJ_ROOM_MAC: behind the Ethernet header
	fixedGSO      = 1 << 0 // BPF_F_ADJ_ROOM_FIXED_GSO: segments stay as long as they are
	encapIPv4     = 1 << 1 // BPF_F_ADJ_ROOM_ENCAP_L3_IPV4
	encapIPv6     = 1 << 2
	encapUDP      = 1 << 4                   // BPF_F_ADJ_ROOM_ENCAP_L4_UDP
	encapEthernet = 1<<6 | vxlanInnerLen<<56 // BPF_F_ADJ_ROOM_ENCAP_L2_ETH, and BPF_F_ADJ_ROOM_ENCAP_L2: how long it is
	decapIPv4     = 1 << 7                   // BPF_F_ADJ_ROOM_DECAP_L3_IPV4: what comes to light is IPv4
	decapIPv6     = 1 << 8
	verdictNext   = -1  // TCX_NEXT: whoever else is attached sees the frame, too
	verdictDrop   = 2   // TCX_DROP
	countLen      = 8   // bytes of a counter
	headerAt      = -56 // on the stack: the longest one, of whole words
	ipv4NoOptions = 0x45
)

// family is an outer header.
type family struct {
	name             string
	etherType        uint16
	length, protocol int32 // bytes of it, and where it says what is inside
	encap            int32
}

var families = []family{
	{"ipv4", packet.EtherTypeIPv4, packet.IPv4MinLen, 9, encapIPv4},
	{"ipv6", packet.EtherTypeIPv6, packet.IPv6MinLen, 6, encapIPv6},
}

// What VXLAN has between the outer IPv4 header and the inner packet (RFC 7348 5), and where its fields are from
// the outer header on. The router's own is told by the UDP checksum of 0: in any other superframe of UDP that field
// holds the pseudo-header's sum, which is never 0.
const (
	vxlanInnerLen = packet.EthernetLen
	vxlanLen      = packet.IPv4MinLen + 8 + 8 + vxlanInnerLen
	vxlanChecksum = packet.IPv4MinLen + 6
	vxlanType     = vxlanLen - 2
)

// instructions are the program. A frame that is none of ours, or no superframe in a tunnel, goes on as it is. One of
// ours that cannot be marked is dropped: unmarked, it would be cut wrong.
func instructions(counts int, cookies []uint64) asm.Instructions {
	p := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R0, asm.R6, skbGSOSize, asm.Word),
		asm.JEq.Imm(asm.R0, 0, "next"),
		asm.FnGetSocketCookie.Call(),
	}
	for i, c := range cookies {
		p = append(p,
			asm.LoadMapValue(asm.R7, counts, uint32(i*countLen)),
			asm.LoadImm(asm.R1, int64(c), asm.DWord),
			asm.JEq.Reg(asm.R0, asm.R1, "ours"),
		)
	}
	p = append(p,
		asm.Ja.Label("next"),
		asm.LoadMem(asm.R8, asm.R6, skbProtocol, asm.Word).WithSymbol("ours"),
	)
	for _, f := range families {
		p = append(p, asm.JEq.Imm(asm.R8, int32(inNetworkOrder(f.etherType)), f.name))
	}
	p = append(p, asm.Ja.Label("next"))
	for _, f := range families {
		p = append(p, f.mark()...)
	}
	p = append(p, markVXLAN()...)
	return append(p,
		asm.Mov.Imm(asm.R0, verdictDrop).WithSymbol("drop"),
		asm.Return(),
		asm.Mov.Imm(asm.R1, 1).WithSymbol("done"),
		asm.AddAtomic.Mem(asm.R7, asm.R1, asm.DWord, 0),
		asm.Mov.Imm(asm.R0, verdictNext).WithSymbol("next"),
		asm.Return(),
	)
}

// mark has the kernel know a frame with an outer header of this family for what it is.
func (f family) mark() asm.Instructions {
	inside := func(s string) string { return fmt.Sprintf("%s in %s", s, f.name) }
	p := append(copyHeaders(asm.FnSkbLoadBytes, f.length).withSymbol(f.name), asm.JNE.Imm(asm.R0, 0, "next"))
	if f.encap == encapIPv4 { // behind options nothing of ours is
		p = append(p, asm.LoadMem(asm.R1, asm.R10, headerAt, asm.Byte), asm.JNE.Imm(asm.R1, ipv4NoOptions, "next"))
	}
	p = append(p, asm.LoadMem(asm.R1, asm.R10, int16(headerAt+f.protocol), asm.Byte))
	if f.encap == encapIPv4 {
		p = append(p, asm.JEq.Imm(asm.R1, packet.ProtocolUDP, "vxlan"))
	}
	p = append(p,
		asm.Mov.Imm(asm.R8, fixedGSO|decapIPv4),
		asm.JEq.Imm(asm.R1, packet.ProtocolIPIP, inside("off")),
		asm.JNE.Imm(asm.R1, packet.ProtocolIPv6, "next"),
		asm.Mov.Imm(asm.R8, fixedGSO|decapIPv6),
	)
	return append(p, anew(inside("off"), f.length, int64(f.encap))...)
}

// markVXLAN has the kernel know a frame with headers of VXLAN.
func markVXLAN() asm.Instructions {
	p := append(copyHeaders(asm.FnSkbLoadBytes, vxlanLen).withSymbol("vxlan"),
		asm.JNE.Imm(asm.R0, 0, "next"),
		asm.LoadMem(asm.R1, asm.R10, headerAt+vxlanChecksum, asm.Half),
		asm.JNE.Imm(asm.R1, 0, "next"),
		asm.LoadMem(asm.R1, asm.R10, headerAt+vxlanType, asm.Half),
		asm.Mov.Imm(asm.R8, fixedGSO|decapIPv4),
		asm.JEq.Imm(asm.R1, int32(inNetworkOrder(packet.EtherTypeIPv4)), "off in vxlan"),
		asm.JNE.Imm(asm.R1, int32(inNetworkOrder(packet.EtherTypeIPv6)), "next"),
		asm.Mov.Imm(asm.R8, fixedGSO|decapIPv6),
	)
	return append(p, anew("off in vxlan", vxlanLen, encapIPv4|encapUDP|encapEthernet)...)
}

// anew takes so many bytes off, by the flags in R8, and puts the same on again.
func anew(label string, length int32, encap int64) asm.Instructions {
	p := append(adjust(-length, asm.Mov.Reg(asm.R4, asm.R8)).withSymbol(label), asm.JNE.Imm(asm.R0, 0, "drop"))
	p = append(p, adjust(length, asm.LoadImm(asm.R4, fixedGSO|encap, asm.DWord))...)
	p = append(p, asm.JNE.Imm(asm.R0, 0, "drop"))
	p = append(p, copyHeaders(asm.FnSkbStoreBytes, length)...)
	return append(p, asm.JNE.Imm(asm.R0, 0, "drop"), asm.Ja.Label("done"))
}

// some are instructions in a row.
type some asm.Instructions

func (s some) withSymbol(name string) asm.Instructions {
	s[0] = s[0].WithSymbol(name)
	return asm.Instructions(s)
}

// copyHeaders copies what follows the Ethernet header out of the frame, or back into it.
func copyHeaders(by asm.BuiltinFunc, length int32) some {
	return some{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, packet.EthernetLen),
		asm.Mov.Reg(asm.R3, asm.R10),
		asm.Add.Imm(asm.R3, headerAt),
		asm.Mov.Imm(asm.R4, length),
		asm.Mov.Imm(asm.R5, 0), // no flags
		by.Call(),
	}
}

// adjust makes room behind the Ethernet header, or takes it away. The flags are its fourth argument.
func adjust(bytes int32, flags asm.Instruction) some {
	return some{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, bytes),
		asm.Mov.Imm(asm.R3, roomMAC),
		flags,
		asm.FnSkbAdjustRoom.Call(),
	}
}

func inNetworkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
