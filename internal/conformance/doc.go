// Package conformance holds nothing but tests: what an IPv4 router must show on
// the wire, rule by rule, judged from outside. Each rule is a row of a table, and
// each row runs twice: against the real vrouter, and against the Linux kernel
// forwarding in its place, so that a wrong expectation shows.
//
//	go test ./internal/conformance               run all rows
//	go test ./internal/conformance -print        and print the table
//	go test ./internal/conformance -update       write docs/conformance.md anew
//	go test ./internal/conformance -run /A1/     one row
//
// Nothing here uses the router's own packages for wire formats or checksums: a
// judge does not borrow the eyes of whom he judges.
package conformance
