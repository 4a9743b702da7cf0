package cnitest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"
)

func (s *suite) add(t *testing.T) {
	c := s.container(t)
	_, r := s.result(t, s.wantOK(t, "ADD", c))
	c.wantInterface(t, r)
	s.wantGone(t, c)
}

// wantGone calls DEL, after which nothing is in the namespace.
func (s *suite) wantGone(t *testing.T, c *container) {
	t.Helper()
	s.wantOK(t, "DEL", c)
	if left := c.interfaces(t); len(left) > 0 {
		t.Errorf("after DEL %v is left", left)
	}
}

// A second ADD without a DEL is an error, and does the first no harm.
func (s *suite) addTwice(t *testing.T) {
	c := s.container(t)
	_, r := s.result(t, s.wantOK(t, "ADD", c))
	if _, e := s.call(t, "ADD", c.env(), s.config()); e == nil {
		t.Error("a second ADD succeeds")
	}
	c.wantInterface(t, r)
	s.wantGone(t, c)
	_, r = s.result(t, s.wantOK(t, "ADD", c))
	c.wantInterface(t, r)
	s.wantGone(t, c)
}

func (s *suite) delTwice(t *testing.T) {
	c := s.container(t)
	s.wantGone(t, c) // what was never added
	s.wantOK(t, "ADD", c)
	s.wantGone(t, c)
	s.wantGone(t, c)
}

// The container's namespace may be gone when DEL comes, or not be told.
func (s *suite) delWithout(t *testing.T) {
	for _, tell := range []bool{true, false} {
		c := s.container(t)
		s.wantOK(t, "ADD", c)
		if err := c.ns.Delete(); err != nil {
			t.Fatal(err)
		}
		if !tell {
			c.netns = ""
		}
		s.wantOK(t, "DEL", c)
		s.wantOK(t, "DEL", c)
	}
}

func (s *suite) check(t *testing.T) {
	c := s.container(t)
	raw, _ := s.result(t, s.wantOK(t, "ADD", c))
	s.wantOK(t, "CHECK", c, "prevResult", raw)
	wrong := func(what, config string, env []string) {
		t.Helper()
		if _, e := s.call(t, "CHECK", env, config); e == nil {
			t.Errorf("CHECK succeeds %s", what)
		}
	}
	wrong("without prevResult", s.config(), c.env())
	for _, lie := range []string{`{"cniVersion": "` + s.version + `", "interfaces": [], "ips": []}`, `{"cniVersion": "9.9.9"}`, `[1]`, `"text"`} {
		wrong("with prevResult "+lie, s.config("prevResult", json.RawMessage(lie)), c.env())
	}
	other := s.container(t)
	wrong("for a container that was never added", s.config("prevResult", raw), other.env())
	if err := c.ns.Do(func() error {
		l, err := netlink.LinkByName(c.ifname)
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	}); err != nil {
		t.Fatal(err)
	}
	wrong("when somebody has removed the interface", s.config("prevResult", raw), c.env())
	s.wantOK(t, "DEL", c)
}

// GC takes what no container has that the runtime names, and lets all others be.
func (s *suite) gc(t *testing.T) {
	if !s.atLeast("1.1.0") {
		if _, e := s.call(t, "GC", nil, s.config()); e == nil || e.Code != types.ErrIncompatibleCNIVersion {
			t.Errorf("GC at %s: %v, want code 1", s.version, e)
		}
		return
	}
	stays, goes := s.container(t), s.container(t)
	raw, r := s.result(t, s.wantOK(t, "ADD", stays))
	s.wantOK(t, "ADD", goes)
	valid := []map[string]string{{"containerID": stays.id, "ifname": stays.ifname}}
	for range 2 {
		s.wantOK(t, "GC", nil, "cni.dev/valid-attachments", valid)
		stays.wantInterface(t, r)
		s.wantOK(t, "CHECK", stays, "prevResult", raw)
		if left := goes.interfaces(t); len(left) > 0 {
			t.Errorf("GC leaves %v to a container that the runtime does not know", left)
		}
	}
	s.wantOK(t, "DEL", goes)
	s.wantOK(t, "GC", nil, "cni.dev/valid-attachments", []string{})
	if left := stays.interfaces(t); len(left) > 0 {
		t.Errorf("GC of all leaves %v", left)
	}
}

