package check_test

import (
	"context"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/vrouter/vrouter/internal/check"
	"github.com/vrouter/vrouter/internal/walk"
)

// A file that says what no check can be is refused, by what is wrong with it.
func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"checks: []": "no checks",
		"checks:\n  - {packet: \"icmp 10.70.1.1 > 10.70.2.1\", expects: delivered}": "[2:",
		"checks:\n  - {expect: delivered}":                                          "check 1: packet: missing",
		"checks:\n  - {packet: \"icmp 10.70.1.1\"}":                                 "check 1: packet: after \"icmp\"",
		"checks:\n  - {packet: \"icmp 1.1.1.1 > 1.1.1.2\", expect: lost}":           "check 1: expect: \"lost\": there is delivered, dropped",
		"checks:\n  - {packet: \"icmp 1.1.1.1 > 1.1.1.2\", reply: maybe}":           "check 1: reply: \"maybe\"",
		"checks:\n  - {packet: \"icmp 1.1.1.1 > 1.1.1.2\", encap: gre}":             "check 1: encap: \"gre\"",
		"nothing: 1": "unknown field",
	} {
		if _, err := check.Parse("FILE", []byte(text)); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "FILE: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// JUnit's form is XML that says which checks failed and why; a packet that nobody has is such a one.
func TestJUnit(t *testing.T) {
	checks, err := check.Parse("FILE", []byte("checks:\n  - {packet: \"icmp 10.70.1.1 > 10.70.2.1\", from: a/ns1, expect: delivered}\n"))
	if err != nil {
		t.Fatal(err)
	}
	all := check.Run(context.Background(), walk.Net{}, checks)
	if check.Failures(all) != 1 {
		t.Errorf("%+v", all)
	}
	var b strings.Builder
	if err := check.WriteJUnit(&b, "FILE", all); err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Failures int `xml:"failures,attr"`
		Cases    []struct {
			Name    string `xml:"name,attr"`
			Failure struct {
				Message string `xml:"message,attr"`
			} `xml:"failure"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal([]byte(b.String()), &suite); err != nil {
		t.Fatal(err)
	}
	if suite.Failures != 1 || len(suite.Cases) != 1 || suite.Cases[0].Name != "icmp 10.70.1.1 > 10.70.2.1 in a/ns1" || !strings.Contains(suite.Cases[0].Failure.Message, `no host "a"`) {
		t.Errorf("%s", b.String())
	}
}
