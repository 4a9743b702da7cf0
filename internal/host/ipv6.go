package host

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// setting is one of net.ipv6.conf.INTERFACE.
type setting struct{ name, value string }

// speaksIPv6 is how an interface with IPv6 addresses of the router's is to be, in the order in which it is set.
var speaksIPv6 = []setting{
	{"accept_ra", "0"},         // what it is to have, it has
	{"autoconf", "0"},          //
	{"accept_dad", "0"},        // nobody else is on its link
	{"keep_addr_on_down", "1"}, // as IPv4 has it: who sets it down and up again has what he had
	{"disable_ipv6", "0"},      // last: it has a link-local address from then on
}

// mute keeps the host's own port from announcing what nobody asked for; where that can't be set, the router drops it.
var mute = setting{"disable_ipv6", "1"}

func settingFile(device, name string) string {
	return "/proc/sys/net/ipv6/conf/" + device + "/" + name
}

// set writes a setting in the calling thread's network namespace.
func (v setting) set(device string) error {
	return os.WriteFile(settingFile(device, v.name), []byte(v.value), 0o644)
}

// settingOf is what an interface has; not ok where there is no such setting, or no IPv6 at all.
func settingOf(device, name string) (value string, ok bool) {
	b, err := os.ReadFile(settingFile(device, name))
	return strings.TrimSpace(string(b)), err == nil
}

// speak lets the interface have IPv6 addresses, without waiting for anybody else's. Of a device that was found, what
// it had is written down. l is nil if there is none yet.
func (s *setup) speak(l netlink.Link) {
	var todo []setting
	for _, v := range speaksIPv6 {
		is, ok := "", true
		if l != nil {
			is, ok = settingOf(l.Attrs().Name, v.name)
		}
		if ok && is != v.value {
			todo = append(todo, v)
			if _, known := s.entry.Settings[v.name]; s.entry.Found && !known {
				settings := map[string]string{v.name: is}
				for name, value := range s.entry.Settings {
					settings[name] = value
				}
				s.entry.Settings = settings
			}
		}
	}
	if len(todo) > 0 {
		s.step(func(l netlink.Link) error { return s.setAll(l, todo) }, "let %s speak IPv6", s.Name)
	}
}

func (s *setup) setAll(l netlink.Link, todo []setting) error {
	l, err := s.nl.LinkByIndex(l.Attrs().Index) // it may have another name by now
	if err != nil {
		return err
	}
	device := l.Attrs().Name
	for _, v := range todo {
		err := v.set(device)
		written()
		if is, _ := settingOf(device, v.name); v.name == "disable_ipv6" && is != v.value {
			return fmt.Errorf("%s: IPv6 is disabled there (net.ipv6.conf.%s.disable_ipv6), and cannot be enabled: %w", s.Name, device, err)
		}
	}
	return nil
}

// linkLocalOf are an interface's addresses of that kind, where it is to have IPv6 addresses.
func (s *setup) linkLocalOf(l netlink.Link) (all []netip.Addr) {
	if s.has(unix.AF_INET6) {
		_ = addresses(unix.AF_INET6, l.Attrs().Index, func(a netip.Prefix) bool {
			if a.Addr().IsLinkLocalUnicast() {
				all = append(all, a.Addr())
			}
			return true
		})
	}
	return all
}

// putBackSettings is about a device that was found.
func (e *Entry) putBackSettings(device string) {
	for i := range speaksIPv6 {
		name := speaksIPv6[len(speaksIPv6)-1-i].name
		if was, ok := e.Settings[name]; ok {
			_ = setting{name, was}.set(device)
			written()
		}
	}
}
