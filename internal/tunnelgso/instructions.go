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
	decapIPv4     = 1 << 7 // BPF_F_ADJ_ROOM_DECAP_L3_IPV4: what comes to light is IPv4
	decapIPv6     = 1 << 8
	verdictNext   = -1 // TCX_NEXT: whoever else is attached sees the frame, too
	verdictDrop   = 2  // TCX_DROP
	countLen      = 8  // bytes of a counter
	headerAt      = -packet.IPv6MinLen
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
	p := append(f.header(asm.FnSkbLoadBytes).withSymbol(f.name), asm.JNE.Imm(asm.R0, 0, "next"))
	if f.encap == encapIPv4 { // behind options nothing of ours is
		p = append(p, asm.LoadMem(asm.R1, asm.R10, headerAt, asm.Byte), asm.JNE.Imm(asm.R1, ipv4NoOptions, "next"))
	}
	p = append(p,
		asm.LoadMem(asm.R1, asm.R10, int16(headerAt+f.protocol), asm.Byte),
		asm.Mov.Imm(asm.R8, fixedGSO|decapIPv4),
		asm.JEq.Imm(asm.R1, packet.ProtocolIPIP, inside("off")),
		asm.JNE.Imm(asm.R1, packet.ProtocolIPv6, "next"),
		asm.Mov.Imm(asm.R8, fixedGSO|decapIPv6),
	)
	p = append(p, adjust(-f.length, asm.Mov.Reg(asm.R4, asm.R8)).withSymbol(inside("off"))...)
	p = append(p, asm.JNE.Imm(asm.R0, 0, "drop"))
	p = append(p, adjust(f.length, asm.Mov.Imm(asm.R4, fixedGSO|f.encap))...)
	p = append(p, asm.JNE.Imm(asm.R0, 0, "drop"))
	p = append(p, f.header(asm.FnSkbStoreBytes)...)
	return append(p, asm.JNE.Imm(asm.R0, 0, "drop"), asm.Ja.Label("done"))
}

// some are instructions in a row.
type some asm.Instructions

func (s some) withSymbol(name string) asm.Instructions {
	s[0] = s[0].WithSymbol(name)
	return asm.Instructions(s)
}

// header copies the outer header out of the frame, or back into it.
func (f family) header(by asm.BuiltinFunc) some {
	return some{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, packet.EthernetLen),
		asm.Mov.Reg(asm.R3, asm.R10),
		asm.Add.Imm(asm.R3, headerAt),
		asm.Mov.Imm(asm.R4, f.length),
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
