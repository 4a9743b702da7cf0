// Package capture reads packets that somebody has kept: captures (pcap, pcapng)
// and hex dumps.
package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/packet"
)

// Packet is one packet: a frame, or where its link has none a bare IP packet.
type Packet struct {
	Frame  []byte `json:"frame,omitempty"` // from the Ethernet header on
	IP     []byte `json:"ip,omitempty"`
	Length int    `json:"length,omitempty"` // bytes on the wire, where fewer were kept
	// Exact says that the frame is meant as it is: one in hex digits. A capture may be of
	// another machine, or of another day, and has other MAC addresses.
	Exact bool `json:"exact,omitempty"`
}

// Reader reads a capture packet by packet.
type Reader struct {
	next func() ([]byte, gopacket.CaptureInfo, error)
	// of is the kind of link, and the interface's name, of a packet.
	of   func(gopacket.CaptureInfo) (layers.LinkType, string)
	own  func() bool // it is a trace of vrouter's
	read int
}

const pcapngMagic = 0x0a0d0d0a // the same in both byte orders

// NewReader reads the head of a capture. A pcap file may be compressed by gzip.
func NewReader(from io.Reader) (*Reader, error) {
	b := bufio.NewReaderSize(from, 1<<16)
	magic, err := b.Peek(4)
	if err != nil {
		return nil, errors.New("it is empty, or too short for a capture: give one that tcpdump -w or Wireshark has written")
	}
	if binary.BigEndian.Uint32(magic) == pcapngMagic {
		return newNgReader(b)
	}
	r, err := pcapgo.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("it is no capture (%w): give a pcap or pcapng file, as tcpdump -w and Wireshark write it", err)
	}
	return &Reader{
		next: r.ReadPacketData,
		of:   func(gopacket.CaptureInfo) (layers.LinkType, string) { return r.LinkType(), "" },
		own:  func() bool { return false },
	}, nil
}

func newNgReader(b io.Reader) (r *Reader, err error) {
	defer recovered(&err)
	ng, err := pcapgo.NewNgReader(&blocks{from: b}, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		return nil, fmt.Errorf("its head is broken: %w", err)
	}
	return &Reader{
		next: ng.ReadPacketData,
		of: func(c gopacket.CaptureInfo) (layers.LinkType, string) {
			i, err := ng.Interface(c.InterfaceIndex)
			if err != nil {
				return layers.LinkTypeNull, ""
			}
			return i.LinkType, i.Name
		},
		own: func() bool { return ng.SectionInfo().Application == Application },
	}, nil
}

// Application is the name by which a capture says that it is a trace of vrouter's.
const Application = "vrouter"

// recovered makes an error of a panic: a decoder may do so on hostile bytes.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%v", p)
	}
}

// Next is the next packet that came in; io.EOF after the last one. Of a trace of
// vrouter's that is each frame as it was read, without those that the steps made of it.
// An error names the packet before which the capture breaks off.
func (r *Reader) Next() (*Packet, error) {
	for {
		data, info, err := r.raw()
		if err == io.EOF {
			return nil, io.EOF
		}
		if err != nil {
			return nil, fmt.Errorf("it breaks off after packet %d: %w", r.read, err)
		}
		r.read++
		link, name := r.of(info)
		if r.own() && !strings.HasSuffix(name, " "+forwarder.RX.Word) {
			continue
		}
		p, err := unlink(link, data)
		if err != nil {
			return nil, fmt.Errorf("packet %d: %w", r.read, err)
		}
		if p == nil {
			continue
		}
		if missing := info.Length - info.CaptureLength; missing > 0 {
			p.Length = len(p.Frame) + len(p.IP) + missing
		}
		return p, nil
	}
}

func (r *Reader) raw() (data []byte, info gopacket.CaptureInfo, err error) {
	defer recovered(&err)
	return r.next()
}

// Link types by their numbers in a file, where gopacket has no name for them.
const (
	linkRawBSD   = 12 // LINKTYPE_RAW as some systems number it
	linkRawOpen  = 14
	linkSLL2     = 276 & 0xff // `tcpdump -i any`, of which gopacket keeps the low byte
	sllBroadcast = 1          // packet types; 0 is what was for this host, 3 for another one
	sllMulticast = 2
	sllOutgoing  = 4 // what this host has sent
)

// unlink takes a packet out of what its link has around it; nil for what the
// capturing host has sent itself.
func unlink(link layers.LinkType, b []byte) (*Packet, error) {
	switch link {
	case layers.LinkTypeEthernet:
		return &Packet{Frame: b}, nil
	case layers.LinkTypeRaw, linkRawBSD, linkRawOpen, layers.LinkTypeIPv4, layers.LinkTypeIPv6:
		return &Packet{IP: b}, nil
	case layers.LinkTypeLinuxSLL:
		if len(b) < 16 {
			return &Packet{Frame: b}, nil
		}
		return cooked(binary.BigEndian.Uint16(b), b[6:12], b[14:16], b[16:]), nil
	case linkSLL2:
		if len(b) < 20 {
			return &Packet{Frame: b}, nil
		}
		return cooked(uint16(b[10]), b[12:18], b[0:2], b[20:]), nil
	case layers.LinkTypeNull, layers.LinkTypeLoop:
		return &Packet{IP: b[min(len(b), 4):]}, nil // the family in front is another number on each system
	}
	return nil, fmt.Errorf("its link type is %d (%v), which is not known here: Ethernet, raw IP, Linux cooked and loopback are", int(link), link)
}

// cooked gives a packet of Linux's cooked link an Ethernet header again. That link
// does not say which station a frame was for: one of zeros stands for it.
func cooked(packetType uint16, src, etherType, payload []byte) *Packet {
	dst := packet.MAC{}
	switch packetType {
	case sllOutgoing:
		return nil
	case sllBroadcast:
		dst = packet.Broadcast
	case sllMulticast:
		dst = groupOf(binary.BigEndian.Uint16(etherType), payload)
	}
	frame := append(make([]byte, 0, packet.EthernetLen+len(payload)), dst[:]...)
	frame = append(append(append(frame, src...), etherType...), payload...)
	return &Packet{Frame: frame}
}

// groupOf is the group that a multicast frame was for, as far as its payload says so
// (RFC 1112 6.4, RFC 2464 7).
func groupOf(etherType uint16, payload []byte) packet.MAC {
	switch {
	case etherType == packet.EtherTypeIPv4 && len(payload) >= packet.IPv4MinLen:
		return packet.MAC{0x01, 0x00, 0x5e, payload[17] & 0x7f, payload[18], payload[19]}
	case etherType == packet.EtherTypeIPv6 && len(payload) >= packet.IPv6MinLen:
		return packet.GroupMAC(packet.IPv6(payload).Dst())
	}
	return packet.MAC{0x01, 0x80, 0xc2} // what bridges and switches say
}
