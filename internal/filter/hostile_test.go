package filter

import (
	"reflect"
	"strings"
	"testing"
)

// every is one primitive of each kind, none of which decides for the others.
const every = "tcp and arp or src and dst host 1.2.3.4 or net 1.0.3 mask 255.0.255.0 or port 1 or udp portrange 1-2 " +
	"or ip proto 99 or ip6 proto 99 or src and dst host fd00::1 or net fd01::/127 or icmp6[0:4] = 1 or ip6[6] = 99 or ipip or ether src and dst 00:00:00:00:00:01 or less 1 and greater 9 or ip[2:2] & 1 != 7 or tcp[0:4] < 1 or broadcast or multicast"

func TestMatchDoesNotAllocate(t *testing.T) {
	f := parse(t, every)
	for name, frame := range frames(t) {
		if n := testing.AllocsPerRun(100, func() { f.Match(frame); f.MatchInner(frame) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestTruncated: a primitive needs its field, whole.
func TestTruncated(t *testing.T) {
	for _, c := range []struct {
		expr, frame string
		least       int
	}{
		{"ip", "ping", 14},
		{"arp", "arp", 14},
		{"ether src 02:00:00:00:00:0a", "ping", 14},
		{"broadcast", "arp", 14},
		{"multicast", "arp", 14},
		{"host 10.70.1.1", "ping", 34},
		{"icmp", "ping", 34},
		{"arp host 10.70.1.1", "arp", 42},
		{"tcp port 80", "tcp", 38},
		{"tcp port 80", "options", 42},
		{"ip6", "ping6", 14},
		{"host fd00:70:1::1", "ping6", 54},
		{"icmp6", "ping6", 54},
		{"udp", "later6", 55},
		{"udp port 53", "udp6", 58},
		{"icmp6[0] = 128", "ping6", 55},
		{"ip6[6] = 58", "ping6", 21},
	} {
		f, frame := parse(t, c.expr), frames(t)[c.frame]
		for n := range len(frame) + 1 {
			if got := f.Match(frame[:n:n]); got != (n >= c.least) {
				t.Errorf("%q on %d bytes of %s: %v", c.expr, n, c.frame, got)
			}
		}
	}
}

func TestTruncatedInner(t *testing.T) {
	for name, least := range map[string]int{"ipip": 14 + 20 + 20, "6in4": 14 + 20 + 40, "4in6": 14 + 40 + 8 + 20, "6in6": 14 + 40 + 40} {
		f, frame := parse(t, "icmp or icmp6"), frames(t)[name]
		for n := range len(frame) + 1 {
			if got := f.MatchInner(frame[:n:n]); got != (n >= least) {
				t.Errorf("%d bytes of %s: %v", n, name, got)
			}
		}
	}
}

// TestBadHeaderLength: where the header ends is unknown, so nothing is read behind it.
func TestBadHeaderLength(t *testing.T) {
	tcp, ipip := frames(t)["tcp"], frames(t)["ipip"]
	tcp[14], ipip[14] = 0x44, 0x44
	if parse(t, "port 80").Match(tcp) || !parse(t, "tcp and 10.70.1.1").Match(tcp) {
		t.Error("ports behind a bad header, or no addresses in it")
	}
	if parse(t, "icmp").MatchInner(ipip) || !parse(t, "192.168.0.12").MatchInner(ipip) {
		t.Error("an inner packet behind a bad header")
	}
	ipip[14], ipip[34] = 0x45, 0x65
	if parse(t, "icmp").MatchInner(ipip) || !parse(t, "192.168.0.12").MatchInner(ipip) {
		t.Error("an inner packet that is not IPv4")
	}
}

func FuzzMatch(f *testing.F) {
	for _, frame := range frames(f) {
		f.Add(frame)
		f.Add(frame[:len(frame)/2])
	}
	filter, inverse := parse(f, every), parse(f, "not ("+every+")")
	f.Fuzz(func(t *testing.T, frame []byte) {
		frame = frame[:len(frame):len(frame)]
		if filter.Match(frame) == inverse.Match(frame) || filter.MatchInner(frame) == inverse.MatchInner(frame) {
			t.Error("not does not negate")
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, expr := range []string{
		"", every, "(tcp dst port 80 or 443) and not src net 10.70", "port (80 or (not 443))", "icmp[0] == 8",
		"ip proto gre or \\tcp", "hst 10.0.0.1", "net 10 mask 255.0.0.0 && !less 0x40", "fe80::1 || é \xff",
		"src net fd00:70::/32 or ip6 proto 44 or proto 41", "icmp6[icmp6type] = icmp6-neighborsolicit and ip6[6] < 3",
	} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		filter, err := Parse(expr)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "filter: column ") || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("%q: %q", expr, err)
			}
			return
		}
		again, err := Parse(filter.String())
		if err != nil || !reflect.DeepEqual(again, filter) {
			t.Errorf("%q is %q, which is %q, %v", expr, filter, again, err)
		}
	})
}
