package engine_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

// raw is a frame of hex digits, from a station of the link.
func raw(dst, rest string) *packet.Frame {
	b, err := hex.DecodeString(dst + "020000000063" + strings.ReplaceAll(rest, " ", ""))
	if err != nil {
		panic(err)
	}
	return packet.FrameOf(append(b, make([]byte, 46)...))
}

func toGroup(mac packet.MAC, f *packet.Frame) *packet.Frame {
	return broken(f, func(f *packet.Frame) { copy(f.Bytes(), mac[:]) })
}

func fromLAN(src, dst string, proto layers.IPProtocol, data ...gopacket.SerializableLayer) *packet.Frame {
	return frame(append([]gopacket.SerializableLayer{ether(otherMAC, uplinkMAC), ip4(src, dst, proto)}, data...)...)
}

// toGroup6 is an ICMPv6 message to a group, from a station of the link.
func toGroup6(group string, kind byte, rest []byte) *packet.Frame {
	eth := ether(otherMAC, packet.GroupMAC(addr(group)))
	eth.EthernetType = layers.EthernetTypeIPv6
	ip := &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolICMPv6, HopLimit: 255, SrcIP: addr("fe80::99").AsSlice(), DstIP: addr(group).AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip)
	return frame(eth, ip, icmp, payload(rest))
}

func datagramTo(port uint16) gopacket.Payload { return transport(port, port) }

// noise is what any link carries, and what a trace says of it.
var noise = []struct {
	name   string
	frame  *packet.Frame
	reason string // "": it is taken in silence
	says   string
}{
	{"spanning_tree", raw("0180c2000000", "0026 424203 0000000000"), "", "the spanning tree of a bridge"},
	{"spanning_tree_of_a_vlan", raw("01000ccccccd", "0032 aaaa0300000c010b"), "", "the spanning tree of a bridge"},
	{"CDP", raw("01000ccccccc", "0040 aaaa0300000c2000"), "", "CDP"},
	{"LLDP", raw("0180c200000e", "88cc 0207"), "", "LLDP"},
	{"LACP", raw("0180c2000002", "8809 01"), "", "LACP"},
	{"pause", raw("0180c2000001", "8808 0001ffff"), "", "flow control"},
	{"IPv6_router_solicitation", toGroup6("ff02::2", 133, make([]byte, 4)), "", "router advertisements"},
	{"IPv6_listener_report", toGroup6("ff02::16", 143, make([]byte, 4)), "", "MLD"},
	{"a_group_that_nobody_knows", raw("0300cafe0001", "1234"), "", "ethertype 0x1234"},
	{"loop_test", raw("ffffffffffff", "8899 23"), "unknown_ethertype", "a loop test of a switch"},
	{"wake_up", raw("ffffffffffff", "0842 ffff"), "unknown_ethertype", "wake a station up"},
	{"ARP_between_others", arp(packet.ARPRequest, otherMAC, otherIP, packet.MAC{}, "10.99.0.1", packet.Broadcast), "arp_ignored", "between other stations"},
	{"ARP_announcement", arp(packet.ARPRequest, otherMAC, otherIP, packet.MAC{}, otherIP, packet.Broadcast), "arp_ignored", ""},
	{"ARP_of_another_kind", broken(arp(packet.ARPRequest, otherMAC, otherIP, packet.MAC{}, "192.168.0.1", packet.Broadcast), func(f *packet.Frame) { f.Payload()[1] = 6 }), "arp_malformed", "ARP"},
	{"a_frame_for_another_station", broken(fromPeer(), func(f *packet.Frame) { f.Bytes()[5] ^= 1 }), "not_for_router", ""},
	{"for_the_host_itself", fromLAN(otherIP, hostIP, layers.IPProtocolICMPv4, echo(1)), "not_for_router", ""},
	{"IGMP", toGroup(packet.MAC{1, 0, 0x5e, 0, 0, 1}, fromLAN(otherIP, "224.0.0.1", 2, gopacket.Payload{0x11, 0, 0, 0, 0, 0, 0, 0})), "martian_destination", "IGMP"},
	{"OSPF", toGroup(packet.MAC{1, 0, 0x5e, 0, 0, 5}, fromLAN(otherIP, "224.0.0.5", 89, gopacket.Payload{2, 1})), "martian_destination", "OSPF"},
	{"mDNS", toGroup(packet.MAC{1, 0, 0x5e, 0, 0, 0xfb}, fromLAN(otherIP, "224.0.0.251", layers.IPProtocolUDP, datagramTo(5353))), "martian_destination", "mDNS"},
	{"SSDP", toGroup(packet.MAC{1, 0, 0x5e, 0x7f, 0xff, 0xfa}, fromLAN(otherIP, "239.255.255.250", layers.IPProtocolUDP, datagramTo(1900))), "martian_destination", "SSDP"},
	{"multicast", toGroup(packet.MAC{1, 0, 0x5e, 1, 2, 3}, fromLAN(otherIP, "239.1.2.3", layers.IPProtocolUDP, datagramTo(9999))), "martian_destination", "multicast to 239.1.2.3"},
	{"DHCP", toGroup(packet.Broadcast, fromLAN("0.0.0.0", "255.255.255.255", layers.IPProtocolUDP, datagramTo(67))), "martian_source", "DHCP"},
	{"NetBIOS", toGroup(packet.Broadcast, fromLAN(otherIP, "192.168.0.255", layers.IPProtocolUDP, datagramTo(137))), "l2_broadcast", "NetBIOS"},
	{"broadcast", toGroup(packet.Broadcast, fromLAN(otherIP, "255.255.255.255", layers.IPProtocolUDP, datagramTo(9999))), "martian_destination", "a broadcast"},
	{"unicast_in_a_broadcast", toGroup(packet.Broadcast, fromLAN(otherIP, ns1IP, layers.IPProtocolUDP, datagramTo(9))), "l2_broadcast", "broadcast MAC"},
	{"zeroconf", toGroup(packet.Broadcast, fromLAN("169.254.3.3", "169.254.255.255", layers.IPProtocolUDP, datagramTo(138))), "link_local", "NetBIOS"},
	{"a_broken_header", toGroup(packet.Broadcast, broken(fromLAN(otherIP, "255.255.255.255", 17, datagramTo(9)), func(f *packet.Frame) { f.Payload()[10] ^= 1 })), "ip_bad_checksum", ""},
}

