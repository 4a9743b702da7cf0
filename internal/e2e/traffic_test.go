package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"

	"github.com/vrouter/vrouter/internal/workload"
)

const (
	floodPings = 20000
	// inFlight requests wait for their replies at once: fewer than any queue holds.
	inFlight = 32
)

// Each of many pings is answered, and each of them is on the books of both
// routers, at every step, once.
func TestFloodOfPings(t *testing.T) {
	hosts := labUp(t, "")
	wantEcho(t, hosts[0].ns1, there, 62) // ARP is settled by now
	before := [2]series{scrape(t, hosts[0].ns), scrape(t, hosts[1].ns)}
	in(t, hosts[0].ns1, func() error { return flood(there, floodPings) })
	for i, h := range hosts {
		wantBooks(t, h.Name, scrape(t, h.ns).since(before[i]))
	}
}

// flood pings, each time a reply is in, until all of n have come back.
func flood(to string, n int) error {
	conn, err := net.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		return err
	}
	defer conn.Close()
	const id = 4711
	sent, replied, missing := 0, make([]bool, n), n
	buf, data := make([]byte, 1500), make([]byte, 56)
	for missing > 0 {
		for ; sent < n && sent-(n-missing) < inFlight; sent++ {
			m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: sent, Data: data}}
			b, err := m.Marshal(nil)
			if err != nil {
				return err
			}
			if _, err := conn.WriteTo(b, &net.IPAddr{IP: net.ParseIP(to)}); err != nil {
				return err
			}
		}
		if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return err
		}
		size, _, err := conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("%d of %d pings sent are lost", sent-(n-missing), sent)
		}
		if err != nil {
			return err
		}
		m, err := icmp.ParseMessage(1, buf[:size])
		if err != nil {
			return err
		}
		e, ok := m.Body.(*icmp.Echo)
		if !ok || m.Type != ipv4.ICMPTypeEchoReply || e.ID != id {
			continue
		}
		if replied[e.Seq] {
			return fmt.Errorf("reply %d came twice", e.Seq)
		}
		replied[e.Seq] = true
		missing--
	}
	return nil
}

// wantBooks wants exactly the flood in what grew on a router. A neighbour may
// have been confirmed meanwhile: ARP ends at the step of its name.
func wantBooks(t *testing.T, name string, grown series) {
	t.Helper()
	arp := grown[key("step_packets_total", `step="arp"`, `verdict="consume"`)]
	want := series{key("step_packets_total", `step="rx"`, `verdict="pass"`): 2*floodPings + arp}
	if arp > 0 {
		want[key("step_packets_total", `step="arp"`, `verdict="consume"`)] = arp
	}
	for _, step := range []string{"arp", "check", "decap", "nd", "rpf", "local", "route", "mtu", "encap", "tx"} {
		want[key("step_packets_total", `step="`+step+`"`, `verdict="pass"`)] = 2 * floodPings
	}
	for _, step := range []string{"ttl", "neigh"} {
		want[key("step_packets_total", `step="`+step+`"`, `verdict="edit"`)] = 2 * floodPings
	}
	for k, v := range want {
		if grown[k] != v {
			t.Errorf("%s: %s grew by %v, want %v", name, k, grown[k], v)
		}
	}
	for _, k := range slices.Concat(grown.labels("step_packets_total{"), grown.labels("drop_packets_total{"), grown.labels("lost_packets_total{"), grown.labels("imbalance")) {
		if _, ok := want[k]; !ok {
			t.Errorf("%s: %s grew by %v", name, k, grown[k])
		}
	}
	if hits := grown[key("route_lookups_total", `result="hit"`)]; hits != 2*floodPings {
		t.Errorf("%s: %v lookups, want %v", name, hits, 2*floodPings)
	}
}

const tcpBytes = 64 << 20

