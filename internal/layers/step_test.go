package layers_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mailTest is what must be true once the step of docs/architecture.md is there.
const mailTest = `package engine_test

import (
	"strings"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/trace"
	"github.com/vrouter/vrouter/internal/verdict"
)

func TestMailIsAStep(t *testing.T) {
	b := newBed(t)
	b.resolve()
	l := b.listen(trace.Options{Steps: forwarder.StepSet(0).With(forwarder.StepNamed("mail"))}, "")
	ip := ip4(ns1IP, farIP, layers.IPProtocolTCP)
	tcp := &layers.TCP{SrcPort: 5000, DstPort: 25, SYN: true}
	_ = tcp.SetNetworkLayerForChecksum(ip)
	f := frame(ether(ns1MAC, gatewayMAC), ip, tcp)
	said, err := b.router.DryRun().Explain("ns1", f.Clone())
	if err != nil {
		t.Fatal(err)
	}
	b.ns1.Send(f, ping(farIP))
	b.uplink.Sent()
	tellsOf(3, 13)(t, f, one(t, b.ns1))
	v, done := said[0].View(""), records(l)
	if len(done) != 1 || !strings.Contains(text(t, done), "drop  prohibit: to port 25") || v.Steps[6].Detail != "prohibit: to port 25" {
		t.Errorf("%+v\n%s", v, text(t, done))
	}
	if n := b.router.Stats().Steps[forwarder.Mail.Number()]; n[verdict.Drop] != 1 || n[verdict.Pass] != 1 {
		t.Errorf("counted %v", n)
	}
	if way := said[0].Way().String(); way != "rx > check > dropped at mail (prohibit)" {
		t.Error(way)
	}
}
`

// Who adds a step does what docs/architecture.md says, and no more.
func TestFourteenthStep(t *testing.T) {
	_, section, _ := strings.Cut(content(t, "docs/architecture.md"), "\n## A fourteenth step\n")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(section, -1)
	behind := firsts("here behind `(\\w+)`", section)
	file := firsts("one file, `([^`]+)`", section)
	if len(blocks) != 2 || len(behind) != 1 || len(file) != 1 {
		t.Fatalf("the section has %d blocks of code, behind %v, in %v", len(blocks), behind, file)
	}
	table := content(t, "forwarder/pipeline.go")
	at := "\t" + behind[0] + ",\n"
	if strings.Count(table, at) != 1 {
		t.Fatalf("the table has no line %q", at)
	}
	o := overlay{t: t, dir: t.TempDir(), Replace: map[string]string{}}
	o.put("forwarder/pipeline.go", strings.Replace(table, at, at+blocks[0][1], 1))
	o.put(file[0], blocks[1][1])
	o.put("internal/engine/mail_test.go", mailTest)
	o.run("test", "-run", "^TestMailIsAStep$", "./internal/engine")
	if out := o.run("run", "./cmd/vrouter", "__complete", "trace", "--step", "ma"); !strings.Contains(out, "mail\n") {
		t.Errorf("the shell completes --step ma to %q", out)
	}
}

// overlay is the module with some files replaced, or added, as the go command builds it.
type overlay struct {
	t       *testing.T
	dir     string
	Replace map[string]string
}

func (o *overlay) put(name, text string) {
	o.t.Helper()
	to := filepath.Join(o.dir, strings.ReplaceAll(name, "/", "_"))
	where, err := filepath.Abs(filepath.Join(root, name))
	if err == nil {
		err = os.WriteFile(to, []byte(text), 0o600)
	}
	if err != nil {
		o.t.Fatal(err)
	}
	o.Replace[where] = to
}

func (o *overlay) run(verb string, args ...string) string {
	o.t.Helper()
	list, err := json.Marshal(o)
	if err != nil {
		o.t.Fatal(err)
	}
	name := filepath.Join(o.dir, "overlay.json")
	if err := os.WriteFile(name, list, 0o600); err != nil {
		o.t.Fatal(err)
	}
	cmd := exec.CommandContext(o.t.Context(), "go", append([]string{verb, "-overlay", name}, args...)...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("go %s %v: %v\n%s", verb, args, err, out)
	}
	return string(out)
}
