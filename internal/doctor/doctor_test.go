package doctor

import (
	"errors"
	"strings"
	"testing"
)

// What cannot be mended stays, with the reason; so does what did not help.
func TestMendThatFails(t *testing.T) {
	var fix error
	c := &check{name: "c", fine: "fine", look: func(*Host) ([]Finding, error) {
		return []Finding{{State: Fail, Means: "broken", Mend: "do it", fix: func() error { return fix }}}, nil
	}}
	fix = errors.New("no permission")
	if f := c.mend(nil, c.run(nil)); len(f) != 1 || f[0].State != Fail || !strings.Contains(f[0].Means, "no permission") || f[0].Done != "" {
		t.Errorf("a mend that failed: %+v", f)
	}
	fix = nil
	if f := c.mend(nil, c.run(nil)); len(f) != 2 || f[0].Done != "do it" || f[1].State != Fail || Failures(f) != 1 {
		t.Errorf("a mend that did not help: %+v", f)
	}
}

func TestCheckThatCannotTell(t *testing.T) {
	c := &check{name: "c", fine: "fine", look: func(*Host) ([]Finding, error) { return nil, errors.New("no answer") }}
	if f := c.run(nil); len(f) != 1 || f[0].State != Fail || f[0].Means != "cannot tell: no answer" || f[0].Name != "c" {
		t.Errorf("%+v", f)
	}
	c.look = func(*Host) ([]Finding, error) { return nil, errNoUplink }
	if f := c.run(nil); len(f) != 0 {
		t.Errorf("without an uplink: %+v", f)
	}
}