// TCP and UDP arrive as they were sent, whether the workloads' stacks leave
// checksums and segmentation to the ports or do it themselves.
func TestTraffic(t *testing.T) {
	for _, offload := range []bool{true, false} {
		t.Run(fmt.Sprintf("offload: %v", offload), func(t *testing.T) {
			hosts := labUp(t, twoHosts(fmt.Sprintf("    offload: %v\n", offload)))
			t.Run("tcp", func(t *testing.T) {
				a, b := connect(t, hosts[0].ns1, hosts[1].ns1, there)
				exchange(t, a, b, tcpBytes)
			})
			t.Run("udp", func(t *testing.T) { exchangeDatagrams(t, hosts[0].ns1, hosts[1].ns1, here, there) })
			for _, h := range hosts {
				s := scrape(t, h.ns)
				if n := s[key("accounting_imbalance_packets")]; n != 0 {
					t.Errorf("%s: imbalance of %v packets", h.Name, n)
				}
				for _, k := range s.labels("drop_packets_total{") {
					if s[k] != 0 {
						t.Errorf("%s: %s is %v", h.Name, k, s[k])
					}
				}
			}
		})
	}
}

// connect opens a TCP connection between two workloads: its two ends.
func connect(t *testing.T, from, to workload.Namespace, address string) (a, b net.Conn) {
	t.Helper()
	var l net.Listener
	in(t, to, func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(address, "7000"))
		return err
	})
	defer l.Close()
	in(t, from, func() (err error) {
		a, err = net.DialTimeout("tcp", l.Addr().String(), patience)
		return err
	})
	t.Cleanup(func() { a.Close() })
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	for _, c := range []net.Conn{a, b} {
		if err := c.SetDeadline(time.Now().Add(commandTimeout)); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

// exchange sends n bytes both ways at once, and compares their checksums.
func exchange(t *testing.T, a, b net.Conn, n int64) {
	t.Helper()
	type sum struct {
		what string
		crc  uint32
		err  error
	}
	sums := make(chan sum, 4)
	table := crc32.MakeTable(crc32.Castagnoli)
	copyTo := func(what string, w io.Writer, r io.Reader) {
		h := crc32.New(table)
		_, err := io.CopyN(io.MultiWriter(w, h), r, n)
		sums <- sum{what, h.Sum32(), err}
	}
	go copyTo("there", a, rand.NewChaCha8([32]byte{1}))
	go copyTo("there", io.Discard, b)
	go copyTo("back", b, rand.NewChaCha8([32]byte{2}))
	go copyTo("back", io.Discard, a)
	seen := map[string]uint32{}
	for range 4 {
		s := <-sums
		if s.err != nil {
			t.Errorf("%s: %v", s.what, s.err)
		} else if crc, ok := seen[s.what]; ok && crc != s.crc {
			t.Errorf("%s: checksum %08x, sent as %08x", s.what, crc, s.crc)
		}
		seen[s.what] = s.crc
	}
}

// exchangeDatagrams sends UDP of many sizes and wants each back as it was. What
// is larger than the MTU, the sender's stack cuts into fragments.
func exchangeDatagrams(t *testing.T, from, to workload.Namespace, here, there string) {
	t.Helper()
	server, client := listenUDP(t, to, there), listenUDP(t, from, here)
	go func() { // ends when the socket is closed
		buf := make([]byte, 1<<16)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(buf[:n], from)
		}
	}()
	random, buf := rand.NewChaCha8([32]byte{3}), make([]byte, 1<<16)
	for _, size := range []int{1, 2, 17, 18, 100, 1471, 1472, 1473, 1480, 2952, 2953, 9000, 32768, 60000} {
		data := make([]byte, size)
		_, _ = random.Read(data)
		if _, err := client.WriteTo(data, server.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		if err := client.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, _, err := client.ReadFrom(buf); err != nil || !bytes.Equal(buf[:n], data) {
			t.Errorf("of %d bytes, %d came back, or others: %v", size, n, err)
		}
	}
}

func listenUDP(t *testing.T, ns workload.Namespace, address string) net.PacketConn {
	t.Helper()
	var c net.PacketConn
	in(t, ns, func() (err error) {
		c, err = net.ListenPacket("udp", net.JoinHostPort(address, "7000"))
		return err
	})
	t.Cleanup(func() { c.Close() })
	return c
}
