// Package cnitest holds a plugin of the Container Network Interface to its specification: each verb in each version, what
// must be the same when it is done twice, bad input, two calls at once, and a plugin that is killed at any point. It runs
// as root, in a network namespace that the plugin may change.
package cnitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	_ "github.com/containernetworking/cni/pkg/types/040" // its results
	"github.com/vrouter/vrouter/internal/workload"
)

// Plugin is what is tested.
type Plugin struct {
	Path     string         // of the executable
	Dirs     []string       // where it finds others that it calls: CNI_PATH
	Versions []string       // of the specification that it is to speak
	Config   map[string]any // of a network, without cniVersion and name
	// Leftovers are all traces that containers have left outside their namespaces, such as addresses that are taken; nil:
	// the host's interfaces alone are looked at.
	Leftovers func(t *testing.T) []string
	// Unavailable calls f while the plugin can add nothing; nil: that is not tested.
	Unavailable func(t *testing.T, f func())
	// Kills is at how many points of an ADD the plugin is killed; 0: 12.
	Kills int
}

// Run runs all tests.
func Run(t *testing.T, p Plugin) {
	t.Run("VERSION", p.version)
	for _, v := range p.Versions {
		t.Run(v, func(t *testing.T) {
			s := &suite{Plugin: p, version: v}
			for _, c := range []struct {
				name string
				test func(*suite, *testing.T)
			}{
				{"ADD", (*suite).add}, {"ADD twice", (*suite).addTwice}, {"DEL twice", (*suite).delTwice},
				{"DEL without a namespace", (*suite).delWithout}, {"CHECK", (*suite).check}, {"GC", (*suite).gc}, {"STATUS", (*suite).status},
				{"garbage", (*suite).garbage}, {"two at once", (*suite).atOnce}, {"many at once", (*suite).many}, {"killed", (*suite).killed},
			} {
				t.Run(c.name, func(t *testing.T) {
					before := s.traces(t)
					c.test(s, t)
					if after := s.traces(t); !slices.Equal(before, after) {
						t.Errorf("left behind: %q; before there was %q", after, before)
					}
				})
			}
		})
	}
}

func (p Plugin) version(t *testing.T) {
	out, e := p.call(t, "VERSION", nil, "")
	var said struct {
		CNIVersion        string   `json:"cniVersion"`
		SupportedVersions []string `json:"supportedVersions"`
	}
	if e != nil || json.Unmarshal(out, &said) != nil || said.CNIVersion == "" {
		t.Fatalf("VERSION: %v %s", e, out)
	}
	for _, v := range p.Versions {
		if !slices.Contains(said.SupportedVersions, v) {
			t.Errorf("VERSION does not name %s: %s", v, out)
		}
	}
}

// suite is the tests of one version.
type suite struct {
	Plugin
	version string
}

// atLeast compares by the order of the specification's versions.
func (s *suite) atLeast(v string) bool { return s.version >= v }

// container is one, with the variables that the runtime gives.
type container struct {
	id, ifname, netns string
	ns                workload.Namespace
}

var made atomic.Int32

// container makes a namespace, which goes with the test.
func (s *suite) container(t *testing.T) *container {
	t.Helper()
	n := made.Add(1)
	ns, err := workload.Create(fmt.Sprintf("cnitest-%d-%d", os.Getpid(), n))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Delete() })
	return &container{fmt.Sprintf("%059d%05d", os.Getpid(), n), "eth0", string(ns), ns}
}

func (c *container) env() []string {
	return []string{"CNI_CONTAINERID=" + c.id, "CNI_IFNAME=" + c.ifname, "CNI_NETNS=" + c.netns}
}

