package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/lab"
)

// several are the routers of a command that speaks to more than one.
type several struct {
	hosts []string
	files control.Files
}

func (s *several) flags(cmd *cobra.Command, what string) {
	f := cmd.Flags()
	f.StringSliceVar(&s.hosts, "hosts", nil, what)
	f.StringVar(&s.files.Cert, "cert", "", "certificate to show to https:// hosts, a PEM file")
	f.StringVar(&s.files.Key, "key", "", "its key, a PEM file")
	f.StringVar(&s.files.CA, "ca", "", "certificate of the authority that has signed theirs, a PEM file")
	_ = cmd.RegisterFlagCompletionFunc("hosts", completeHosts)
	for _, name := range []string{"cert", "key", "ca"} {
		_ = cmd.MarkFlagFilename(name, "pem", "crt", "key")
	}
}

func (s *several) check(cmd *cobra.Command) error {
	if s.hosts != nil && socketGiven(cmd) {
		return usagef("--socket and --hosts exclude each other: a path is a host too, --hosts PATH,…")
	}
	if s.files != (control.Files{}) && s.hosts == nil {
		return usagef("--cert, --key and --ca are for --hosts https://HOST:PORT")
	}
	return nil
}

// thisClock is that of all routers on this machine.
const thisClock = "here"

// sources finds the hosts that --hosts names.
func (s *several) sources(names []string) (list []follow.Source, err error) {
	for i, name := range names {
		if name == "" || slices.Contains(names[:i], name) {
			return nil, usagef("--hosts: %q: name each host once, with a comma between", name)
		}
		source := follow.Source{Name: name}
		address := name
		if !strings.Contains(name, "://") {
			source.Clock = thisClock
			if address, err = labSocket(name); err != nil {
				return nil, err
			}
		}
		if source.Client, err = control.Open(address, s.files); err != nil {
			return nil, usagef("--hosts: %w", err)
		}
		list = append(list, source)
	}
	return list, nil
}

func closeAll(sources []follow.Source) {
	for _, s := range sources {
		s.Client.Close()
	}
}

// labSocket is a path as it is, or the socket of a host of the lab.
func labSocket(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	l, err := lab.Load()
	if err != nil {
		return "", fmt.Errorf("--hosts: %q is no path, so it would be a host of the lab: %w", name, err)
	}
	h, err := l.Host(name)
	if err != nil {
		return "", fmt.Errorf("--hosts: %w", err)
	}
	return h.Socket, nil
}

// completeHosts offers the lab's hosts, behind those that were typed already.
func completeHosts(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	before := typed[:strings.LastIndex(typed, ",")+1]
	list := []string{before + "ssh://", before + "https://"}
	if l, err := lab.Load(); err == nil {
		for _, h := range l.Hosts {
			if !slices.Contains(strings.Split(before, ","), h.Name) {
				list = append(list, before+h.Name)
			}
		}
	}
	words, directive := offer(list, typed)
	return words, directive | cobra.ShellCompDirectiveNoSpace
}
