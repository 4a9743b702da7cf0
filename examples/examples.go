// Package examples holds example configurations; the tutorial's labs are built in.
package examples

import _ "embed"

// LabTutorial is the lab of the tutorial: two hosts with a workload each.
//
//go:embed lab-tutorial.yaml
var LabTutorial []byte

// LabDualStack is the same in both families.
//
//go:embed lab-dual-stack.yaml
var LabDualStack []byte