// interfaces are a container's, without lo.
func (c *container) interfaces(t *testing.T) (all []string) {
	t.Helper()
	err := c.ns.Do(func() error {
		links, err := netlink.LinkList()
		for _, l := range links {
			if l.Attrs().Name != "lo" {
				all = append(all, l.Attrs().Name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// network is the name of that of the tests.
const network = "cnitest"

// config is the network's, with more keys.
func (s *suite) config(more ...any) string {
	c := map[string]any{"cniVersion": s.version, "name": network, "type": filepath.Base(s.Path)}
	for k, v := range s.Config {
		c[k] = v
	}
	for i := 0; i < len(more); i += 2 {
		c[more[i].(string)] = more[i+1]
	}
	b, _ := json.Marshal(c)
	return string(b)
}

func (p Plugin) command(verb string, env []string, stdin string) *exec.Cmd {
	cmd := exec.Command(p.Path)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "CNI_COMMAND=" + verb, "CNI_PATH=" + strings.Join(p.Dirs, ":")}, env...)
	cmd.Stdin = strings.NewReader(stdin)
	return cmd
}

// call is one of the runtime's. An error has the form of the specification.
func (p Plugin) call(t *testing.T, verb string, env []string, stdin string) (out []byte, failed *types.Error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := p.command(verb, env, stdin)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err == nil {
		return stdout.Bytes(), nil
	}
	failed = &types.Error{}
	d := json.NewDecoder(&stdout)
	d.DisallowUnknownFields()
	if derr := d.Decode(&struct {
		*types.Error
		CNIVersion string `json:"cniVersion"`
	}{Error: failed}); derr != nil || failed.Code == 0 || failed.Msg == "" {
		t.Errorf("%s: %v, and on stdout there is no error as JSON with code and msg: %s%s", verb, err, stdout.Bytes(), stderr.Bytes())
		return nil, &types.Error{Code: 999, Msg: err.Error()}
	}
	if failed.Details == "" {
		t.Logf("%s: an error without details: %v", verb, failed)
	}
	return nil, failed
}

// wantOK calls, and wants success.
func (s *suite) wantOK(t *testing.T, verb string, c *container, more ...any) []byte {
	t.Helper()
	var env []string
	if c != nil {
		env = c.env()
	}
	out, e := s.call(t, verb, env, s.config(more...))
	if e != nil {
		t.Fatalf("%s: code %d: %v", verb, e.Code, e)
	}
	return out
}

// result is what ADD has printed, as it is and in the newest form.
func (s *suite) result(t *testing.T, out []byte) (raw json.RawMessage, r *types100.Result) {
	t.Helper()
	parsed, err := create.CreateFromBytes(out)
	if err != nil {
		t.Fatalf("ADD: %v in %s", err, out)
	}
	if parsed.Version() != s.version {
		t.Errorf("ADD: a result of version %s, want %s", parsed.Version(), s.version)
	}
	if r, err = types100.NewResultFromResult(parsed); err != nil {
		t.Fatalf("ADD: %v in %s", err, out)
	}
	return out, r
}

// traces are what there is on the host.
func (s *suite) traces(t *testing.T) (all []string) {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		all = append(all, "interface "+l.Attrs().Name)
	}
	if s.Leftovers != nil {
		all = append(all, s.Leftovers(t)...)
	}
	slices.Sort(all)
	return all
}

// wantInterface holds a result against what is in the namespace.
func (c *container) wantInterface(t *testing.T, r *types100.Result) {
	t.Helper()
	i := slices.IndexFunc(r.Interfaces, func(i *types100.Interface) bool { return i.Name == c.ifname && i.Sandbox == c.netns })
	if i < 0 {
		t.Fatalf("the result has no interface %s in %s: %+v", c.ifname, c.netns, r)
	}
	ns, err := netns.GetFromPath(c.netns)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	nl, err := netlink.NewHandleAt(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer nl.Close()
	l, err := nl.LinkByName(c.ifname)
	if err != nil {
		t.Fatal(err)
	}
	if mac := l.Attrs().HardwareAddr.String(); mac != r.Interfaces[i].Mac {
		t.Errorf("the result says MAC %s, the interface has %s", r.Interfaces[i].Mac, mac)
	}
	if l.Attrs().Flags&net.FlagUp == 0 {
		t.Error("the interface is down")
	}
	there, err := nl.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	for _, ip := range r.IPs {
		if ip.Interface == nil || *ip.Interface != i {
			t.Errorf("%s belongs to interface %v of the result, not to %d", ip.Address.String(), ip.Interface, i)
		}
		if !slices.ContainsFunc(there, func(a netlink.Addr) bool { return a.IPNet.String() == ip.Address.String() }) {
			t.Errorf("the result says %s, which the interface does not have: %v", ip.Address.String(), there)
		}
	}
	if len(r.IPs) == 0 {
		t.Error("the result has no address")
	}
	for _, route := range r.Routes {
		family := netlink.FAMILY_V4
		if route.Dst.IP.To4() == nil {
			family = netlink.FAMILY_V6
		}
		all, err := nl.RouteList(nil, family)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(all, func(o netlink.Route) bool {
			return (o.Dst == nil && ones(route.Dst) == 0 || o.Dst != nil && o.Dst.String() == route.Dst.String()) && (route.GW == nil || route.GW.Equal(o.Gw))
		}) {
			t.Errorf("the result has route %s via %v, which is not there: %v", route.Dst.String(), route.GW, all)
		}
	}
}

func ones(n net.IPNet) int {
	bits, _ := n.Mask.Size()
	return bits
}
