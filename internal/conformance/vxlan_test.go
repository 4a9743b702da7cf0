package conformance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/ethtool"
)

const (
	notTheRouter = "Linux is asked as the other end, in X4"
	vxlanFar     = "10.71.0.1"
	vxlanFar6    = "fd00:71::1"
)

// The hardware addresses of both ends follow from their addresses (docs/configuration.md).
var (
	hostVTEP = mac{0x02, 0x76, 192, 168, 0, 11}
	peerVTEP = mac{0x02, 0x76, 192, 168, 0, 12}
)

var inVXLAN = options{six: true, tunnels: []route{{to: "10.71.0.0/24", via: peerIP, encap: "vxlan"}, {to: "fd00:71::/48", via: peerIP, encap: "vxlan"}}}

// vxlanRows are VXLAN as it is on the wire.
var vxlanRows = []row{
	{
		id: "X3", rule: "VXLAN: UDP 4789, I flag, VNI, source port by the inner flow, no outer checksum in IPv4; another VNI, a bad flag, a stranger: dropped, each with its reason", source: "RFC 7348 4, 5",
		counted: "vxlan_unknown_peer vxlan_bad_header vxlan_unknown_vni vxlan_bad_inner", options: inVXLAN,
		cases: []testCase{
			{name: "into the tunnel", notHere: notTheRouter, test: func(b *Bench) {
				for _, n := range []int{0, 1, 700, 1410} {
					ip := ip6Packet{src: ns1IP6, dst: vxlanFar6, next: 253, class: 0xba, data: pattern(n)}.bytes()
					b.one6(b.ns1, ip, b.inVXLAN(forwarded6(ip), 0xba, nil))
					v4 := ipPacket{src: ns1IP, dst: vxlanFar, proto: 253, tos: 0xb9, data: pattern(n), flags: 2}.bytes()
					b.one(b.ns1, v4, b.inVXLAN(forwarded(v4), 0xb9, nil))
				}
			}},
			{name: "the port it comes from is the flow's", notHere: notTheRouter, test: func(b *Bench) {
				ports := map[uint16]bool{}
				for i := range uint16(32) {
					var first, second uint16
					ip := ipPacket{src: ns1IP, dst: vxlanFar, data: udp(1000+i, 53, nil)}.bytes()
					b.one(b.ns1, ip, b.inVXLAN(forwarded(ip), 0, &first))
					ip = ipPacket{src: ns1IP, dst: vxlanFar, id: 9, ttl: 9, data: udp(1000+i, 53, pattern(80))}.bytes()
					b.one(b.ns1, ip, b.inVXLAN(forwarded(ip), 0, &second))
					if first != second || first < 49152 {
						b.fatalf("one flow comes from the ports %d and %d", first, second)
					}
					ports[first] = true
				}
				if len(ports) < 16 {
					b.fatalf("32 flows come from %d ports", len(ports))
				}
			}},
			{name: "out of the tunnel", notHere: notTheRouter, test: func(b *Bench) {
				ip := ip6Packet{src: vxlanFar6, dst: ns1IP6, next: 253, data: pattern(100)}.bytes()
				b.one(b.up, toVTEP(ip).bytes(), routed6(b.ns1, ip))
				v4 := ipPacket{src: vxlanFar, dst: ns1IP, proto: 253, data: pattern(100)}.bytes()
				b.one(b.up, toVTEP(v4).bytes(), routed(b.ns1, v4))
			}},
			{name: "out of the tunnel, with a checksum, or other flags", notHere: notTheRouter, test: func(b *Bench) {
				v4 := ipPacket{src: vxlanFar, dst: ns1IP}.bytes()
				p := toVTEP(v4)
				pseudo := slices.Concat(ip4(peerIP), ip4(hostIP), []byte{0, protoUDP, byte(len(p.data) >> 8), byte(len(p.data))})
				binary.BigEndian.PutUint16(p.data[6:], inetSum(append(pseudo, p.data...)))
				b.one(b.up, p.bytes(), routed(b.ns1, v4))
				p = toVTEP(v4)
				p.data[8], p.data[9], p.data[15] = 0xff, 1, 2 // RFC 7348 5: ignored on receipt
				b.one(b.up, p.bytes(), routed(b.ns1, v4))
			}},
			{name: "out of the tunnel, in fragments", notHere: notTheRouter, test: func(b *Bench) {
				ip := ip6Packet{src: vxlanFar6, dst: ns1IP6, next: 253, data: pattern(1400)}.bytes()
				p := toVTEP(ip)
				b.exchange(b.up, [][]byte{
					b.up.to(ipPacket{src: peerIP, dst: hostIP, proto: protoUDP, id: 7, offset: 800, data: p.data[800:]}.bytes()),
					b.up.to(ipPacket{src: peerIP, dst: hostIP, proto: protoUDP, id: 7, flags: 1, data: p.data[:800]}.bytes()),
				}, routed6(b.ns1, ip))
			}},
			{name: "too big for it", notHere: notTheRouter, test: func(b *Bench) {
				ip := ip6Packet{src: ns1IP6, dst: vxlanFar6, next: 253, data: pattern(1411)}.bytes()
				b.one6(b.ns1, ip, icmp6About(b.ns1, 2, 0, 1450, ip))
				v4 := ipPacket{src: ns1IP, dst: vxlanFar, proto: 253, data: pattern(1431), flags: 2}.bytes()
				b.one(b.ns1, v4, icmpAbout(b.ns1, 3, 4, 1450, v4))
				b.dropped(b.ns1, "mtu_exceeded", 2)
			}},
			{name: "another network, no flag, a stranger", notHere: notTheRouter, test: func(b *Bench) {
				ip := ipPacket{src: vxlanFar, dst: ns1IP}.bytes()
				bad := func(reason string, change func(p *ipPacket)) {
					p := toVTEP(ip)
					change(&p)
					b.one(b.up, p.bytes())
					b.dropped(b.up, reason, 1)
				}
				bad("vxlan_unknown_vni", func(p *ipPacket) { p.data[14]++ })
				bad("vxlan_bad_header", func(p *ipPacket) { p.data[8] = 0 })
				bad("vxlan_bad_header", func(p *ipPacket) { p.data[4] = 0x40 })
				bad("vxlan_bad_header", func(p *ipPacket) { p.data = udp(50000, 4789, []byte{8, 0, 0, 0}) })
				bad("vxlan_unknown_peer", func(p *ipPacket) { p.src = peer13IP })
			}},
			{name: "what is in it is not for this end, or no packet", notHere: notTheRouter, test: func(b *Bench) {
				ip := ipPacket{src: vxlanFar, dst: ns1IP}.bytes()
				broken := slices.Clone(ip)
				broken[10] ^= 1
				ask := arpMessage{op: 1, senderMAC: peerVTEP, senderIP: vxlanFar, targetIP: ns1IP}.bytes()
				frames := [][]byte{
					eth(peerVTEP, hostVTEP, typeIPv4, ip), eth(broadcastMAC, peerVTEP, typeIPv4, ip), eth(hostVTEP, peerVTEP, typeIPv6, ip),
					eth(broadcastMAC, peerVTEP, typeARP, ask), eth(hostVTEP, peerVTEP, typeIPv4, broken), eth(hostVTEP, peerVTEP, typeIPv4, nil), nil,
					eth(hostVTEP, peerVTEP, typeIPv4, ipPacket{src: "127.0.0.1", dst: ns1IP}.bytes()), eth(hostVTEP, peerVTEP, typeIPv4, ipPacket{src: hostIP, dst: ns1IP}.bytes()),
				}
				for _, f := range frames {
					b.one(b.up, vxlanTo(f).bytes())
				}
				b.dropped(b.up, "vxlan_bad_inner", len(frames))
			}},
			{name: "the host's own stack is silent about it", notHere: notTheRouter, test: func(b *Bench) {
				ip := ipPacket{src: vxlanFar, dst: ns1IP}.bytes()
				p := toVTEP(ip)
				p.src = peer13IP
				b.one(b.up, p.bytes()) // no Port Unreachable
				b.dropped(b.up, "vxlan_unknown_peer", 1)
			}},
		},
	},
	{
		id: "X4", rule: "a Linux kernel's vxlan device at the other end understands it, both ways; a superframe is cut into the same packets", source: "RFC 7348", options: inVXLAN,
		cases: []testCase{
			{name: "from here to it", notHere: notTheRouter, test: func(b *Bench) {
				v := b.kernelVXLAN()
				defer v.close()
				ip := ip6Packet{src: ns1IP6, dst: vxlanFar6, next: 253, data: pattern(1000)}.bytes()
				b.one6(b.ns1, ip, b.inVXLAN(forwarded6(ip), 0, nil))
				v.got(b, eth(peerVTEP, hostVTEP, typeIPv6, forwarded6(ip)))
				v4 := ipPacket{src: ns1IP, dst: vxlanFar, proto: 253, data: pattern(1000)}.bytes()
				b.one(b.ns1, v4, b.inVXLAN(forwarded(v4), 0, nil))
				v.got(b, eth(peerVTEP, hostVTEP, typeIPv4, forwarded(v4)))
			}},
			{name: "from it to here", notHere: notTheRouter, test: func(b *Bench) {
				v := b.kernelVXLAN()
				defer v.close()
				ip := ip6Packet{src: vxlanFar6, dst: ns1IP6, next: 253, data: pattern(1000)}.bytes()
				b.must(v.send(eth(hostVTEP, peerVTEP, typeIPv6, ip)))
				b.comes(b.ns1, b.ns1.from6(forwarded6(ip)))
				v4 := ipPacket{src: vxlanFar, dst: ns1IP, proto: 253, data: pattern(1000)}.bytes()
				b.must(v.send(eth(hostVTEP, peerVTEP, typeIPv4, v4)))
				b.comes(b.ns1, b.ns1.from(forwarded(v4)))
			}},
			{name: "superframes of TCP to it", notHere: notTheRouter, test: func(b *Bench) {
				v := b.kernelVXLAN()
				defer v.close()
				for _, f := range []flow{{proto: protoTCP, src: ns1IP, dst: vxlanFar}, {proto: protoTCP, six: true, src: ns1IP6, dst: vxlanFar6}} {
					b.sendSuper(b.ns[0].Do, "eth0", b.ns1, f)
					for _, p := range f.packets() {
						if f.six {
							v.got(b, eth(peerVTEP, hostVTEP, typeIPv6, forwarded6(p)))
						} else {
							v.got(b, eth(peerVTEP, hostVTEP, typeIPv4, forwarded(p)))
						}
					}
				}
				b.drain(b.up)
			}},
		},
	},
}

