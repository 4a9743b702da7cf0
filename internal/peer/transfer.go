package peer

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

// Transfer is data to be sent over TCP, to where Serve listens.
type Transfer struct {
	To      netip.AddrPort
	Bytes   int64
	Timeout time.Duration
}

// Port is where Serve listens.
const Port = 7000

// Send sends the data from the calling thread's network namespace. It fails
// unless the receiver has got the very bytes.
func (t Transfer) Send() error {
	conn, err := net.DialTimeout("tcp", t.To.String(), t.Timeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(t.Timeout)); err != nil {
		return err
	}
	sum := sha256.New()
	data := io.LimitReader(rand.NewChaCha8([32]byte{1}), t.Bytes)
	if _, err := io.CopyBuffer(struct{ io.Writer }{conn}, io.TeeReader(data, sum), make([]byte, 1<<16)); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		return fmt.Errorf("reading the receiver's checksum: %w", err)
	}
	if want := sum.Sum(nil); string(got) != string(want) {
		return fmt.Errorf("%d bytes arrived with checksum %x, and had %x", t.Bytes, got, want)
	}
	return nil
}

// Serve listens in the calling thread's network namespace, and answers what each
// connection sends with its checksum.
func Serve() (io.Closer, error) { return serve("tcp4") }

// Serve6 is Serve for IPv6.
func Serve6() (io.Closer, error) { return serve("tcp6") }

func serve(network string) (io.Closer, error) {
	l, err := net.Listen(network, fmt.Sprintf(":%d", Port))
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go receive(conn)
		}
	}()
	return l, nil
}

func receive(conn net.Conn) {
	defer conn.Close()
	sum := sha256.New()
	if _, err := io.CopyBuffer(sum, struct{ io.Reader }{conn}, make([]byte, 1<<16)); err == nil {
		_, _ = conn.Write(sum.Sum(nil))
	}
}
