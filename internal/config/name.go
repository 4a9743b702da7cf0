package config

import (
	"net"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

var (
	nameForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	nodeForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`) // Linux has hostnames of up to 64 bytes
	hostForm = regexp.MustCompile(`^[A-Za-z0-9._-]*$`)
)

// nameSigns says what a name is made of.
const nameSigns = "letters, digits, dots, dashes and underscores; neither dot nor dash first"

const (
	maxInterface = 15  // IFNAMSIZ less the closing zero
	maxSocket    = 107 // sun_path of unix(7) less the closing zero
)

// name becomes the name of a file, /run/netns/ns1, or is that of a container, which has 64 signs, and its interface's.
func (c *checker) name(s scalar) string { return c.named(s, nameForm, 128) }

// node is the name of a host.
func (c *checker) node(s scalar) string { return c.named(s, nodeForm, 64) }

func (c *checker) named(s scalar, form *regexp.Regexp, most int) string {
	switch {
	case strings.Contains(s.text, "/"):
		c.fail(s.place, "%s has a slash, and a name is not a path: leave the directories out", quote(s.text))
	case !form.MatchString(s.text):
		c.fail(s.place, "%s is not a name: use 1 to %d %s", quote(s.text), most, nameSigns)
	}
	return s.text
}

// interfaceName is what dev_valid_name() of Linux accepts, less % (which asks for a number to be
// put in) and what does not print.
func (c *checker) interfaceName(s scalar) string {
	name := s.text
	wrong := func(char rune) bool {
		return strings.ContainsRune("/:%", char) || unicode.IsSpace(char) || !unicode.IsPrint(char)
	}
	if name == "" || name == "." || name == ".." || len(name) > maxInterface || strings.ContainsFunc(name, wrong) {
		c.fail(s.place, "%s is not an interface name: use 1 to %d bytes, without spaces, slash, colon and percent sign", quote(name), maxInterface)
	}
	return name
}

func (c *checker) path(s scalar) string {
	switch {
	case !path.IsAbs(s.text):
		c.fail(s.place, "%s is not an absolute path: start it with a slash", quote(s.text))
	case strings.ContainsFunc(s.text, func(char rune) bool { return !unicode.IsPrint(char) }):
		c.fail(s.place, "%s has characters that do not print: use a path without them", quote(s.text))
	}
	return s.text
}

func (c *checker) socket(s scalar) string {
	if len(s.text) > maxSocket {
		c.fail(s.place, "%s has %d bytes, and the kernel takes %d for a socket: use a shorter path", quote(s.text), len(s.text), maxSocket)
	}
	return c.path(s)
}

// group is one of group(5), by name or number; without one the socket has no group of its own.
func (c *checker) group(s scalar) string {
	if s.given && !nameForm.MatchString(s.text) {
		c.fail(s.place, "%s is neither the name nor the number of a group: write it as getent group shows it", quote(s.text))
	}
	return s.text
}

// listen is where a server of something listens.
func (c *checker) listen(s scalar, example, what string) string {
	if s.text == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(s.text)
	if err != nil {
		c.fail(s.place, "%s is not host:port: write it like %s, or \"\" for no %s", quote(s.text), example, what)
		return ""
	}
	if _, err := netip.ParseAddr(host); err != nil && !hostForm.MatchString(host) {
		c.fail(s.place, "%s is neither an address nor the name of a host: write it like %s", quote(host), example)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		c.fail(s.place, "port %s is not a number from 0 to 65535: write it like %s", quote(port), example)
	}
	return s.text
}

// protocol is one of rtnetlink's: a number, or a name of /etc/iproute2/rt_protos.
func (c *checker) protocol(s scalar) string {
	const digits, signs = "0123456789", "abcdefghijklmnopqrstuvwxyz0123456789_-"
	if s.text != "" && strings.Trim(s.text, digits) == "" {
		c.number(s, 0, 255, "a routing protocol")
		return s.text
	}
	if s.text == "" || strings.Trim(s.text, signs) != "" {
		c.fail(s.place, "%s is not a routing protocol: write a name, such as static or bird, or a number from 0 to 255", quote(s.text))
	}
	return s.text
}
