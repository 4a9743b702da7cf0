package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/demo"
	"github.com/vrouter/vrouter/internal/impair"
	"github.com/vrouter/vrouter/internal/lab"
	"github.com/vrouter/vrouter/internal/sandbox"
	"github.com/vrouter/vrouter/internal/web"
	"github.com/vrouter/vrouter/internal/why"
)

// page is what the words of a command say of the page.
type page struct {
	on     bool // of a command that can do without
	listen string
	write  bool
}

func (p *page) flags(cmd *cobra.Command) {
	p.listenFlag(cmd)
	cmd.Flags().BoolVar(&p.write, "write", false, "let the page ping, spoil cables, take routes away and plant faults in the lab; all is undone at the end")
}

func (p *page) listenFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.listen, "listen", web.DefaultListen, "address of the page; another one than loopback is seen by the network, unencrypted")
	_ = cmd.RegisterFlagCompletionFunc("listen", cobra.FixedCompletions([]string{web.DefaultListen}, cobra.ShellCompDirectiveNoFileComp))
}

// check refuses words that say nothing.
func (p *page) check(cmd *cobra.Command) error {
	if !p.on && (p.write || cmd.Flags().Changed("listen")) {
		return usagef("--listen and --write are for the page: give --web too")
	}
	host, _, err := net.SplitHostPort(p.listen)
	if err != nil {
		return usagef("--listen %s: write it as ADDRESS:PORT, such as %s", p.listen, web.DefaultListen)
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return usagef("--listen %s: write an address, not a name, such as %s", p.listen, web.DefaultListen)
	}
	return nil
}

func (p *page) open() (net.Listener, error) {
	l, err := net.Listen("tcp", p.listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("--listen %s: somebody else is there: end it, or give another port, such as --listen 127.0.0.1:0", p.listen)
	}
	return l, err
}

// outside is what the demo's inner program needs from the machine: a listener there.
func (p *page) outside() ([]*os.File, error) {
	if !p.on {
		return nil, nil
	}
	l, err := p.open()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	return []*os.File{f}, err
}

// serve shows the page until Ctrl-C.
func (p *page) serve(cmd *cobra.Command, l net.Listener, o web.Options) error {
	o.Version, o.Write = buildVersion(), p.write
	s, err := web.New(l, o)
	if err != nil {
		return err
	}
	if !s.Loopback() {
		fmt.Fprintln(cmd.ErrOrStderr(), "vrouter: whoever sees this network's packets sees the page's token too: it goes unencrypted")
	}
	fmt.Fprintf(cmd.OutOrStdout(), "The page, until Ctrl-C: %s\n", s.URL())
	tidies(cmd.Context())
	return s.Serve(cmd.Context())
}

// demo builds the demo's lab, and shows the page of it.
func (p *page) demo(cmd *cobra.Command, c *config.Lab, six bool) (err error) {
	l, err := net.FileListener(sandbox.Inherited(0))
	if err != nil {
		return err
	}
	defer l.Close()
	if p.write && len(c.Links) == 0 { // so that the cable can be spoiled
		c.Links = []config.Link{{Subnet: c.Hosts[0].Uplink.Addresses[0].Masked(), Impair: &impair.Impairment{}}}
	}
	up, err := lab.Up(cmd.Context(), c, lab.Options{Temporary: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, up.Down()) }()
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	go demo.KeepPinging(ctx, up, six)
	sources := why.LabSources(up)
	defer closeAll(sources)
	return p.serve(cmd, l, web.Options{Title: "vrouter demo", Kind: "demo", Sources: sources, Lab: up})
}

func newLabWeb(_ *cli) *cobra.Command {
	p := page{on: true}
	var file string
	cmd := &cobra.Command{
		Use: "web [-f FILE]", Short: "Show the lab that is up in a browser: its hosts, its packets, each packet's way", Args: noArgs,
		Long: "It prints a URL, and serves the page until Ctrl-C; the lab stays as it is. With -f the lab of FILE is built for as\n" +
			"long as the page is there. The page looks, unless --write lets it do things in the lab.",
		Example: "  vrouter lab web\n  vrouter lab web --write\n  vrouter lab web -f examples/lab-ipip.yaml",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := p.check(cmd); err != nil {
				return err
			}
			l, err := p.open()
			if err != nil {
				return err
			}
			defer l.Close()
			up, down, err := labForPage(cmd.Context(), file)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, down()) }()
			sources := why.LabSources(up)
			defer closeAll(sources)
			return p.serve(cmd, l, web.Options{Title: "vrouter lab", Kind: "lab", Sources: sources, Lab: up})
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "build the lab of this file, for as long as the page is there")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
	p.flags(cmd)
	return cmd
}

// labForPage is the lab that is up, or one that is built, and how to take that down.
func labForPage(ctx context.Context, file string) (up *lab.Lab, down func() error, err error) {
	nothing := func() error { return nil }
	if file == "" {
		up, err = lab.Load()
		return up, nothing, err
	}
	c, err := loadLab(file)
	if err != nil {
		return nil, nil, err
	}
	if _, err := lab.Load(); err == nil {
		return nil, nil, errors.New("a lab is up already: `vrouter lab web` shows it, `vrouter lab down` takes it down")
	}
	if err := sandbox.CheckTUN(); err != nil {
		return nil, nil, err
	}
	tidies(ctx)
	if up, err = lab.Up(ctx, c, lab.Options{Temporary: true}); err != nil {
		return nil, nil, err
	}
	return up, up.Down, nil
}

func newWeb(_ *cli) *cobra.Command {
	p := page{on: true}
	var s several
	cmd := &cobra.Command{
		Use: "web --hosts HOST,…", Short: "Show routers of several hosts in a browser: their packets, each packet's way", Args: noArgs,
		Long: "It prints a URL, and serves the page until Ctrl-C. It only looks. Hosts are named as for `vrouter trace --hosts`;\n" +
			"`vrouter lab web` shows a lab, `vrouter demo --web` one of its own.",
		Example: "  vrouter web --hosts ssh://root@192.168.0.11,ssh://root@192.168.0.12\n" +
			"  vrouter web --hosts /run/vrouter/vrouter.sock\n" +
			"  vrouter web --hosts https://192.168.0.11:9474,https://192.168.0.12:9474 --cert me.crt --key me.key --ca ca.crt",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(s.hosts) == 0 {
				return usagef("whose packets? Give --hosts, such as --hosts ssh://root@192.168.0.11,ssh://root@192.168.0.12")
			}
			if err := errors.Join(s.check(cmd), p.check(cmd)); err != nil {
				return err
			}
			sources, err := s.sources(s.hosts)
			if err != nil {
				return err
			}
			defer closeAll(sources)
			l, err := p.open()
			if err != nil {
				return err
			}
			defer l.Close()
			return p.serve(cmd, l, web.Options{Title: strings.Join(s.hosts, ", "), Kind: "hosts", Sources: sources})
		},
	}
	s.flags(cmd, "the routers, such as a,b")
	p.listenFlag(cmd)
	return cmd
}
