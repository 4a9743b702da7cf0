package check

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/vrouter/vrouter/internal/walk"
)

// WriteText prints a line a check and, below one that failed, what is wrong and the packet's way.
func WriteText(w io.Writer, all []Result, text walk.Text) error {
	for i := range all {
		r := &all[i]
		if r.OK {
			fmt.Fprintf(w, "ok    %d  %s: %s\n", i+1, r.line(), r.Actual)
			continue
		}
		fmt.Fprintf(w, "FAIL  %d  %s: %s\n", i+1, r.line(), strings.Join(r.Wrong, "; "))
		if r.Walk != nil {
			fmt.Fprintln(w)
			if err := text.Write(w, r.Walk); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(w, "%d of %d checks passed\n", len(all)-Failures(all), len(all))
	return err
}

// testSuite and what is in it are JUnit's, as CI systems read it.
type testSuite struct {
	XMLName  xml.Name   `xml:"testsuite"`
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Cases    []testCase `xml:"testcase"`
}

type testCase struct {
	Name    string   `xml:"name,attr"`
	Class   string   `xml:"classname,attr"`
	Failure *failure `xml:"failure"`
}

type failure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit prints the same for programs that read test results.
func WriteJUnit(w io.Writer, name string, all []Result) error {
	suite := testSuite{Name: name, Tests: len(all), Failures: Failures(all)}
	for i := range all {
		r := &all[i]
		c := testCase{Name: r.line(), Class: name}
		if !r.OK {
			var b strings.Builder
			if r.Walk != nil {
				_ = walk.Text{}.Write(&b, r.Walk) // into memory
			}
			c.Failure = &failure{strings.Join(r.Wrong, "; "), b.String()}
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