func (s *suite) status(t *testing.T) {
	if !s.atLeast("1.1.0") {
		if _, e := s.call(t, "STATUS", nil, s.config()); e == nil || e.Code != types.ErrIncompatibleCNIVersion {
			t.Errorf("STATUS at %s: %v, want code 1", s.version, e)
		}
		return
	}
	s.wantOK(t, "STATUS", nil)
	if s.Unavailable == nil {
		return
	}
	c := s.container(t)
	s.Unavailable(t, func() {
		if _, e := s.call(t, "STATUS", nil, s.config()); e == nil || e.Code != types.ErrPluginNotAvailable && e.Code != types.ErrLimitedConnectivity {
			t.Errorf("STATUS while nothing can be added: %v, want code 50 or 51", e)
		}
		if _, e := s.call(t, "ADD", c.env(), s.config()); e == nil {
			t.Error("ADD succeeds while nothing can be added")
		}
		s.wantOK(t, "DEL", c)
	})
}

// garbage is an error each, and leaves nothing behind.
func (s *suite) garbage(t *testing.T) {
	c := s.container(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("no namespace"), 0o644); err != nil {
		t.Fatal(err)
	}
	with := func(id, ifname, netns string) []string {
		return (&container{id: id, ifname: ifname, netns: netns}).env()
	}
	good := s.config()
	for _, g := range []struct {
		what   string
		env    []string
		config string
		code   uint // 0: any
	}{
		{"nothing on stdin", c.env(), "", types.ErrDecodingFailure},
		{"JSON cut off", c.env(), good[:len(good)/2], types.ErrDecodingFailure},
		{"a list", c.env(), "[]", types.ErrDecodingFailure},
		{"no name", c.env(), s.config("name", ""), types.ErrInvalidNetworkConfig},
		{"a name with a slash", c.env(), s.config("name", "../x"), types.ErrInvalidNetworkConfig},
		{"a name of 300 signs", c.env(), s.config("name", strings.Repeat("n", 300)), 0},
		{"an unknown version", c.env(), s.config("cniVersion", "9.9.9"), types.ErrIncompatibleCNIVersion},
		{"no id", with("", c.ifname, c.netns), good, types.ErrInvalidEnvironmentVariables},
		{"an id with a slash", with("a/b", c.ifname, c.netns), good, types.ErrInvalidEnvironmentVariables},
		{"an id of 300 signs", with(strings.Repeat("a", 300), c.ifname, c.netns), good, 0},
		{"no interface", with(c.id, "", c.netns), good, types.ErrInvalidEnvironmentVariables},
		{"an interface of 300 signs", with(c.id, strings.Repeat("e", 300), c.netns), good, types.ErrInvalidEnvironmentVariables},
		{"an interface with a slash", with(c.id, "a/b", c.netns), good, types.ErrInvalidEnvironmentVariables},
		{"lo", with(c.id, "lo", c.netns), good, 0},
		{"no namespace", with(c.id, c.ifname, ""), good, types.ErrInvalidEnvironmentVariables},
		{"a namespace that is gone", with(c.id, c.ifname, "/run/netns/cnitest-gone"), good, 0},
		{"a namespace that is a file", with(c.id, c.ifname, file), good, 0},
		{"a namespace that is a directory", with(c.id, c.ifname, t.TempDir()), good, 0},
		{"the plugin's own namespace", with(c.id, c.ifname, "/proc/self/ns/net"), good, 0},
	} {
		_, e := s.call(t, "ADD", g.env, g.config)
		switch {
		case e == nil:
			t.Errorf("ADD with %s succeeds", g.what)
		case g.code != 0 && e.Code != g.code:
			t.Errorf("ADD with %s: code %d, want %d: %v", g.what, e.Code, g.code, e)
		}
		if left := c.interfaces(t); len(left) > 0 {
			t.Fatalf("ADD with %s has made %v", g.what, left)
		}
	}
	if _, e := s.call(t, "FROB", c.env(), good); e == nil || e.Code != types.ErrInvalidEnvironmentVariables {
		t.Errorf("CNI_COMMAND=FROB: %v, want code 4", e)
	}
	s.exists(t)
}

