// Package check holds decisions that a network of routers is to make, as a file says them,
// against what its routers would do.
package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/vrouter/vrouter/internal/sketch"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/walk"
)

// What is expected of a packet, and of its reply.
const (
	Delivered = "delivered"
	Dropped   = "dropped"
	NoReply   = "none"
)

// Check is one decision. What is not named is not asserted.
type Check struct {
	Packet string   `yaml:"packet" json:"packet"`
	From   string   `yaml:"from" json:"from,omitempty"` // HOST/WORKLOAD; "": the workload that has the source
	Expect string   `yaml:"expect" json:"expect,omitempty"`
	At     string   `yaml:"at" json:"at,omitempty"` // HOST, or of what is delivered HOST/WORKLOAD
	Reason string   `yaml:"reason" json:"reason,omitempty"`
	TTL    int      `yaml:"ttl" json:"ttl,omitempty"`
	Encap  string   `yaml:"encap" json:"encap,omitempty"` // none, ipip, vxlan
	Path   []string `yaml:"path" json:"path,omitempty"`
	Reply  string   `yaml:"reply" json:"reply,omitempty"`
}

// Parse reads a check file. Errors name the line.
func Parse(name string, text []byte) ([]Check, error) {
	var file struct {
		Checks []Check `yaml:"checks"`
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		line, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
		return nil, fmt.Errorf("%s: %s", name, line)
	}
	if len(file.Checks) == 0 {
		return nil, fmt.Errorf("%s: no checks: list at least one below `checks:`, such as {packet: \"icmp 10.70.1.1 > 10.70.2.1\", expect: delivered}", name)
	}
	for i := range file.Checks {
		if err := file.Checks[i].valid(); err != nil {
			return nil, fmt.Errorf("%s: check %d: %w", name, i+1, err)
		}
	}
	return file.Checks, nil
}

func (c *Check) valid() error {
	if c.Packet == "" {
		return errors.New("packet: missing: describe one as for `vrouter explain`")
	}
	if _, err := sketch.Parse(c.line()); err != nil {
		return fmt.Errorf("packet: %w", err)
	}
	for key, v := range map[string]struct {
		value string
		words []string
	}{"expect": {c.Expect, []string{Delivered, Dropped}}, "encap": {c.Encap, []string{"none", "ipip", "vxlan"}}, "reply": {c.Reply, []string{Delivered, Dropped, NoReply}}} {
		if v.value != "" && !slices.Contains(v.words, v.value) {
			return fmt.Errorf("%s: %q: there is %s", key, v.value, strings.Join(v.words, ", "))
		}
	}
	return nil
}

func (c *Check) line() string {
	if c.From == "" {
		return c.Packet
	}
	return c.Packet + " in " + c.From
}

// Result is what came of a check.
type Result struct {
	Check
	OK     bool       `json:"ok"`
	Wrong  []string   `json:"wrong"` // what is not as expected
	Walk   *walk.Walk `json:"-"`     // nil: it could not be asked
	Actual string     `json:"verdict"`
}

// Run makes all checks.
func Run(ctx context.Context, n walk.Net, checks []Check) (all []Result) {
	for i := range checks {
		r := Result{Check: checks[i], Wrong: []string{}}
		w, err := walk.Run(ctx, n, r.line())
		if err != nil {
			r.Wrong = append(r.Wrong, err.Error())
		} else {
			r.Walk, r.Actual = w, w.Verdict
			r.compare(w)
		}
		r.OK = len(r.Wrong) == 0
		all = append(all, r)
	}
	return all
}

func (r *Result) compare(w *walk.Walk) {
	want := func(what, expected, is string) {
		if expected != "" && expected != is {
			r.Wrong = append(r.Wrong, fmt.Sprintf("%s is %s, expected %s", what, orNone(is), expected))
		}
	}
	want("the packet", r.Expect, fate(&w.End))
	at := w.Host
	if strings.Contains(r.At, "/") && w.Outcome == walk.Delivered {
		at += "/" + w.Port
	}
	want("the place", r.At, at)
	want("the reason", r.Reason, w.Reason)
	if r.TTL != 0 {
		want("the ttl", fmt.Sprint(r.TTL), fmt.Sprint(w.TTL))
	}
	want("the encapsulation", r.Encap, w.Encapsulation)
	want("the path", strings.Join(r.Path, " > "), hosts(w))
	reply := NoReply
	if w.Reply != nil {
		reply = fate(w.Reply)
	}
	want("the reply", r.Reply, reply)
}

// hosts are those of the way; of a loop the first round.
func hosts(w *walk.Walk) string {
	if w.Loop == nil {
		return strings.Join(w.Path, " > ")
	}
	return strings.Join(w.Path[:len(w.Path)-w.Passes], " > ") + " > … in a loop"
}

// fate is delivered or dropped: what is taken by a router or by a host's own stack has arrived.
func fate(e *walk.End) string {
	switch e.Outcome {
	case walk.Delivered, trace.Consumed, trace.LeftToHost:
		return Delivered
	}
	return Dropped
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// Failures counts the checks that failed.
func Failures(all []Result) (n int) {
	for i := range all {
		if !all[i].OK {
			n++
		}
	}
	return n
}
