package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// ask asks the router of host b by TLS, on a connection of its own that is made on the
// calling thread.
func (a *authority) ask(method, path, body string, certificate bool) (status int, answer string, err error) {
	authority, err := os.ReadFile(a.file("ca.crt"))
	if err != nil {
		return 0, "", err
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "192.168.0.12"}
	c.RootCAs.AppendCertsFromPEM(authority)
	if certificate {
		pair, err := tls.LoadX509KeyPair(a.file("me.crt"), a.file("me.key"))
		if err != nil {
			return 0, "", err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	conn, err := net.DialTimeout("tcp", "192.168.0.12:9474", patience)
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	secure := tls.Client(conn, c)
	req, err := http.NewRequest(method, "https://192.168.0.12:9474"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if err := req.Write(secure); err != nil {
		return 0, "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(secure), req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// fragmentable has the kernel clear Don't Fragment, and not ask for the path's MTU.
func fragmentable(c *net.UDPConn) (err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	failed := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	})
	if failed != nil {
		return failed
	}
	return err
}

// A file that cannot be used is found when the configuration is read.
func TestTLSFiles(t *testing.T) {
	a := newAuthority(t)
	a.issue("me", &x509.Certificate{})
	a.issue("other", &x509.Certificate{})
	empty := file(t, "empty.pem", "")
	for _, c := range []struct{ control, err string }{
		{"{listen: '127.0.0.1:9474'}", `host.yaml:3:10: control.tls.cert: missing: control.listen takes those alone who show a certificate`},
		{"{tls: {cert: /a, key: /b, ca: /c}}", `host.yaml:3:23: control.tls.cert: there is no control.listen that it is for`},
		{"{listen: nowhere}", `host.yaml:3:19: control.listen: "nowhere" is not host:port: write it like 192.168.0.11:9474`},
		{"{listen: ':1', tls: {cert: /none, key: " + a.file("me.key") + ", ca: " + a.file("ca.crt") + "}}", `host.yaml:3:37: control.tls.cert: "/none" cannot be read: no such file`},
		{"{listen: ':1', tls: {cert: " + a.file("me.crt") + ", key: " + a.file("me.key") + ", ca: /dev/zero}}", `control.tls.ca: "/dev/zero" is no file of at most 1048576 bytes`},
		{"{listen: ':1', tls: {cert: " + a.file("me.crt") + ", key: " + a.file("other.key") + ", ca: " + a.file("ca.crt") + "}}", `host.yaml:3:37: control.tls.cert: it does not go with the key .*private key does not match`},
		{"{listen: ':1', tls: {cert: " + a.file("me.crt") + ", key: " + a.file("me.key") + ", ca: " + empty + "}}", `host.yaml:3:[0-9]+: control.tls.ca: .*has no certificate in it`},
	} {
		config := file(t, "host.yaml", "node: a\nuplink: {interface: lo}\ncontrol: "+c.control+"\n")
		vrouter(t, "run", "--config", config).wantError(t, 1, c.err)
	}
}
