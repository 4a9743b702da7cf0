//go:build libpcap

package filter

import (
	"bytes"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	lay "github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// common are expressions that mean the same to libpcap, word for word.
const common = `
host 10.0.0.1
src host 10.0.0.1
dst 10.0.0.2
src or dst host 10.0.0.3
src and dst host 10.0.0.1
net 10.0.0.0/30
src net 10.0
dst net 10.0.0.0 mask 255.255.255.254
ip host 10.0.0.1
arp host 10.0.0.2
arp net 10
arp
ip
icmp
tcp
udp
ip proto 4
ip proto 47
port 80
src port 80
dst port 53
tcp port 80
udp dst port 53
portrange 50-90
src portrange 50-60
udp portrange 80-90
src and dst port 80
ether host 02:00:00:00:00:01
ether src 02:00:00:00:00:02
ether dst ff:ff:ff:ff:ff:ff
ether broadcast
ether multicast
less 70
greater 70
less 90 and greater 70
len > 70
len <= 70
len == 60
len != 60
icmp[icmptype] == icmp-echo
icmp[0] = 8
icmp[icmpcode] != 0
tcp[tcpflags] & tcp-syn != 0
tcp[tcpflags] & (tcp-syn|tcp-fin) != 0
tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn
tcp[13]=2
tcp[0:2] = 80
udp[2:2] > 79 and udp[2:2] <= 80
ip[8] < 5
not ip[8] >= 5
ip[12:4] = 0x0a000001
ip[1] & 3 = 2
ip[0] & 0xf != 5
ip[6:2] & 0x1fff != 0
arp[24:4] == 0x0a000002
ether[0] & 1 != 0
ether[12:2] == 0x0806
not tcp
not port 80
! host 10.0.0.1 && ! arp
tcp or udp and port 80
tcp or (udp and port 80)
icmp or tcp and not src 10.0.0.1
port 80 or 53
host 10.0.0.1 or 10.0.0.2
tcp dst port 80 or 53
not host 10.0.0.1 and 10.0.0.2
not (host 10.0.0.1 or host 10.0.0.2)
ip6
icmp6
ip6 proto 6
ip6 proto 58
ip6 proto 44
ip6 proto 0
ip proto 6
proto 17
proto 41
proto 4 or 47
host fd00::1
src host fd00::1
dst fd00::2
ip6 host fd00::1
src or dst host fd00::3
src and dst host fd00::1
net fd00::/127
src net fd00:1::/32
dst net fd00::/64
ip6 net fd00:1::/32
net ::/0
net fd00::2
not net fd00::/16
ip6 and port 80
ip6 and tcp port 80
ip6 and udp dst port 53
ip6 and portrange 50-90
ip6 and src and dst port 80
ip6 and tcp
ip6 and udp
ip6 and not (tcp or udp or icmp6)
ip6[6] = 17
ip6[7] < 5
ip6[4:2] > 40
ip6[8:4] = 0xfd000000
ip6[40] != 0
ip6[0:4] & 0xfffff != 0
icmp6[icmp6type] == icmp6-echo
icmp6[0] = 135
icmp6[icmp6type] >= icmp6-routersolicit and icmp6[icmp6type] <= icmp6-redirect
icmp6[icmp6code] != 0
tcp[tcpflags] & tcp-syn == 0 or ip6
udp[0:2] > 0
host fd00::1 or 10.0.0.1
not host fd00::1
`

// What an expression selects is what tcpdump selects with it, of thousands of frames.
func TestAgreesWithLibpcap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var frames [][]byte
	for range 3000 {
		frames = append(frames, anyFrame(t, r))
	}
	file := filepath.Join(t.TempDir(), "frames.pcap")
	if err := os.WriteFile(file, captured(t, frames), 0o600); err != nil {
		t.Fatal(err)
	}
	for expr := range strings.Lines(strings.TrimSpace(common)) {
		expr = strings.TrimSpace(expr)
		t.Run(expr, func(t *testing.T) { agrees(t, file, frames, expr) })
	}
}

func agrees(t *testing.T, file string, frames [][]byte, expr string) {
	f, want := parse(t, expr), tcpdump(t, file, expr)
	if len(want) == 0 || len(want) == len(frames) {
		t.Errorf("it selects %d of %d frames, which shows nothing", len(want), len(frames))
	}
	for i, frame := range frames {
		if got := f.Match(frame); got != want[i] {
			t.Fatalf("frame %d: %v, tcpdump says %v: %x", i, got, want[i], frame)
		}
	}
}

