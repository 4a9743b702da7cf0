// Package examples holds example configurations; the tutorial's lab is built in.
package examples

import _ "embed"

// LabTutorial is the lab of the tutorial: two hosts with a workload each.
//
//go:embed lab-tutorial.yaml
var LabTutorial []byte
