package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
)

// exampleControlListen is shown to those who write something else.
const exampleControlListen = "192.168.0.11:9474"

func (c *checker) control(raw rawControl) Control {
	v := Control{
		Socket: c.socket(raw.socket.or(DefaultControlSocket)), Group: c.group(raw.group),
		Listen: c.listen(raw.listen, exampleControlListen, "listener"),
	}
	given := raw.tls.cert.given || raw.tls.key.given || raw.tls.ca.given
	switch {
	case v.Listen != "":
		v.TLS = c.tls(raw.tls)
	case given:
		c.fail(raw.tls.cert.place, "there is no control.listen that it is for: write one such as %s, or remove this", exampleControlListen)
	}
	return v
}

// tls reads the files too: a router that nobody can look at is found out when the file
// is read, not when somebody has to look.
func (c *checker) tls(raw rawTLS) TLS {
	for _, s := range []scalar{raw.cert, raw.key, raw.ca} {
		if !s.given {
			c.fail(s.place, "missing: control.listen takes those alone who show a certificate; name a PEM file")
		}
	}
	t := TLS{Cert: c.path(raw.cert), Key: c.path(raw.key), CA: c.path(raw.ca)}
	if c.err != nil {
		return t
	}
	if _, err := tls.X509KeyPair(c.pem(raw.cert), c.pem(raw.key)); err != nil {
		c.fail(raw.cert.place, "it does not go with the key %s: %v", quote(t.Key), err)
	}
	if pem := c.pem(raw.ca); !x509.NewCertPool().AppendCertsFromPEM(pem) {
		c.fail(raw.ca.place, "%s has no certificate in it: it must be a PEM file of the authority that signs those who may look", quote(t.CA))
	}
	return t
}

// maxPEM is more than any file of certificates has, in bytes.
const maxPEM = 1 << 20

// pem is what is in a file, if that is an ordinary one: a device might have no end.
func (c *checker) pem(s scalar) []byte {
	info, err := os.Stat(s.text)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxPEM) {
		c.fail(s.place, "%s is no file of at most %d bytes: name a PEM file", quote(s.text), maxPEM)
		return nil
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(s.text)
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	if err != nil {
		c.fail(s.place, "%s cannot be read: %v", quote(s.text), err)
	}
	return b
}
