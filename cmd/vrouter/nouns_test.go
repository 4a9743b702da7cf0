package main

import (
	"bytes"
	"strings"
	"testing"
)

// What can be shown is listed too, and by the same words.
func TestShowAndList(t *testing.T) {
	for _, noun := range []string{"routes", "workloads", "neighbors", "drops", "ports", "tunnels", "config", "packets", "paths", "held"} {
		want := ""
		for _, words := range [][]string{{"show", noun}, {noun, "list"}, {noun, "ls"}, {noun, "show"}} {
			cmd, rest, err := newRoot().Find(words)
			if err != nil || len(rest) > 0 || cmd.RunE == nil || cmd.HasSubCommands() {
				t.Errorf("vrouter %s: %v, %v", strings.Join(words, " "), rest, err)
				continue
			}
			if want == "" {
				want = cmd.Short
			}
			if cmd.Short != want {
				t.Errorf("vrouter %s: %q, want %q", strings.Join(words, " "), cmd.Short, want)
			}
		}
		if cmd, _, err := newRoot().Find([]string{noun}); err != nil || cmd.Args(cmd, nil) != nil {
			t.Errorf("vrouter %s alone: %v", noun, err)
		}
	}
}

// typed is what a command line that asks no router prints, and its error.
func typed(words ...string) (string, error) {
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(words)
	err := root.Execute()
	return out.String(), err
}

func TestTraps(t *testing.T) {
	for _, flag := range []string{"--version", "-V"} {
		if out, err := typed(flag); err != nil || !strings.HasPrefix(out, "vrouter ") || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: %q, %v", flag, out, err)
		}
	}
	for _, c := range []struct{ words, want string }{
		{"expain x", "did you mean explain"},
		{"show prots", "did you mean ports"},
		{"lab chek", "did you mean check"},
		{"lab show -x", "unknown shorthand flag"},
		{"show prots -o json", "did you mean ports"},
		{"rotues -o json", "did you mean route"},
		{"nieghbors", "did you mean neighbors"},
		{"trace --reson x", "did you mean --reason"},
		{"show ports -o jsno", "did you mean json"},
		{"trace --reason no_rute", "did you mean no_route"},
		{"trace --step roue", "did you mean route"},
		{"lab break far-mut", "did you mean far-mtu"},
		{"completion bsh", "did you mean bash"},
		{"help shwo", "did you mean show"},
		{"explain icmp 10.70.1.1 ttl 1", "quote it"},
		{"lab explain icmp 10.70.1.1", "quote it"},
		{"route get 10.70.1", "no IP address"},
	} {
		if _, err := typed(strings.Fields(c.words)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("vrouter %s: %v, want %q", c.words, err, c.want)
		}
	}
}
