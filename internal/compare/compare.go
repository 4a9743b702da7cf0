package compare

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/sketch"
	"github.com/vrouter/vrouter/internal/trace"
)

// How long nothing may come until all is taken for said: after a volley, after one packet, and where that was too short.
var quietFor = []time.Duration{10 * time.Millisecond, 60 * time.Millisecond, 400 * time.Millisecond}

// Out is a packet that came out.
type Out struct {
	At      string `json:"at"` // HOST/WORKLOAD, "HOST INTERFACE" for what came over the wire, or "gateway ADDRESS"
	Summary string `json:"summary"`
	Frame   string `json:"frame"` // from the Ethernet header on, in hex digits
}

// Difference is a field in which two packets differ; of the field "packet", one of them is missing.
type Difference struct {
	At      string `json:"at"`
	Field   string `json:"field"`
	Vrouter string `json:"vrouter"`
	Kernel  string `json:"kernel"`
	Reason  string `json:"reason"` // "": there is none
	out     *frame // of vrouter's, or else of the kernel's
	ours    bool
}

// Result is what became of a packet in both.
type Result struct {
	Packet      string       `json:"packet"` // in a line
	From        string       `json:"from"`   // HOST/WORKLOAD
	Frame       string       `json:"frame"`
	Vrouter     []Out        `json:"vrouter"`
	Kernel      []Out        `json:"kernel"`
	Differences []Difference `json:"differences"`
}

// Explained says whether each difference has a reason.
func (r *Result) Explained() bool {
	return !slices.ContainsFunc(r.Differences, func(d Difference) bool { return d.Reason == "" })
}

// Frame is an IP packet as the workload sends it to its gateway.
func (a *Arena) Frame(ip []byte) []byte { return a.frame(int(ip[0]>>4), ip) }

// frame is one that says that it has a version of IP.
func (a *Arena) frame(version int, ip []byte) []byte {
	b := append(a.mac[:], make([]byte, 6)...)
	return append(binary.BigEndian.AppendUint16(b, typeOf(version)), ip...)
}

// From is the workload that has an address; "" if there is none.
func (a *Arena) From(address netip.Addr) string {
	for _, p := range a.kernel.places {
		if slices.Contains(p.addresses, address) {
			return p.name
		}
	}
	return ""
}

// Workloads are all that packets can come from, as HOST/WORKLOAD.
func (a *Arena) Workloads() (names []string) {
	for _, p := range a.kernel.places {
		if a.vrouter.byOrigin[p.name] != nil {
			names = append(names, p.name)
		}
	}
	return names
}

func (a *Arena) known(from string) error {
	if a.vrouter.byOrigin[from] == nil || a.kernel.byOrigin[from] == nil {
		return fmt.Errorf("no workload %q in the lab and its twin; there is %v", from, a.Workloads())
	}
	return nil
}

// Described is a packet in one line (sketch.Syntax): from the workload that has its source, or that `in HOST/WORKLOAD` names.
func (a *Arena) Described(line string) (from string, frame []byte, err error) {
	p, err := sketch.Parse(line)
	if err != nil {
		return "", nil, err
	}
	if from = p.In; from == "" {
		if from = a.From(p.Src); from == "" {
			return "", nil, fmt.Errorf("no workload of the lab has %v: say which is to send it, such as `in %s`", p.Src, strings.Join(a.Workloads(), "` or `in "))
		}
	}
	f, err := p.Frame(packet.MAC{}, a.mac)
	if err != nil {
		return "", nil, err
	}
	return from, f.Bytes(), nil
}

// Packet sends a packet from a workload into both.
func (a *Arena) Packet(ctx context.Context, from string, frame []byte) (*Result, error) {
	if err := a.known(from); err != nil {
		return nil, err
	}
	return a.alone(ctx, newShot(from, frame))
}

// alone sends a packet by itself. Where it makes a difference without a reason, it is sent once more, with more patience.
func (a *Arena) alone(ctx context.Context, s *shot) (r *Result, err error) {
	for _, quiet := range quietFor[1:] {
		a.pace(s.from, 1)
		var ours, theirs [][]frame
		if ours, err = a.vrouter.send(ctx, []*shot{s}, quiet); err != nil {
			return nil, err
		}
		if theirs, err = a.kernel.send(ctx, []*shot{s}, quiet); err != nil {
			return nil, err
		}
		if r, err = a.judge(ctx, s, ours[0], theirs[0]); err != nil || r.Explained() {
			return r, err
		}
	}
	return r, nil
}