// tcpdump says which frames of a file an expression selects: each has its number for
// a time.
func tcpdump(t *testing.T, file, expr string) map[int]bool {
	t.Helper()
	path := "/usr/bin/tcpdump"
	if found, err := exec.LookPath("tcpdump"); err == nil {
		path = found
	}
	cmd := exec.Command(path, "-r", file, "-w", "-", expr)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tcpdump (Debian's package tcpdump has it): %v: %s", err, complaint.String())
	}
	in, err := pcapgo.NewReader(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	selected := map[int]bool{}
	for {
		_, info, err := in.ReadPacketData()
		if err != nil {
			return selected
		}
		selected[int(info.Timestamp.Unix())] = true
	}
}

func captured(t *testing.T, frames [][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	if err := w.WriteFileHeader(65536, lay.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		info := gopacket.CaptureInfo{Timestamp: time.Unix(int64(i), 0), CaptureLength: len(f), Length: len(f)}
		if err := w.WritePacket(info, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// anyFrame is one of few hosts, ports and protocols, so that expressions hit and miss.
func anyFrame(t *testing.T, r *rand.Rand) []byte {
	t.Helper()
	addr := func() string { return pick(r, "10.0.0.", "10.0.0.", "10.1.0.") + strconv.Itoa(1+r.IntN(4)) }
	if r.IntN(3) == 0 {
		return anyFrame6(r)
	}
	if r.IntN(6) == 0 {
		return arpFrame(t, lay.EthernetTypeARP, addr(), addr())
	}
	e := &lay.Ethernet{SrcMAC: macA, DstMAC: pick(r, macA, macB, ones), EthernetType: lay.EthernetTypeIPv4}
	e.SrcMAC = pick(r, []byte{2, 0, 0, 0, 0, 1}, []byte{2, 0, 0, 0, 0, 2})
	proto := pick(r, lay.IPProtocolTCP, lay.IPProtocolUDP, lay.IPProtocolICMPv4, lay.IPProtocolIPv4, lay.IPProtocolGRE)
	ip := ipv4Layer(proto, addr(), addr())
	ip.TTL, ip.TOS = uint8(r.IntN(10)), uint8(r.IntN(4))
	if r.IntN(4) == 0 {
		ip.Options = []lay.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}
	}
	if r.IntN(5) == 0 {
		ip.FragOffset = uint16(r.IntN(3))
	}
	return serialize(t, e, ip, body(r, proto), gopacket.Payload(make([]byte, r.IntN(40))))
}

// anyFrame6 is one of IPv6: plain, with a fragment header of the first or a later one, with
// options, with another packet in it, or cut short.
func anyFrame6(r *rand.Rand) []byte {
	addr := func() string { return pick(r, "fd00::", "fd00::", "fd00:1::") + strconv.Itoa(1+r.IntN(4)) }
	next := pick[byte](r, 6, 17, 58, 58, 132, 4, 41, 47, 59)
	rest := [][]byte{{0, pick[byte](r, 53, 80), 0, pick[byte](r, 53, 80)}, make([]byte, 16+r.IntN(40))}
	if next == 58 {
		rest[0] = []byte{pick[byte](r, 1, 2, 128, 129, 133, 135, 136, 143), byte(r.IntN(2)), 0, 0}
	}
	switch r.IntN(6) {
	case 0:
		rest, next = append([][]byte{{next, 0, 0, pick[byte](r, 0, 1, 8)}, {0, 0, 0, 7}}, rest...), 44
	case 1:
		rest, next = append([][]byte{{next, 0, 1, 4, 0, 0, 0, 0}}, rest...), pick[byte](r, 0, 43, 60)
	}
	p := packet6(next, addr(), addr(), rest...)
	p[1], p[7] = byte(r.IntN(2)), byte(r.IntN(10))
	e := slices.Concat(pick(r, macA, macB, net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}), net.HardwareAddr{2, 0, 0, 0, 0, byte(1 + r.IntN(2))}, []byte{0x86, 0xdd})
	return append(e, p...)
}

func body(r *rand.Rand, proto lay.IPProtocol) gopacket.SerializableLayer {
	from, to := pick[uint16](r, 53, 80, 6000), pick[uint16](r, 53, 80, 6000)
	switch proto {
	case lay.IPProtocolTCP:
		return &lay.TCP{SrcPort: lay.TCPPort(from), DstPort: lay.TCPPort(to), SYN: r.IntN(2) == 0, ACK: r.IntN(2) == 0, FIN: r.IntN(4) == 0, RST: r.IntN(4) == 0}
	case lay.IPProtocolUDP:
		return &lay.UDP{SrcPort: lay.UDPPort(from), DstPort: lay.UDPPort(to)}
	case lay.IPProtocolICMPv4:
		return &lay.ICMPv4{TypeCode: lay.CreateICMPv4TypeCode(pick[uint8](r, 0, 3, 8, 11), uint8(r.IntN(3)))}
	}
	return ipv4Layer(lay.IPProtocolUDP, "10.9.0.1", "10.9.0.2")
}
