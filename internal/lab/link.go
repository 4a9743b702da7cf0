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
	Number int               `json:"number"` // one more with each change
	Ports  []string          `json:"ports"`  // interfaces, in its namespace
	Impair impair.Impairment `json:"impair"`
}

// tally is what a carrier writes down: what it has counted, and the plan that holds.
type tally struct {
	impair.Counts
	Plan int `json:"plan"`
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
		if err := link.await(ctx, 0); err != nil {
			return fmt.Errorf("link %s: %w", link.Subnet, err)
		}
	}
	return nil
}

// await waits until the carrier, by what it writes down, goes by a plan or a later one.
func (k *Link) await(ctx context.Context, number int) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var t tally
		if readJSON(k.Counts, &t) == nil && t.Plan >= number {
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

// Change has the link do something else to packets from now on: when it returns, the
// carrier does. Without a seed of its own it keeps the one there was.
func (k *Link) Change(ctx context.Context, i impair.Impairment) error {
	var p plan
	if err := readJSON(k.Plan, &p); err != nil {
		return err
	}
	if !k.Carrier.Running() {
		return fmt.Errorf("link %s: its carrier has ended: %s; take the lab down and up again", k.Subnet, lastLine(k.Log))
	}
	i.Seed = cmp.Or(i.Seed, p.Impair.Seed)
	p.Impair = i
	p.Number++
	if err := p.write(k.Plan); err != nil {
		return err
	}
	if err := syscall.Kill(k.Carrier.PID, syscall.SIGHUP); err != nil {
		return err
	}
	if err := k.await(ctx, p.Number); err != nil {
		return fmt.Errorf("link %s: %w", k.Subnet, err)
	}
	return nil
}

// Count adds up the frames of all the link's lines.
func (k *Link) Count() impair.Counts {
	var t tally
	_ = readJSON(k.Counts, &t) // 0 where it has ended
	return t.Counts
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
