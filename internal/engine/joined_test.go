package engine_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
)

// complete makes a superframe one that was joined with its checksum made, of which
// the virtio header says nothing, or that it is right.
func complete(f *packet.Frame, flags uint8) *packet.Frame {
	return broken(f, func(f *packet.Frame) {
		l4 := f.Bytes()[f.Offload.CsumStart:]
		copy(l4[f.Offload.CsumOffset:][:2], []byte{0xab, 0xcd}) // that of the first segment
		f.Offload.Flags, f.Offload.CsumStart, f.Offload.CsumOffset = flags, 0, 0
	})
}

// datagrams is 20 datagrams of UDP in one frame.
func datagrams(eth *layers.Ethernet, from, to string) *packet.Frame {
	udp := &layers.UDP{SrcPort: 40000, DstPort: 5201}
	ip := ip4(from, to, layers.IPProtocolUDP)
	_ = udp.SetNetworkLayerForChecksum(ip)
	f := partial(frame(eth, ip, udp, payload(bytes.Repeat([]byte("0123456789"), 2000))), 6)
	f.Offload.GSOType, f.Offload.GSOSize = packet.GSOUDPL4, 1000
	return f
}

// X5: a superframe that came joined with its checksum complete is as good as one that
// is pending: whole where the far end takes it, cut right where not.
func TestJoinedComplete(t *testing.T) {
	for name, pending := range map[string]*packet.Frame{
		"tcp": superframe(ether(peerMAC, uplinkMAC), farIP, ns1IP), "udp": datagrams(ether(peerMAC, uplinkMAC), farIP, ns1IP),
	} {
		n, _ := pending.OnWire()
		for flags := range uint8(4) {
			for _, offload := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, flags %d, offload: %t", name, flags, offload), func(t *testing.T) {
					in := complete(pending, flags&^1)
					if flags&1 != 0 { // pending, but with the sum of the first segment
						in.Offload = pending.Offload
						in.Offload.Flags = flags
					}
					b := newBed(t)
					b.leaves(offload, b.ns1)
					b.uplink.Send(in)
					out := b.ns1.Sent()
					if offload {
						if len(out) != 1 || out[0].Offload != pending.Offload {
							t.Fatalf("sent %+v, want one of %+v", out, pending.Offload)
						}
						toNS1(t, pending, out[0])
						out = cut(out[0])
					}
					if len(out) != int(n) {
						t.Fatalf("%d packets, want %d", len(out), n)
					}
					for i, want := range cut(pending) {
						toNS1(t, want, out[i])
					}
					b.counted("ens160", "ns1", n)
				})
			}
		}
	}
}

// A superframe in others' tunnels, or an IP-in-IP one with another inside, is cut in
// each header, as no virtio header can say what it is.
func TestSuperframeInAnothersTunnel(t *testing.T) {
	inner := func(i int) []byte {
		return cut(superframe(ether(peerMAC, uplinkMAC), "10.5.5.5", "10.6.6.6"))[i].Payload()
	}
	vxlan := append([]byte{8, 0, 0, 0, 0, 0, 7, 0}, superframe(ether(peerMAC, uplinkMAC), "10.5.5.5", "10.6.6.6").Bytes()[:14]...)
	for name, wrap := range map[string]func(i int) []gopacket.SerializableLayer{
		"gre": func(i int) []gopacket.SerializableLayer {
			return []gopacket.SerializableLayer{&layers.GRE{Protocol: layers.EthernetTypeIPv4}, payload(inner(i))}
		},
		"gre with key and checksum": func(i int) []gopacket.SerializableLayer {
			return []gopacket.SerializableLayer{&layers.GRE{Protocol: layers.EthernetTypeIPv4, KeyPresent: true, Key: 7, ChecksumPresent: true}, payload(inner(i))}
		},
		"vxlan": func(i int) []gopacket.SerializableLayer {
			return []gopacket.SerializableLayer{&layers.UDP{SrcPort: 5, DstPort: 4789}, payload(slices.Concat(vxlan, inner(i)))}
		},
	} {
		for _, from := range []string{"ens160", "ns1"} {
			t.Run(name+" from "+from, func(t *testing.T) {
				eth, src, dst, to := ether(peerMAC, uplinkMAC), farIP, ns1IP, "ns1"
				if from == "ns1" {
					eth, src, dst, to = ether(ns1MAC, gatewayMAC), ns1IP, farIP, "ens160"
				}
				var each []*packet.Frame
				for i := range segments {
					ip := ip4(src, dst, layers.IPProtocolGRE)
					if ip.Id += uint16(i); name == "vxlan" {
						ip.Protocol = layers.IPProtocolUDP
					}
					ls := wrap(i)
					if udp, ok := ls[0].(*layers.UDP); ok {
						_ = udp.SetNetworkLayerForChecksum(ip)
					}
					each = append(each, frame(append([]gopacket.SerializableLayer{eth, ip}, ls...)...))
				}
				b := newBed(t)
				b.resolve()
				b.offloads(b.ns1, b.uplink)
				b.setMTU(to, 1600)
				b.port(from).Send(join(each))
				out := b.port(to).Sent()
				if len(out) != segments {
					t.Fatalf("%d frames, want %d", len(out), segments)
				}
				for i, f := range out {
					if d := cmp.Diff(withTTL(each[i], 63).Payload(), f.Payload()); d != "" || f.Offload != (packet.Offload{}) {
						t.Fatalf("packet %d, offload %+v (-want +got):\n%s", i, f.Offload, d)
					}
				}
				b.counted(from, to, segments)
			})
		}
	}
}