// exists is an interface of that name that is there already, and stays.
func (s *suite) exists(t *testing.T) {
	c := s.container(t)
	if err := c.ns.Do(func() error {
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: c.ifname}})
	}); err != nil {
		t.Fatal(err)
	}
	if _, e := s.call(t, "ADD", c.env(), s.config()); e == nil {
		t.Error("ADD succeeds where the interface exists")
	}
	if left := c.interfaces(t); len(left) != 1 {
		t.Errorf("ADD where the interface exists leaves %v", left)
	}
	c.ns.Do(func() error { return netlink.LinkDel(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: c.ifname}}) })
	s.wantOK(t, "DEL", c)
}

// Of two ADDs at once for one interface one succeeds, at the most, and after DEL nothing is left.
func (s *suite) atOnce(t *testing.T) {
	for range 5 {
		c := s.container(t)
		outs := make([][]byte, 2)
		var all sync.WaitGroup
		for i := range outs {
			all.Go(func() { outs[i], _ = s.call(t, "ADD", c.env(), s.config()) })
		}
		all.Wait()
		if outs[0] != nil && outs[1] != nil {
			t.Error("both of two ADDs for one interface succeed")
		}
		for _, out := range outs {
			if out != nil {
				_, r := s.result(t, out)
				c.wantInterface(t, r)
			}
		}
		s.wantGone(t, c)
	}
}

// Many containers come at once, and have an address each.
func (s *suite) many(t *testing.T) {
	containers, outs := make([]*container, 20), make([][]byte, 20)
	for i := range containers {
		containers[i] = s.container(t)
	}
	var all sync.WaitGroup
	for i, c := range containers {
		all.Go(func() {
			var e *types.Error
			if outs[i], e = s.call(t, "ADD", c.env(), s.config()); e != nil {
				t.Errorf("ADD: code %d: %v", e.Code, e)
			}
		})
	}
	all.Wait()
	taken := map[string]bool{}
	for i, c := range containers {
		if outs[i] == nil {
			continue
		}
		_, r := s.result(t, outs[i])
		c.wantInterface(t, r)
		for _, ip := range r.IPs {
			if taken[ip.Address.IP.String()] {
				t.Errorf("two containers have %s", ip.Address.IP)
			}
			taken[ip.Address.IP.String()] = true
		}
	}
	for _, c := range containers {
		all.Go(func() { s.wantGone(t, c) })
	}
	all.Wait()
}

// killed ends an ADD at many points. After it DEL, or GC, leaves nothing, and the container can be added.
func (s *suite) killed(t *testing.T) {
	points := s.Kills
	if points == 0 {
		points = 12
	}
	c := s.container(t)
	began := time.Now()
	s.wantOK(t, "ADD", c)
	took := time.Since(began)
	s.wantGone(t, c)
	for i := range points {
		c := s.container(t)
		cmd := s.command("ADD", c.env(), s.config())
		cmd.Stderr = &bytes.Buffer{} // so that Wait waits for whom it has called, too
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		point := time.Duration(i+1) * took / time.Duration(points)
		time.AfterFunc(point, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		if s.atLeast("1.1.0") && i%2 == 0 {
			s.wantOK(t, "GC", nil, "cni.dev/valid-attachments", []string{})
			if left := c.interfaces(t); len(left) > 0 {
				t.Errorf("killed after %v: GC leaves %v", point, left)
			}
		} else {
			s.wantGone(t, c)
		}
		_, r := s.result(t, s.wantOK(t, "ADD", c))
		c.wantInterface(t, r)
		s.wantGone(t, c)
	}
}
