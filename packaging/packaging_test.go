// Package packaging holds what is installed beside the program. Its tests look at the
// files as they are here; `make debtest` at the package that is made of them.
package packaging

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/vrouter/vrouter/internal/config"
)

// The configuration that is installed is right as it is, and stays so when the
// comments are taken off its keys.
func TestConfiguration(t *testing.T) {
	b, err := os.ReadFile("vrouter.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.Parse("vrouter.yaml", b); err != nil {
		t.Error(err)
	}
	all := regexp.MustCompile(`(?m)^#([ a-z])`).ReplaceAllStringFunc(string(b), func(s string) string {
		if s == "# " {
			return s // a comment for people, or a key below one
		}
		return s[1:]
	})
	all = regexp.MustCompile(`(?m)^#(  +)`).ReplaceAllString(all, "$1")
	c, err := config.Parse("vrouter.yaml", []byte(all))
	if err != nil {
		t.Fatalf("without the comments: %v\n%s", err, all)
	}
	if len(c.Workloads) != 1 || c.Routes.Len() != 1 || c.IPIP.Mode != config.ModeCrossSubnet || len(c.Kernel.Import) != 1 || c.Control.Group != "adm" {
		t.Errorf("without the comments it says %+v", c)
	}
}

// A mount namespace would hide the named namespaces that the router makes from
// everybody else: what asks systemd for one must not be in the unit.
func TestUnitHasNoMountNamespace(t *testing.T) {
	b, err := os.ReadFile("vrouter.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		key, _, _ := strings.Cut(line, "=")
		switch key {
		case "ProtectSystem", "ProtectHome", "ProtectProc", "ProcSubset", "PrivateTmp", "PrivateDevices", "PrivateMounts", "PrivateNetwork",
			"ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups",
			"ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths", "TemporaryFileSystem",
			"BindPaths", "BindReadOnlyPaths", "RootDirectory", "RootImage", "MountFlags", "DynamicUser", "LogNamespace":
			t.Errorf("%s makes systemd mount: `ip netns` on the host would not see the workloads", line)
		}
	}
}
