package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Files are what a client shows, and believes, by TLS: PEM files.
type Files struct{ Cert, Key, CA string }

// Open is NewClient for a router on another host too: the path of a socket,
// ssh://[USER@]HOST[:PORT][/PATH/OF/SOCKET], or https://HOST:PORT, for which files are
// needed. What is wrong with the words is said at once; nobody is asked yet.
func Open(address string, files Files) (*Client, error) {
	if !strings.Contains(address, "://") {
		return NewClient(address), nil
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s is no address of a router: write ssh://[USER@]HOST[/SOCKET] or https://HOST:PORT", address)
	case u.RawQuery != "" || u.Fragment != "" || u.Hostname() == "":
		return nil, fmt.Errorf("%s: write ssh://[USER@]HOST[/SOCKET] or https://HOST:PORT, and nothing behind it", address)
	case u.Scheme == "ssh":
		return openSSH(address, u)
	case u.Scheme == "https":
		return openTLS(address, u, files)
	}
	return nil, fmt.Errorf("%s: a router is reached by the path of its socket, by ssh:// or by https://, not by %s://", address, u.Scheme)
}

// openTLS shows a certificate, and believes those that the given authority has signed,
// no others.
func openTLS(address string, u *url.URL, files Files) (*Client, error) {
	switch {
	case u.Port() == "" || u.Path != "" && u.Path != "/" || u.User != nil:
		return nil, fmt.Errorf("%s: write it as https://HOST:PORT, with the port of control.listen", address)
	case files.Cert == "" || files.Key == "" || files.CA == "":
		return nil, fmt.Errorf("%s: it takes --cert FILE, --key FILE and --ca FILE: both ends show a certificate", address)
	}
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, fmt.Errorf("--cert %s, --key %s: %w", files.Cert, files.Key, err)
	}
	authority, err := readCA(files.CA)
	if err != nil {
		return nil, fmt.Errorf("--ca %w", err)
	}
	c := &Client{socket: address, base: "https://" + u.Host}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	c.http.Transport = &http.Transport{
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		TLSClientConfig:     &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: authority, MinVersion: tls.VersionTLS13},
	}
	return c, nil
}

// readCA reads the certificates of those who are believed.
func readCA(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: there is no certificate in it: it must be a PEM file", file)
	}
	return pool, nil
}

// explainTLS says what to do about a handshake that failed, at either end.
func explainTLS(address string, err error) error {
	var alert tls.AlertError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var network *url.Error
	if errors.As(err, &network) {
		err = network.Err
	}
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("the router at %s shows a certificate that the authority of --ca has not signed: give the one that signed it", address)
	case errors.As(err, &name):
		return fmt.Errorf("the certificate of the router at %s is for another name: %w", address, err)
	case errors.As(err, &alert), strings.Contains(err.Error(), "remote error: tls:"):
		return fmt.Errorf("the router at %s does not take the certificate of --cert (%w): give one that its control.tls.ca has signed", address, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the router at %s does not answer in time: look whether it runs with control.listen, and whether a firewall is between", address)
	}
	return fmt.Errorf("asking the router at %s: %w: look whether it runs with control.listen", address, err)
}

// socketOf is the path in an ssh URL, or the usual one.
func socketOf(path, usual string) string {
	if path == "" || path == "/" {
		return usual
	}
	return filepath.Clean(path)
}
