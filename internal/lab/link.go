package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/vrouter/vrouter/internal/impair"
	"github.com/vrouter/vrouter/internal/workload"
)

// Link is an impaired link of the lab: a process carries its frames.
type Link struct {
	Subnet  string   `json:"subnet"`
	Plan    string   `json:"plan"`   // file
	Counts  string   `json:"counts"` // file that the carrier writes
	Log     string   `json:"log"`
	Carrier *process `json:"carrier"`
}

// plan is what a carrier is told.
type plan struct {
	Ports  []string          `json:"ports"` // interfaces, in its namespace
	Impair impair.Impairment `json:"impair"`
}

func (p *plan) write(file string) error { return writeJSON(file, p) }

// writeJSON replaces a file at once, so that nobody reads half of it.
func writeJSON(file string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	next := file + ".new"
	if err := os.WriteFile(next, b, 0o644); err != nil {
		return err
	}
	return os.Rename(next, file)
}

func readJSON(file string, v any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// carry starts the carriers of the links that are impaired, and waits until they are
// at work.
func (l *Lab) carry(ctx context.Context) (err error) {
	for _, link := range l.Links {
		if link.Carrier.Running() {
			continue
		}
		if err := os.RemoveAll(link.Counts); err != nil { // it says that the carrier is at work
			return err
		}
		link.Carrier, err = startProcess(workload.Named(l.Fabric), link.Log, l.temporary, "lab", "carry", link.Plan, link.Counts)
		if err != nil {
			return fmt.Errorf("link %s: %w", link.Subnet, err)
		}
		if err := link.ready(ctx); err != nil {
			return fmt.Errorf("link %s: %w", link.Subnet, err)
		}
	}
	return nil
}

// ready waits until the carrier counts.
func (k *Link) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if _, err := os.Stat(k.Counts); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-k.Carrier.exited:
			return errors.New("its carrier ended: " + lastLine(k.Log))
		case <-ctx.Done():
			return fmt.Errorf("its carrier is not ready: %w; its log: %s", ctx.Err(), lastLine(k.Log))
		}
	}
}

// Impairment is what the link does to packets at present.
func (k *Link) Impairment() (impair.Impairment, error) {
	var p plan
	err := readJSON(k.Plan, &p)
	return p.Impair, err
}

// Change has the link do something else to packets from now on. Without a seed of its
// own it keeps the one there was.
func (k *Link) Change(i impair.Impairment) error {
	var p plan
	if err := readJSON(k.Plan, &p); err != nil {
		return err
	}
	if !k.Carrier.Running() {
		return fmt.Errorf("link %s: its carrier has ended: %s; take the lab down and up again", k.Subnet, lastLine(k.Log))
	}
	i.Seed = cmp.Or(i.Seed, p.Impair.Seed)
	p.Impair = i
	if err := p.write(k.Plan); err != nil {
		return err
	}
	return syscall.Kill(k.Carrier.PID, syscall.SIGHUP)
}

// Count adds up the frames of all the link's lines.
func (k *Link) Count() (c impair.Counts) {
	_ = readJSON(k.Counts, &c) // 0 where it has ended
	return c
}

// Link finds an impaired link by its subnet.
func (l *Lab) Link(subnet string) (*Link, error) {
	var subnets []string
	for _, k := range l.Links {
		if k.Subnet == subnet {
			return k, nil
		}
		subnets = append(subnets, k.Subnet)
	}
	if subnets == nil {
		return nil, errors.New("no link of the lab is impaired: give one an impairment in the lab file, such as `delay: 0ms`, so that it can be changed")
	}
	return nil, fmt.Errorf("no impaired link %q in the lab; there is %v", subnet, subnets)
}
