package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/filter"
)

// eachCommand visits each command that a user may type.
func eachCommand(t *testing.T, visit func(t *testing.T, cmd *cobra.Command)) {
	var below func(*cobra.Command)
	below = func(cmd *cobra.Command) {
		t.Run(cmd.CommandPath(), func(t *testing.T) { visit(t, cmd) })
		for _, child := range cmd.Commands() {
			if child.Name() != "carry" { // a part of the lab, which starts it
				below(child)
			}
		}
	}
	below(newRoot())
}

// The help of each command says in a line what it does, and shows how it is written.
func TestEveryCommandHelps(t *testing.T) {
	eachCommand(t, func(t *testing.T, cmd *cobra.Command) {
		switch {
		case cmd.Short == "" || strings.Contains(cmd.Short, "\n") || strings.HasSuffix(cmd.Short, "."):
			t.Errorf("its summary is %q", cmd.Short)
		case !strings.Contains(cmd.Example, "vrouter"):
			t.Errorf("its example is %q", cmd.Example)
		}
		for line := range strings.Lines(cmd.Example) {
			if !strings.HasPrefix(line, "  ") {
				t.Errorf("the example %q is not set in by two blanks", line)
			}
		}
		words := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		if out, err := typed(words...); err != nil || !strings.Contains(out, "Examples:\n"+cmd.Example) || !strings.Contains(out, "Usage:") {
			t.Errorf("%v: %v\n%s", words, err, out)
		}
	})
}

// What a filter is offered is a filter.
func TestFilterWords(t *testing.T) {
	for _, word := range filterWords {
		switch word {
		case "and", "or":
			word = "ip " + word + " ip"
		case "not":
			word += " ip"
		case "src", "dst", "host", "net":
			word += " 10.70.1.1"
		case "port":
			word += " 80"
		}
		if _, err := filter.Parse(word); err != nil {
			t.Error(err)
		}
	}
}

// The words of each example are those of a command and its flags.
func TestExamplesAreCommands(t *testing.T) {
	eachCommand(t, func(t *testing.T, cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			_, words, found := strings.Cut(strings.Split(line, " >")[0], "vrouter ")
			if !found {
				continue
			}
			args := strings.Fields(words)
			called, rest, err := newRoot().Find(args)
			if err != nil || called.CommandPath() != cmd.CommandPath() && !cmd.HasSubCommands() && !called.HasParent() {
				t.Errorf("%q calls %s: %v", line, called.CommandPath(), err)
				continue
			}
			if err := called.ParseFlags(rest); err != nil && called.Name() != "help" {
				t.Errorf("%q: %v", line, err)
			}
		}
	})
}

// --socket is refused by a command that asks no router, and its help does not speak of it.
func TestSocketIsRefused(t *testing.T) {
	t.Setenv("VROUTER_SOCKET", "")
	asking := 0
	eachCommand(t, func(t *testing.T, cmd *cobra.Command) {
		words := strings.Fields(cmd.CommandPath())[1:]
		asks := cmd.Annotations[asksRouter] != ""
		if out, _ := typed(append(words, "--help")...); strings.Contains(out, "--socket") != (asks || len(words) == 0) {
			t.Errorf("asks a router: %v, but its help is\n%s", asks, out)
		}
		if asks {
			asking++
			return
		}
		if !cmd.HasParent() || cmd.Name() == "help" || cmd.Parent().Name() == "completion" {
			return
		}
		root := newRoot()
		root.SetArgs(append([]string{"--socket", "/nowhere"}, words...))
		root.SetOut(&bytes.Buffer{})
		root.SetErr(&bytes.Buffer{})
		found, rest, err := root.Find(words)
		if err != nil {
			t.Fatal(err)
		}
		if err := found.ParseFlags(append(rest, "--socket", "/nowhere")); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"config"} {
			if found.Flag(f) != nil {
				_ = found.Flags().Set(f, "FILE")
			}
		}
		if err := checkFlags(found, nil); err == nil || !strings.Contains(err.Error(), "asks no router") {
			t.Errorf("--socket /nowhere: %v", err)
		}
	})
	if asking < 25 {
		t.Errorf("%d commands ask a router", asking)
	}
	for _, words := range []string{"trace --hosts a", "explain --hosts a x", "doctor --config x"} {
		if _, err := typed(append([]string{"--socket", "/nowhere"}, strings.Fields(words)...)...); err == nil || !strings.Contains(err.Error(), "--socket") || !strings.Contains(err.Error(), "exclude") {
			t.Errorf("vrouter --socket /nowhere %s: %v", words, err)
		}
	}
}

// A group without a word lists.
func TestBareGroups(t *testing.T) {
	for bare, list := range map[string]string{"route": "route list", "workload": "workload list", "lab": "lab status", "ports": "ports list"} {
		a, _, _ := newRoot().Find(strings.Fields(bare))
		b, _, _ := newRoot().Find(strings.Fields(list))
		if err := a.Args(a, nil); err != nil {
			t.Errorf("vrouter %s: %v", bare, err)
		}
		for _, flag := range []string{"output", "all"} {
			if (a.Flags().Lookup(flag) == nil) != (b.Flags().Lookup(flag) == nil) {
				t.Errorf("vrouter %s and vrouter %s do not both take --%s", bare, list, flag)
			}
		}
	}
	out, err := typed("show")
	for _, word := range []string{"routes", "workloads", "neighbors", "drops", "ports", "tunnels", "config", "packets", "paths", "held"} {
		if err != nil || !strings.Contains(out, "\n"+word) {
			t.Errorf("vrouter show: %v, without %s:\n%s", err, word, out)
		}
	}
	if out, err := typed("show", "-o", "json"); err != nil || !strings.HasPrefix(out, "[\n") {
		t.Errorf("vrouter show -o json: %v\n%s", err, out)
	}
	if out, err := typed("completion"); err != nil || !strings.Contains(out, "fish") {
		t.Errorf("vrouter completion: %v\n%s", err, out)
	}
}

// What is no file is not completed as one.
func TestCompletesNoFiles(t *testing.T) {
	eachCommand(t, func(t *testing.T, cmd *cobra.Command) {
		words := append(append([]string{"__complete"}, strings.Fields(cmd.CommandPath())[1:]...), "")
		out, err := typed(words...)
		directive := out[strings.LastIndex(out, "\n:")+1:]
		files := strings.HasPrefix(directive, ":0\n") || strings.HasPrefix(directive, ":8\n")
		if want := cmd.CommandPath() == "vrouter lab check" || cmd.CommandPath() == "vrouter replay"; err != nil || files != want {
			t.Errorf("%v: offers files: %v, want %v\n%s", err, files, want, out)
		}
	})
}

func TestCompletesNames(t *testing.T) {
	for words, want := range map[string]string{
		"lab break far":         "far-mtu",
		"trace --step r":        "route",
		"trace --reason no_r":   "no_route",
		"show drops ttl":        "ttl_exceeded",
		"trace icmp and h":      "host",
		"show ports -o w":       "wide",
		"--color n":             "never",
		"lab link 10.0.0.0/8 l": "loss",
		"show neigh":            "neighbors",
		"route add 10.70.2.1 via 192.168.0.12 encap v": "vxlan",
	} {
		if out, err := typed(append([]string{"__complete"}, strings.Fields(words)...)...); err != nil || !strings.Contains("\n"+out, "\n"+want) {
			t.Errorf("%s: %v, without %s:\n%s", words, err, want, out)
		}
	}
}
