package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version = ""

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}

// built is which program this is.
type built struct {
	Version   string `json:"version"`
	GoVersion string `json:"go_version"`
	System    string `json:"system"`
}

func newVersion(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "The version of vrouter", Args: noArgs,
		Example: "  vrouter version -o json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.printVersion(cmd) },
	}
	c.outputFlag(cmd)
	return cmd
}

func (c *cli) printVersion(cmd *cobra.Command) error {
	b := built{buildVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if c.output == "json" {
		return c.print(cmd, b, nil)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "vrouter %s %s %s\n", b.Version, b.GoVersion, b.System)
	return err
}