// Noise loses nothing: it is taken in silence, or counts as a drop and as no loss.
func TestNoise(t *testing.T) {
	for _, c := range noise {
		for _, from := range []string{"ens160", "ns1"} {
			t.Run(c.name+"_from_"+from, func(t *testing.T) {
				b := newBed(t)
				l := b.listen(trace.Options{In: from}, "")
				f := c.frame.Clone()
				if f.DstMAC() == uplinkMAC && from == "ns1" {
					t.Skip("it is for the uplink's station")
				}
				before := b.books()
				b.port(from).Send(f)
				for _, port := range []string{"ns1", "ns2", "ens160"} {
					b.silent(port)
				}
				b.dropsAre(from, c.reason, 1)
				if now := b.books(); (now.consumed == before.consumed) != (c.reason != "") {
					t.Errorf("consumed: %d, then %d", before.consumed, now.consumed)
				}
				s := b.router.Stats()
				for _, r := range verdict.Reasons() {
					if s.Lost(r) != 0 {
						t.Errorf("%d are lost as %s", s.Lost(r), r)
					}
				}
				p := records(l)[0]
				if p.Noise != (c.reason != "") {
					t.Errorf("noise: %v, dropped for %q", p.Noise, p.Reason)
				}
				said := p.Mend
				if c.reason == "" {
					said = p.Steps[len(p.Steps)-1].Detail
				}
				if from == "ens160" && !strings.Contains(said, c.says) || from == "ens160" && strings.Contains(said, "right gateway") {
					t.Errorf("it says %q, want it to speak of %q", said, c.says)
				}
			})
		}
	}
}

