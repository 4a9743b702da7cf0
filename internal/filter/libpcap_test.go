//go:build libpcap

package filter

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
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
