package main

import (
	"fmt"
	"io"
	"strings"
)

// goal is a ratio that the router is held to: of a measure of one contender to one of another,
// or of the same.
type goal struct {
	what    string
	of      string // contender
	measure string
	to      string // contender
	by      string // measure; "": the same
	wanted  string
}

var goals = []goal{
	{"TCP, 1 stream, to the kernel", vrouterName, tcpOne, linuxName, "", ">= 0.72"},
	{"TCP, 4 streams, to the kernel", vrouterName, tcpFour, linuxName, "", ">= 0.65"},
	{"TCP, 4 streams, to Open vSwitch as packaged", vrouterName, tcpFour, ovsName, "", ">= 8"},
	{"TCP, 4 streams, to Open vSwitch with TSO", vrouterName, tcpFour, ovsTSOName, "", ">= 1.5"},
	{"64 TCP streams to 16", vrouterName, tcpMany, vrouterName, tcpSixteen, ">= 0.9"},
	{"IP-in-IP to plain, 1 stream", ipipName, tcpOne, vrouterName, "", ">= 0.9"},
	{"IP-in-IP to plain, 4 streams", ipipName, tcpFour, vrouterName, "", ">= 0.9"},
	{"VXLAN to plain, 1 stream", vxlanName, tcpOne, vrouterName, "", ">= 0.9"},
	{"VXLAN to plain, 4 streams", vxlanName, tcpFour, vrouterName, "", ">= 0.9"},
	{"UDP_SEGMENT, to the kernel", vrouterName, udpSegments, linuxName, "", ">= 0.6"},
	{"small datagrams without loss, to the kernel", vrouterName, udpLossless, linuxName, "", ">= 0.65"},
	{"small datagrams without loss, to Open vSwitch", vrouterName, udpLossless, ovsName, "", ">= 2.5"},
	{"round trip, median, to the kernel", vrouterName, rttMedian, linuxName, "", "<= 2.2"},
	{"IPv6 to IPv4: TCP, 1 stream", vrouterName, six(tcpOne), vrouterName, tcpOne, ">= 0.95"},
	{"IPv6 to IPv4: TCP, 4 streams", vrouterName, six(tcpFour), vrouterName, tcpFour, ">= 0.95"},
	{"IPv6 to IPv4: small datagrams without loss", vrouterName, six(udpLossless), vrouterName, udpLossless, ">= 0.95"},
	{"IPv6 to IPv4: round trip, median", vrouterName, six(rttMedian), vrouterName, rttMedian, "<= 1.05"},
}

// printGoals is a table of what the ratios are, as far as both sides were measured.
func (r *report) printGoals(w io.Writer) {
	rows := [][]string{{"ratio", "is", "wanted"}}
	for _, g := range goals {
		if is := r.is(g); is != "" {
			rows = append(rows, []string{g.what, is, g.wanted})
		}
	}
	if len(rows) > 1 {
		fmt.Fprintln(w)
		writeTable(w, rows)
	}
}

// is says what a ratio is; "": it cannot be said.
func (r *report) is(g goal) string {
	of, to, by := r.column(g.of), r.column(g.to), g.by
	if by == "" {
		by = g.measure
	}
	if of == nil || to == nil || len(of.Samples[g.measure]) == 0 || median(to.Samples[by]) == 0 {
		return ""
	}
	v, base := median(of.Samples[g.measure]), median(to.Samples[by])
	if r.limited(v, g.measure) || r.limited(base, by) {
		return "ends"
	}
	return fmt.Sprintf("%.2f", v/base)
}

func writeTable(w io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for n, row := range rows {
		for i, cell := range row {
			fmt.Fprintf(w, "| %s%s ", cell, strings.Repeat(" ", widths[i]-len([]rune(cell))))
		}
		fmt.Fprintln(w, "|")
		if n == 0 {
			for _, width := range widths {
				fmt.Fprintf(w, "| %s ", strings.Repeat("-", width))
			}
			fmt.Fprintln(w, "|")
		}
	}
}