// volley sends packets of one workload, and returns the results in their order.
func (a *Arena) volley(ctx context.Context, shots []*shot) (list []*Result, err error) {
	a.pace(shots[0].from, len(shots))
	ours, err := a.vrouter.send(ctx, shots, quietFor[0])
	if err != nil {
		return nil, err
	}
	theirs, err := a.kernel.send(ctx, shots, quietFor[0])
	if err != nil {
		return nil, err
	}
	for i, s := range shots {
		r, err := a.judge(ctx, s, ours[i], theirs[i])
		if err == nil && !r.Explained() {
			r, err = a.alone(ctx, s)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// judge compares what came out, and finds the reasons.
func (a *Arena) judge(ctx context.Context, s *shot, ours, theirs []frame) (*Result, error) {
	r := &Result{Packet: trace.Summary(s.frame), From: s.from, Frame: hex.EncodeToString(s.frame), Vrouter: outs(ours), Kernel: outs(theirs)}
	r.Differences = a.differences(ours, theirs)
	a.explain(&sent{a, s, ours, theirs}, r.Differences)
	if r.Explained() || !hasOptions(s.ip) {
		return r, nil
	}
	return r, a.explainOptions(ctx, s, ours, r)
}

func outs(list []frame) []Out {
	all := []Out{}
	for _, f := range list {
		all = append(all, Out{f.at.name, trace.Summary(f.bytes), hex.EncodeToString(f.bytes)})
	}
	return all
}

// differences are those between what came out of the two, place by place.
func (a *Arena) differences(ours, theirs []frame) []Difference {
	list := []Difference{}
	left := slices.Clone(theirs)
	var rest []frame
	for _, f := range ours { // those that are alike have found each other
		i := slices.IndexFunc(left, func(g frame) bool { return f.at.name == g.at.name && len(a.between(&f, &g)) == 0 })
		if i < 0 {
			rest = append(rest, f)
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	for _, f := range rest {
		i := slices.IndexFunc(left, func(g frame) bool { return f.at.name == g.at.name && kind(f.ip) == kind(g.ip) })
		if i < 0 {
			list = append(list, Difference{At: f.at.name, Field: fieldPacket, Vrouter: trace.Summary(f.bytes), Kernel: "nothing", out: &f, ours: true})
			continue
		}
		list = append(list, a.between(&f, &left[i])...)
		left = slices.Delete(left, i, i+1)
	}
	for _, g := range left {
		list = append(list, Difference{At: g.at.name, Field: fieldPacket, Vrouter: "nothing", Kernel: trace.Summary(g.bytes), out: &g})
	}
	return list
}

// kind tells packets apart that are no variants of each other.
func kind(ip packet.IP) string {
	if ip == nil {
		return ""
	}
	ip = inside(ip)
	protocol, at, fragment := packet.Transport(ip)
	k := fmt.Sprint(ip.Version(), ip.Src(), ip.Dst(), protocol)
	if !fragment && at+2 <= len(ip) && (protocol == packet.ProtocolICMP || protocol == packet.ProtocolICMPv6) {
		k += fmt.Sprint(ip[at])
	}
	return k
}

// between are the fields in which two frames at one place differ.
func (a *Arena) between(f, g *frame) (list []Difference) {
	ours, theirs := a.vrouter.fields(f), a.kernel.fields(g)
	value := func(fields []field, name string) string {
		if i := slices.IndexFunc(fields, func(f field) bool { return f.name == name }); i >= 0 {
			return fields[i].value
		}
		return "none"
	}
	names := slices.Clone(ours)
	for _, t := range theirs {
		if !slices.ContainsFunc(ours, func(o field) bool { return o.name == t.name }) {
			names = append(names, t)
		}
	}
	for _, n := range names {
		if v, k := value(ours, n.name), value(theirs, n.name); v != k {
			list = append(list, Difference{At: f.at.name, Field: n.name, Vrouter: v, Kernel: k, out: f, ours: true})
		}
	}
	return list
}

// warm lets all neighbours be known: each workload pings all others.
func (a *Arena) warm() error {
	for _, s := range []*side{a.vrouter, a.kernel} {
		for name, p := range s.byOrigin {
			var shots []*shot
			for _, o := range s.places {
				for _, src := range p.addresses {
					for _, dst := range o.addresses {
						if src.Is4() == dst.Is4() && src != dst {
							shots = append(shots, newShot(name, a.Frame(echo(src, dst))))
						}
					}
				}
			}
			if _, err := s.send(context.Background(), shots, quietFor[0]); err != nil {
				return err
			}
		}
	}
	return nil
}
