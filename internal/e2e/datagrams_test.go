package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	quicBytes    = 1400 // in each of quicSegments datagrams that are sent as one, quicSends times
	quicSegments = 40
	quicSends    = 50
)

// Datagrams that are sent as one (UDP_SEGMENT) arrive as one where the receiver takes them so (UDP_GRO), through
// both routers and a tunnel; as many as there are, each by itself, where a workload's interface takes no superframe.
func TestDatagramsInSuperframes(t *testing.T) {
	for _, x := range []struct {
		name, lab string
		joined    bool
	}{
		{"plain", twoHosts(""), true},
		{"in a tunnel", twoHosts("    ipip: {mode: always}\n"), true},
		{"without offload", twoHosts("    offload: false\n"), false},
	} {
		t.Run(x.name, func(t *testing.T) {
			hosts := labUp(t, x.lab)
			server, client := listenUDP(t, hosts[1].ns1, there).(*net.UDPConn), listenUDP(t, hosts[0].ns1, here).(*net.UDPConn)
			udpOption(t, client, unix.UDP_SEGMENT, quicBytes)
			udpOption(t, server, unix.UDP_GRO, 1)
			joined := 0
			for i := range quicSends {
				data := make([]byte, 0, quicBytes*quicSegments)
				for j := range quicSegments {
					data = append(data, bytes.Repeat([]byte{byte(i), byte(j)}, quicBytes/2)...)
				}
				if _, err := client.WriteTo(data, server.LocalAddr()); err != nil {
					t.Fatal(err)
				}
				got, most := receiveDatagrams(t, server, len(data))
				if !bytes.Equal(got, data) {
					t.Fatalf("send %d: what came is not what was sent", i)
				}
				joined = max(joined, most)
			}
			if (joined == quicSegments) != x.joined {
				t.Errorf("at the most %d of %d have come as one", joined, quicSegments)
			}
			nothingDropped(t, hosts)
			for i, h := range hosts {
				s := scrape(t, h.ns)
				k := key("port_receive_packets_total", fmt.Sprintf("port=%q", []string{"ns1", uplink}[i]))
				if s[k] < quicSends*quicSegments {
					t.Errorf("%s: %v packets, of %d that are on the wire", h.Name, s[k], quicSends*quicSegments)
				}
			}
		})
	}
}

func udpOption(t *testing.T, c *net.UDPConn, name, value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, name, value) })
		if cerr != nil {
			err = cerr
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// receiveDatagrams reads so many bytes, and says how many datagrams came as one at the most.
func receiveDatagrams(t *testing.T, c *net.UDPConn, n int) (data []byte, most int) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf, oob := make([]byte, 1<<16), make([]byte, 64)
	for len(data) < n {
		k, o, _, _, err := c.ReadMsgUDP(buf, oob)
		if err != nil {
			t.Fatalf("%d bytes of %d have come: %v", len(data), n, err)
		}
		data = append(data, buf[:k]...)
		segments := 1
		if all, err := unix.ParseSocketControlMessage(oob[:o]); err == nil && len(all) == 1 && all[0].Header.Type == unix.UDP_GRO {
			segments = k / int(binary.NativeEndian.Uint16(all[0].Data))
		}
		most = max(most, segments)
	}
	return data, most
}
