package doctor

import (
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/config"
)

// No virtual interface does LRO, so lo stands in for one: what the kernel says of
// it is right without, and here with.
func TestLargeReceiveOffload(t *testing.T) {
	if _, err := netlink.LinkByName("lo"); err != nil {
		t.Fatal(err)
	}
	h := &Host{Config: &config.Host{Uplink: config.Uplink{Interface: "lo"}}}
	c := &check{name: "offload", fine: "fine", look: largeReceiveOffload}
	if f := c.run(h); len(f) != 1 || f[0].State != OK {
		t.Fatalf("lo has no LRO, but %+v", f)
	}
	const other = 1 << 14
	flags, asked := uint32(flagLRO|other), deviceFlags
	set := setDeviceFlags
	t.Cleanup(func() { deviceFlags, setDeviceFlags = asked, set })
	deviceFlags = func(string) (uint32, error) { return flags, nil }
	setDeviceFlags = func(_ string, f uint32) error {
		flags = f
		return nil
	}
	found := c.run(h)
	if len(found) != 1 || found[0].State != Fail || found[0].Mend != "ethtool -K lo lro off" {
		t.Fatalf("with LRO: %+v", found)
	}
	if f := c.mend(h, found); len(f) != 1 || f[0].State != OK || f[0].Done != "ethtool -K lo lro off" {
		t.Errorf("mended: %+v", f)
	}
	if flags != other {
		t.Errorf("the other flags are %#x now, were %#x", flags, other)
	}
}
