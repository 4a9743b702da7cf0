package host

import (
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vrouter/vrouter/internal/workload"
)

// What net.ipv6.conf says of a device that was found is put back; so is what the namespace said of all.
func TestIPv6OfAFoundInterface(t *testing.T) {
	const ns = workload.Namespace("/run/netns/theirs")
	userNamespace(t, ns, func() error {
		tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, Mode: netlink.TUNTAP_MODE_TAP}
		return errors.Join(setting{"disable_ipv6", "1"}.set("all"), setting{"disable_ipv6", "1"}.set("default"), netlink.LinkAdd(tap))
	})
	defer ns.Delete()
	settings := func() map[string]string {
		all := map[string]string{}
		must(t, ns.Do(func() error {
			for _, v := range speaksIPv6 {
				all[v.name], _ = settingOf("eth0", v.name)
			}
			all["all"], _ = settingOf("all", "disable_ipv6")
			return nil
		}))
		return all
	}
	was := settings()
	must(t, bridge("ens161", "192.168.1.11/24"))
	defer func() {
		l, err := netlink.LinkByName("ens161")
		must(t, errors.Join(err, netlink.LinkDel(l)))
	}()
	log := slog.New(slog.DiscardHandler)
	h, err := Open("ens161", "", log)
	must(t, err)
	eth0 := &Interface{Namespace: ns, Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("fd00:70:1::1/128")},
		Gateway6: netip.MustParseAddr("fe80::ecee:eeff:feee:eeee"), MTU: 1400, Workload: "w"}
	must(t, h.Apply([]Object{&Namespace{Path: ns, Workload: "w"}, eth0}))
	it := h.Item(eth0.ID())
	must(t, it.Err)
	want := map[string]string{"accept_ra": "0", "autoconf": "0", "accept_dad": "0", "keep_addr_on_down": "1", "disable_ipv6": "0", "all": "1"}
	if got := settings(); !maps.Equal(got, want) {
		t.Errorf("settings %v, want %v", got, want)
	}
	if len(it.LinkLocal) != 1 || !it.LinkLocal[0].IsLinkLocalUnicast() {
		t.Errorf("link-local addresses %v, want one", it.LinkLocal)
	}
	must(t, ns.Do(func() error {
		l, err := netlink.LinkByName("eth0")
		must(t, err)
		all, err := netlink.AddrList(l, netlink.FAMILY_V6)
		for _, a := range all {
			if a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 && !a.IP.IsLinkLocalUnicast() { // that one is so until the kernel finds a moment
				t.Errorf("%v is tentative", a)
			}
		}
		// Set down and up again, it has what it had, and nobody is told that somebody has chosen so.
		return errors.Join(err, netlink.LinkSetDown(l), netlink.LinkSetUp(l))
	}))
	h.Touch(eth0.ID())
	h.LookForNamespaces()
	must(t, h.settle([]*Item{it}, true))
	if it.Note != "" || it.Err != nil {
		t.Errorf("after down and up: %q, %v", it.Note, it.Err)
	}
	if got := facts(ns); len(got) != 4 {
		t.Errorf("after down and up there is %q", got)
	}
	h.items[eth0.ID()].lose("")
	must(t, h.Close())
	if n, err := TakeBack("ens161", func(*Entry) bool { return true }, log); n == 0 || err != nil {
		t.Errorf("took back %d, %v", n, err)
	}
	if got := settings(); !maps.Equal(got, was) {
		t.Errorf("settings %v are left, they were %v", got, was)
	}
}