// toVTEP is a packet to this host in VXLAN, as the peer sends it.
func toVTEP(inner []byte) ipPacket {
	typ := uint16(typeIPv4)
	if inner[0]>>4 == 6 {
		typ = typeIPv6
	}
	return vxlanTo(eth(hostVTEP, peerVTEP, typ, inner))
}

func vxlanTo(frame []byte) ipPacket {
	d := udp(50000, 4789, append([]byte{8, 0, 0, 0, 0, 16, 0, 0}, frame...)) // VNI 4096
	d[6], d[7] = 0, 0
	return ipPacket{src: peerIP, dst: hostIP, proto: protoUDP, id: 5, data: d}
}

// inVXLAN is a packet in VXLAN of this host's to the peer. Its identification, and whether it
// may be cut, are the router's to choose; so is the port that it comes from, which is read.
func (b *Bench) inVXLAN(inner []byte, tos byte, port *uint16) want {
	typ, at := uint16(typeIPv4), b.up.from(inner)
	if inner[0]>>4 == 6 {
		typ, at = typeIPv6, b.up.from6(inner)
	}
	return want{b.up, "in VXLAN: " + describe(at), func(f []byte) error {
		if len(f) < 14+20+8+8+14+len(inner) || !bytes.Equal(f[:14], b.up.from(nil)) {
			return fmt.Errorf("it is no packet of the router's to this station: % x", f[:min(len(f), 64)])
		}
		ip := f[14:]
		from := binary.BigEndian.Uint16(ip[20:])
		d := udp(from, 4789, append([]byte{8, 0, 0, 0, 0, 16, 0, 0}, eth(peerVTEP, hostVTEP, typ, inner)...))
		d[6], d[7] = 0, 0
		due := ipPacket{src: hostIP, dst: peerIP, tos: tos, proto: protoUDP, data: d, id: binary.BigEndian.Uint16(ip[4:]), flags: ip[6] >> 5 & 2}.bytes()
		if from < 49152 || !slices.Equal(ip, due) {
			return fmt.Errorf("this is due, from port %d: % x, not % x", from, due[:64], ip[:64])
		}
		if port != nil {
			*port = from
		}
		return nil
	}}
}

