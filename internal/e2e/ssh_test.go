//go:build ssh

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/timeline"
)

// sshd is a server on this machine, and the configuration of a client that knows it.
type sshd struct {
	dir, port string
}

// startSSHD starts one that takes one key. The commands that a test starts find a ssh that
// has the client's configuration.
func startSSHD(t *testing.T) *sshd {
	t.Helper()
	if err := withLink("lo", func(l netlink.Link) error { return netlink.LinkSetUp(l) }); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	s := &sshd{dir: t.TempDir(), port: port}
	for _, key := range []string{"host", "me", "stranger"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", s.file(key)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	s.write(t, "sshd_config", fmt.Sprintf("ListenAddress 127.0.0.1:%s\nHostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\n"+
		"PermitRootLogin prohibit-password\nPidFile none\n", port, s.file("host"), s.file("me.pub")))
	s.write(t, "known_hosts", fmt.Sprintf("[127.0.0.1]:%s %s", port, read(t, s.file("host.pub"))))
	s.write(t, "ssh", fmt.Sprintf("#!/bin/sh\nexec %s -F %s \"$@\"\n", where(t, "ssh"), s.file("ssh_config")))
	s.as(t, "me")
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where it shuts itself in
		t.Fatal(err)
	}
	d := start(t, exec.Command(where(t, "sshd"), "-D", "-e", "-f", s.file("sshd_config")), outsideOfAll)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("sshd says:\n%s", read(t, d.errors))
		}
	})
	eventually(t, "sshd listens", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	t.Setenv("PATH", s.dir+":"+os.Getenv("PATH"))
	return s
}

func (s *sshd) file(name string) string { return filepath.Join(s.dir, name) }

func (s *sshd) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(s.file(name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// as has the client use a key.
func (s *sshd) as(t *testing.T, key string) {
	t.Helper()
	s.write(t, "ssh_config", fmt.Sprintf("IdentityFile %s\nIdentitiesOnly yes\nUserKnownHostsFile %s\nBatchMode yes\n", s.file(key), s.file("known_hosts")))
}

func (s *sshd) url(socket string) string { return "ssh://root@127.0.0.1:" + s.port + socket }

// where finds a program that is not in everybody's PATH.
func where(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"/usr/bin", "/usr/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Fatalf("this test needs %s: apt-get install openssh-server openssh-client", name)
	return ""
}

func TestSSH(t *testing.T) {
	hosts := labUp(t, "")
	s := startSSHD(t)
	wantEcho(t, hosts[0].ns1, there, 62)
	both := s.url(hosts[0].Socket) + "," + s.url(hosts[1].Socket)
	list := ways(t, hosts, func() {
		// Between clocks that nobody knows to be one, the delay is checked by what comes back.
		wantEcho(t, hosts[0].ns1, there, 62)
	}, "trace", "--hosts", both, "-c", "1", "icmp")
	wantPing(t, list, forth, back)
	for _, p := range list[0].Packets {
		if p.From != "" && p.Clocks != timeline.ClocksAgree {
			t.Errorf("the clocks of two hosts by ssh are %q", p.Clocks)
		}
	}
	// A command about one router, too.
	if out := vrouter(t, "--socket", s.url(hosts[0].Socket), "workload", "list").wantOK(t); !hasLine(out, []string{"ns1", here}) {
		t.Errorf("workloads by ssh:\n%s", out)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "vrouter-ssh-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What ssh has to say is said.
func TestSSHFails(t *testing.T) {
	s := startSSHD(t)
	vrouter(t, "trace", "--hosts", s.url("/run/nobody.sock")).wantError(t, 1, "ssh says: .*open failed; see that `ssh root@127.0.0.1` works, and that the router's socket there is /run/nobody.sock")
	s.as(t, "stranger")
	vrouter(t, "trace", "--hosts", s.url("/run/nobody.sock")).wantError(t, 1, "ssh says: .*Permission denied")
	s.write(t, "known_hosts", "")
	vrouter(t, "trace", "--hosts", s.url("/run/nobody.sock")).wantError(t, 1, "ssh says: Host key verification failed")
	vrouter(t, "trace", "--hosts", "ssh://root@127.0.0.1:1").wantError(t, 1, "ssh says: .*port 1: Connection refused")
}
