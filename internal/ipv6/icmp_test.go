package ipv6

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/verdict"
)

// What is said with a number is understood as what was meant.
func TestMeanings(t *testing.T) {
	want := map[verdict.Meaning]ICMP{
		verdict.MeansNoRoute: {1, 0}, verdict.MeansNoHost: {1, 3}, verdict.MeansNoProtocol: {4, 1}, verdict.MeansNoPort: {1, 4},
		verdict.MeansTooBig: {2, 0}, verdict.MeansProhibited: {1, 1}, verdict.MeansTTLExceeded: {3, 0}, verdict.MeansNotAssembled: {3, 1},
		verdict.MeansBeyondScope: {1, 2}, verdict.MeansBadField: {4, 0}, verdict.MeansBadOption: {4, 2},
	}
	for _, m := range verdict.Meanings() {
		if got := ICMPOf(m); got != want[m] || MeaningOf(got) != m && m != verdict.MeansBadField && m != verdict.MeansBadOption {
			t.Errorf("%q is said as %v, want %v, and understood as %q", m, got, want[m], MeaningOf(got))
		}
	}
	for e, m := range map[ICMP]verdict.Meaning{
		{1, 5}: verdict.MeansProhibited, {1, 6}: verdict.MeansProhibited, {1, 7}: verdict.MeansNoHost, {1, 200}: verdict.MeansNoHost,
		{2, 9}: verdict.MeansTooBig, {3, 7}: verdict.MeansTTLExceeded, {4, 0}: verdict.MeansNothing, {4, 2}: verdict.MeansNothing,
		{128, 0}: verdict.MeansNothing, {137, 0}: verdict.MeansNothing, {0, 0}: verdict.MeansNothing, {100, 0}: verdict.MeansNothing,
	} {
		if got := MeaningOf(e); got != m {
			t.Errorf("%v means %q, want %q", e, got, m)
		}
	}
}

// An error has as much of the packet as fits into 1,280 bytes, as it came (RFC 4443 2.4 (c)).
func TestPutError(t *testing.T) {
	src, router := netip.MustParseAddr("fd00:70:1::1"), netip.MustParseAddr("fd00:192::11")
	for _, c := range []struct {
		m          verdict.Meaning
		size, rest int
		quoted     int
		word       uint32
	}{
		{verdict.MeansNoRoute, 100, 77, 100, 0},
		{verdict.MeansTooBig, 1500, 1400, 1232, 1400},
		{verdict.MeansTTLExceeded, 1232, 0, 1232, 0},
		{verdict.MeansNoPort, 1233, 0, 1232, 0},
		{verdict.MeansNoProtocol, 60, 48, 60, 48},
		{verdict.MeansBadField, 60, 42, 60, 42},
	} {
		about := packet.IPv6(make([]byte, c.size+3)) // what follows the payload is no part of the packet
		packet.PutIPv6(about, &packet.Header6{
			TrafficClass: 0xb8, FlowLabel: 0x12345, PayloadLen: c.size - 40, NextHeader: packet.HeaderDestination, HopLimit: 8,
			Src: src, Dst: netip.MustParseAddr("fd00:70:2::1"),
		})
		about[40], about[48] = packet.HeaderDestination, 200
		var f packet.Frame
		PutError(&f, router, c.m, c.rest, about, true)
		ip := packet.IPv6(f.Payload())
		about.SetHopLimit(9)
		if ip.Src() != router || ip.Dst() != src || ip.HopLimit() != 64 || ip.NextHeader() != packet.ProtocolICMPv6 ||
			len(ip) != 48+c.quoted || ip.PayloadLen() != 8+c.quoted || packet.ICMPv6Sum(ip, 40) != 0xffff {
			t.Errorf("%q: %x", c.m, []byte(ip[:48]))
		}
		if got := (ICMP{ip[40], ip[41]}); got != ICMPOf(c.m) || binary.BigEndian.Uint32(ip[44:]) != c.word || !bytes.Equal(ip[48:], about[:c.quoted]) {
			t.Errorf("%q: %v, rest %d; quote right: %t", c.m, got, binary.BigEndian.Uint32(ip[44:]), bytes.Equal(ip[48:], about[:c.quoted]))
		}
	}
}
