package why

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/follow"
	"github.com/vrouter/vrouter/internal/lab"
)

// Gather asks the routers of some hosts what they know.
func Gather(ctx context.Context, sources []follow.Source) (*Facts, error) {
	f := &Facts{Net: *follow.Net(ctx, sources), Known: map[string]*Host{}, Now: time.Now()}
	for i, h := range f.Hosts {
		k := &Host{}
		if f.Known[h.Name] = k; h.Err != nil {
			continue
		}
		if err := k.Look(ctx, sources[i].Client); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return f, nil
}

// OfLab asks all hosts of a lab, and looks at what is between them; done ends what they are asked by. program is vrouter,
// whose doctor looks at each host.
func OfLab(ctx context.Context, l *lab.Lab, program string) (f *Facts, done func(), err error) {
	sources := LabSources(l)
	done = func() {
		for _, s := range sources {
			s.Client.Close()
		}
	}
	if f, err = Gather(ctx, sources); err == nil {
		err = f.look(ctx, l, program)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return f, done, nil
}

// look adds what only who is on the lab's machine can see.
func (f *Facts) look(ctx context.Context, l *lab.Lab, program string) error {
	f.Start = "vrouter lab up"
	around, err := l.Gateways()
	if err != nil {
		return err
	}
	f.Others = append(f.Others, around...)
	middles, err := l.Middles()
	if err != nil {
		return err
	}
	for _, m := range middles {
		link := Link{Hosts: m.Hosts, Name: m.Subnet, MTU: m.MTU}
		if k, err := l.Link(m.Subnet); err == nil {
			if i, err := k.Impairment(); err == nil && (i.Loss > 0 || i.Corrupt > 0 || i.Duplicate > 0) {
				link.Does, link.Mend = i.String(), "vrouter lab link "+m.Subnet+" none"
			}
		}
		f.Links = append(f.Links, link)
	}
	var group sync.WaitGroup
	failed := make([]error, len(l.Hosts))
	for i, h := range l.Hosts {
		k := f.Known[h.Name]
		k.Prefix, k.Shell = "vrouter lab exec "+h.Name+" -- vrouter", "vrouter lab exec "+h.Name
		group.Go(func() { k.Faults, failed[i] = examine(ctx, program, h.Name) })
	}
	group.Wait()
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

// examine runs doctor on a host of the lab, in a process of its own: what it looks at is that host's.
func examine(ctx context.Context, program, host string) (faults []Fault, err error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, program, "lab", "exec", host, "--", program, "doctor", "-o", "json")
	cmd.Stdout, cmd.Stderr = &out, &said
	failed := cmd.Run() // status 1 too where something is wrong with the host
	var all []Fault
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		return nil, fmt.Errorf("doctor on %s: %w: %s", host, failed, strings.TrimSpace(said.String()))
	}
	for _, f := range all {
		if f.State == "fail" {
			faults = append(faults, f)
		}
	}
	return faults, nil
}

// LabSources are all hosts of the lab.
func LabSources(l *lab.Lab) (list []follow.Source) {
	for _, h := range l.Hosts {
		s := follow.Source{Name: h.Name, Client: control.NewClient(h.Socket), Clock: "here"}
		s.Addresses = addressesOf(h.Addresses)
		s.Workloads = map[string][]netip.Addr{}
		for _, w := range h.Workloads {
			s.Workloads[w.Name] = addressesOf(w.Addresses)
		}
		list = append(list, s)
	}
	return list
}

// addressesOf are those of ADDRESS/LENGTH.
func addressesOf(prefixes []string) (list []netip.Addr) {
	for _, text := range prefixes {
		if p, err := netip.ParsePrefix(text); err == nil {
			list = append(list, p.Addr())
		}
	}
	return list
}