// join makes one frame of packets with TCP inside, as a kernel's receive offload does.
func join(each []*packet.Frame) *packet.Frame {
	h := each[0].Len - segment
	f := packet.FrameOf(each[0].Bytes())
	for _, next := range each[1:] {
		f = packet.FrameOf(append(f.Bytes(), next.Bytes()[h:]...))
	}
	lengthen := func(at int) { // of an IPv4 header
		ip := packet.IPv4(f.Bytes()[at:])
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		ip.SetChecksum()
	}
	lengthen(14)
	lengthen(h - 32 - 20)
	if packet.IPv4(f.Payload()).Protocol() == packet.ProtocolUDP {
		binary.BigEndian.PutUint16(f.Bytes()[38:], uint16(f.Len-34))
	}
	f.Bytes()[h-32+13] |= 8 // PSH, of the last one
	f.Offload = packet.Offload{Flags: 1, GSOType: packet.GSOTCPv4, GSOSize: segment, CsumStart: uint16(h - 32), CsumOffset: 16, HeaderLen: uint16(f.Len)}
	return f
}

// sctp is a chunk of SCTP whose CRC32c is left to the device.
func sctp(to string, size int) (in *packet.Frame, sum []byte) {
	f := frame(ether(ns1MAC, gatewayMAC), ip4(ns1IP, to, layers.IPProtocolSCTP), payload(append([]byte("portsaretag.\x00\x00\x00\x00"), make([]byte, size)...)))
	l4 := packet.IPv4(f.Payload()).Payload()
	clear(l4[8:12])
	sum = binary.LittleEndian.AppendUint32(nil, crc32.Checksum(l4, crc32.MakeTable(crc32.Castagnoli)))
	f.Offload = packet.Offload{Flags: 1, CsumStart: 34, CsumOffset: 8}
	return f, sum
}

// SCTP's checksum is made here, whatever a port can do: a virtio header cannot say
// that it is none of the Internet's (RFC 9260 6.8).
func TestOffloadSCTP(t *testing.T) {
	for _, offload := range []bool{false, true} {
		b := newBed(t)
		b.resolve()
		tunnel(b)
		b.leaves(offload, b.ns2, b.uplink)
		for _, c := range []struct {
			to, via   string
			fragments int
			outer     int
		}{{ns2IP, "ns2", 1, 0}, {farIP, "ens160", 1, 0}, {tunnelIP, "ens160", 1, 20}, {farIP, "ens160", 3, 0}} {
			in, sum := sctp(c.to, 3000*(c.fragments-1)/2+100)
			b.ns1.Send(in)
			out := b.port(c.via).Sent()
			if len(out) != c.fragments {
				t.Fatalf("to %s: %d frames, want %d", c.to, len(out), c.fragments)
			}
			at := 34 + c.outer + 8
			if got := out[0].Bytes()[at : at+4]; !bytes.Equal(got, sum) || out[0].Offload != (packet.Offload{}) {
				t.Errorf("to %s in %d frames, offload: %t: checksum % x, want % x; offload %+v", c.to, c.fragments, offload, got, sum, out[0].Offload)
			}
		}
	}
}

// A CWR that is not what RFC 3168 means by it counts congestion (RFC 9768): each
// segment keeps it, so no device may cut the frame.
func TestOffloadCWR(t *testing.T) {
	for _, ecn := range []bool{false, true} {
		b := newBed(t)
		b.offloads(b.ns2)
		in := fromNS1(ns2IP)
		in.Payload()[20+13] |= 0x80
		if ecn {
			in.Offload.GSOType |= packet.GSOECN
		}
		b.ns1.Send(in)
		out := b.ns2.Sent()
		if ecn { // the kernel knows
			if len(out) != 1 || out[0].Offload != in.Offload {
				t.Fatalf("sent %+v, want one of %+v", out, in.Offload)
			}
			out = cut(out[0])
		}
		if len(out) != segments {
			t.Fatalf("%d segments", len(out))
		}
		for i, f := range out {
			if got := f.Payload()[20+13]&0x80 != 0; got != (i == 0 || !ecn) {
				t.Errorf("ecn bit %t: CWR in segment %d: %t", ecn, i, got)
			}
		}
	}
}