// vtep is a vxlan device of Linux at the far end, and a socket on it.
type vtep struct {
	*port
	b *Bench
}

// kernelVXLAN makes one, whose frames the test sees one by one.
func (b *Bench) kernelVXLAN() *vtep {
	b.must(b.host.Do(func() error {
		return ethtool.Set("ens160", false, append(offloads, "tx-udp_tnl-segmentation", "tx-checksum-ip-generic")...)
	}))
	b.must(b.wire.Do(func() error {
		far, err := netlink.LinkByName("far")
		if err != nil {
			return err
		}
		dev := &netlink.Vxlan{
			LinkAttrs: netlink.LinkAttrs{Name: "vxlan0", HardwareAddr: peerVTEP[:]},
			VxlanId:   4096, Port: 4789, VtepDevIndex: far.Attrs().Index, SrcAddr: net.ParseIP(peerIP), Learning: false,
		}
		if err := errors.Join(
			netlink.LinkSetARPOff(far), netlink.LinkSetHardwareAddr(far, peerMAC[:]), up("far", peerIP+"/24"),
			netlink.LinkAdd(dev), disable6("vxlan0"), up("vxlan0"), addNeighbor("far", hostIP, b.up.router),
		); err != nil {
			return err
		}
		return netlink.NeighAppend(&netlink.Neigh{
			LinkIndex: dev.Index, Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT, Flags: netlink.NTF_SELF,
			IP: netip.MustParseAddr(hostIP).AsSlice(), HardwareAddr: hostVTEP[:],
		})
	}))
	p, err := openPort(b.wire, "vxlan0")
	b.must(err)
	p.name, p.ip = "vxlan0", vxlanFar
	return &vtep{p, b}
}

func (v *vtep) close() {
	v.port.close()
	v.b.must(v.b.wire.Do(func() error {
		far, err := netlink.LinkByName("far")
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkDel(&netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: "vxlan0"}}),
			netlink.AddrDel(far, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(peerIP).To4(), Mask: net.CIDRMask(24, 32)}}))
	}))
}

// got requires that a frame came out of the device.
func (v *vtep) got(b *Bench, frame []byte) { b.comes(v.port, frame) }

// comes requires that a frame comes next at a port.
func (b *Bench) comes(p *port, frame []byte) {
	if f := b.next(p, readyTimeout); !bytes.Equal(f, frame) {
		b.fatalf("at %s this came: %s % x, not %s % x", p.name, describe(f), f, describe(frame), frame)
	}
}

// drain forgets what has come at a port.
func (b *Bench) drain(p *port) { b.flush(p) }