// What was sent to this station is lost, where the same to a group is noise; each
// reason keeps to what the documentation says of it.
func TestNoiseByReason(t *testing.T) {
	own := func(change func(ip packet.IPv4)) *packet.Frame {
		return broken(fromPeer(), func(f *packet.Frame) { change(f.Payload()) })
	}
	frames := map[verdict.Reason]*packet.Frame{
		verdict.UnknownEthertype:   broken(fromPeer(), func(f *packet.Frame) { copy(f.Bytes()[12:], "\x88\x47") }),
		verdict.ARPMalformed:       broken(arp(packet.ARPRequest, peerMAC, peerIP, packet.MAC{}, hostIP, uplinkMAC), func(f *packet.Frame) { f.Payload()[1] = 6 }),
		verdict.ARPIgnored:         arp(packet.ARPRequest, peerMAC, peerIP, packet.MAC{}, ns1IP, uplinkMAC),
		verdict.NotForRouter:       fromLAN(otherIP, hostIP, layers.IPProtocolICMPv4, echo(1)),
		verdict.IPTooShort:         broken(fromPeer(), func(f *packet.Frame) { f.Len = 20 }),
		verdict.IPBadVersion:       own(func(ip packet.IPv4) { ip[0] = 0x65 }),
		verdict.IPBadHeaderLength:  own(func(ip packet.IPv4) { ip[0] = 0x44 }),
		verdict.IPBadLength:        own(func(ip packet.IPv4) { ip[2] = 9 }),
		verdict.IPBadChecksum:      own(func(ip packet.IPv4) { ip[10] ^= 1 }),
		verdict.MartianSource:      withSrc(fromPeer(), "127.0.0.1"),
		verdict.MartianDestination: withDst(fromPeer(), "224.0.0.1"),
		verdict.LinkLocal:          withDst(fromPeer(), "169.254.3.3"),
		verdict.NoRoute:            withDst(fromPeer(), "10.99.0.1"),
		verdict.TTLExceeded:        withTTL(fromPeer(), 1),
	}
	for r, f := range frames {
		t.Run(r.String(), func(t *testing.T) {
			b := newBed(t)
			b.resolve()
			b.uplink.Send(f.Clone())
			s := b.router.Stats()
			if always := r.Info().Noise == verdict.AlwaysNoise; s.Drops[r] != 1 || (s.Noise[r] == 1) != always {
				t.Errorf("to this station: %d drops, %d are noise", s.Drops[r], s.Noise[r])
			}
			if r.Info().Noise != verdict.GroupNoise {
				return
			}
			b.uplink.Send(toGroup(packet.Broadcast, f))
			if s := b.router.Stats(); s.Drops[r] != 2 || s.Lost(r) != 1 {
				t.Errorf("and to all: %d drops, %d are noise", s.Drops[r], s.Noise[r])
			}
		})
	}
}

// A flood of noise hides no loss of the same reason: each is recorded on its own.
func TestNoiseIsRecordedApart(t *testing.T) {
	b := newBed(t)
	for range 3 {
		b.uplink.Send(toGroup(packet.Broadcast, withSrc(fromPeer(), "0.0.0.0")))
	}
	b.uplink.Send(withSrc(fromPeer(), "127.0.0.1"))
	kept := b.router.Trace().Kept(true)
	if len(kept) != 2 || !kept[0].Outcome.Noise || kept[1].Outcome.Noise {
		t.Errorf("%d records are kept", len(kept))
	}
}

// What to do about a drop depends on what the packet was.
func TestAdvice(t *testing.T) {
	for name, c := range map[string]struct {
		frame *packet.Frame
		says  string
	}{
		"a_VLAN":    {raw("02000000000b", "8100 0001 0800"), "VLAN"},
		"redirect":  {broken(icmp6(peerLink, hostIP6, 137, 0, append(append(make([]byte, 4), addr(peerLink).AsSlice()...), addr(farIP6).AsSlice()...)...), func(f *packet.Frame) { f.Payload()[7] = 255 }), "between other stations of this link: nothing is wrong"},
		"the_types": {raw("02000000000b", "1234"), "ethertype 0x1234"},
		"its_own":   {withSrc(fromPeer(), hostIP), "another station have this host's address"},
		"loopback":  {withSrc(fromPeer(), "127.0.0.1"), "set the sender's address"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			l := b.listen(trace.Options{}, "")
			b.uplink.Send(c.frame)
			if p := records(l)[0]; p.Noise != (p.Reason == "nd_ignored") || !strings.Contains(p.Mend, c.says) {
				t.Errorf("%s, noise %v: %q", p.Reason, p.Noise, p.Mend)
			}
		})
	}
}
