package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestExamplesParse(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	bgp, err := filepath.Glob("../../examples/bgp/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 4 || len(bgp) < 2 {
		t.Fatalf("found %d and %d examples, expected at least 4 and 2", len(files), len(bgp))
	}
	files = append(files, bgp...)
	for _, file := range files {
		if strings.HasPrefix(filepath.Base(file), "lab-") {
			_, err = LoadLab(file)
		} else {
			_, err = Load(file)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// The tutorial is told twice, as two host files and as a lab: both must say the same.
func TestTutorialLabIsTheTwoHostFiles(t *testing.T) {
	lab, err := LoadLab("../../examples/lab-tutorial.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var hosts []Host
	for _, file := range []string{"k8s-master-1.yaml", "k8s-node-1.yaml"} {
		h, err := Load("../../examples/" + file)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, *h)
	}
	if diff := cmp.Diff(hosts, lab.Hosts, equateNetip, cmpopts.IgnoreFields(Uplink{}, "Addresses")); diff != "" {
		t.Errorf("host files and lab differ (-hosts +lab):\n%s", diff)
	}
}