// An IPv6 superframe is so many packets of a source that is not the workload's.
func TestSuperframeOfIPv6(t *testing.T) {
	for _, flags := range []uint8{0, 1, 2} {
		b := newBed(t)
		data := make([]byte, 10000)
		tcp := &layers.TCP{SrcPort: 1, DstPort: 2, ACK: true}
		ip := &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolTCP, HopLimit: 64, SrcIP: addr("fd00:70:1::1").AsSlice(), DstIP: addr("fd00:70:2::1").AsSlice()}
		_ = tcp.SetNetworkLayerForChecksum(ip)
		eth := ether(ns1MAC, gatewayMAC)
		eth.EthernetType = layers.EthernetTypeIPv6
		in := frame(eth, ip, tcp, payload(data))
		in.Offload = packet.Offload{Flags: flags, GSOType: packet.GSOTCPv6, GSOSize: 1000}
		if flags == 1 {
			in.Offload.CsumStart, in.Offload.CsumOffset = 54, 16
		}
		b.ns1.Send(in)
		b.dropsAre("ns1", "rpf_failed", 10)
		if p := b.sentBy("ns1").Received; p.Packets != 10 || p.Bytes != 10*(74+1000) {
			t.Errorf("%d packets, %d bytes", p.Packets, p.Bytes)
		}
	}
}

// tagged puts an 802.1Q tag into a frame.
func tagged(f *packet.Frame, tci uint16) *packet.Frame {
	b := binary.BigEndian.AppendUint16(append(bytes.Clone(f.Bytes()[:12]), 0x81, 0), tci)
	g := packet.FrameOf(append(b, f.Bytes()[12:]...))
	if g.Offload = f.Offload; g.Offload.NeedsChecksum() {
		g.Offload.CsumStart += 4
	}
	return g
}

// Priority-tagged frames are untagged ones (IEEE 802.1Q 6.9.1), those of a VLAN are
// not for this interface.
func TestPriorityTag(t *testing.T) {
	b := newBed(t)
	b.uplink.Send(tagged(arp(packet.ARPRequest, peerMAC, peerIP, packet.MAC{}, hostIP, packet.Broadcast), 5<<13))
	b.ns1.Send(tagged(arp(packet.ARPRequest, ns1MAC, ns1IP, packet.MAC{}, gateway, packet.Broadcast), 0))
	if m, ok := packet.ParseARP(one(t, b.ns1).Payload()); !ok || m.SenderMAC != gatewayMAC {
		t.Errorf("a tagged request is answered with %+v", m)
	}
	for _, tci := range []uint16{0, 7 << 13, 1 << 12} {
		in := ping(farIP)
		b.ns1.Send(tagged(in, tci))
		toPeer(t, in, one(t, b.uplink))
		in = fromPeer()
		b.uplink.Send(tagged(in, tci))
		toNS1(t, in, one(t, b.ns1))
	}
	b.offloads(b.ns2)
	in := fromNS1(ns2IP)
	b.ns1.Send(tagged(in, 3<<13))
	if out := one(t, b.ns2); out.Offload != in.Offload {
		t.Errorf("offload %+v, want %+v", out.Offload, in.Offload)
	}
	b.dropsAre("ns1", "", 0)
	for _, vlan := range []uint16{1, 0xfff, 7<<13 | 5} {
		b.ns1.Send(tagged(ping(farIP), vlan))
	}
	silent(t, b.uplink)
	b.dropsAre("ns1", "unknown_ethertype", 3)
}

// What a virtio header says beyond what is needed does not reach another port.
func TestOffloadHint(t *testing.T) {
	b := newBed(t)
	b.offloads(b.ns2)
	super, plain, single := fromNS1(ns2IP), ping(ns2IP), fromNS1(ns2IP)
	super.Offload.HeaderLen, super.Offload.Flags = 65535, 7
	plain.Offload = packet.Offload{Flags: 6, HeaderLen: 65535, GSOSize: 9, CsumStart: 8, CsumOffset: 7}
	single.Trim(20 + 32 + 700)
	edit := packet.IPv4(single.Payload())
	binary.BigEndian.PutUint16(edit[2:], uint16(len(edit)))
	edit.SetChecksum()
	b.ns1.Send(super, plain, single)
	var got []packet.Offload
	for _, f := range b.ns2.Sent() {
		got = append(got, f.Offload)
	}
	want := []packet.Offload{
		{Flags: 1, GSOType: packet.GSOTCPv4, HeaderLen: 66, GSOSize: segment, CsumStart: 34, CsumOffset: 16}, {}, {Flags: 1, CsumStart: 34, CsumOffset: 16},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// The dry run goes the same way.
func TestExplainTagged(t *testing.T) {
	b := newBed(t)
	b.resolve()
	records, err := b.router.DryRun().Explain("ns1", tagged(ping(farIP), 0))
	if err != nil || len(records) != 1 || records[0].Outcome.Reason != 0 || records[0].Out != "ens160" {
		t.Errorf("%+v, %v", records, err)
	}
}
