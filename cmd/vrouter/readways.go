package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/vrouter/vrouter/internal/timeline"
	"github.com/vrouter/vrouter/internal/web"
)

// read prints the ways in a file: those that the page has saved, or that `vrouter trace --hosts -o json` has written.
func (t *tracing) read(cmd *cobra.Command) error {
	r, err := open(t.file, cmd.InOrStdin())
	if err != nil {
		return err
	}
	defer r.Close()
	write, err := t.wayPrinter(cmd)
	if err != nil {
		return err
	}
	ways, shown := json.NewDecoder(r), 0
	for n := 1; ; n++ {
		way, err := readWay(ways)
		switch {
		case errors.Is(err, io.EOF) && n > 1:
			return nil
		case err != nil:
			return fmt.Errorf("%s: %d: %w", t.file, n, err)
		case !t.keepsWay(way):
			continue
		}
		if err := write(way); err != nil {
			return writing(err)
		}
		if shown++; shown == t.count {
			return nil
		}
	}
}

func readWay(ways *json.Decoder) (*timeline.Way, error) {
	var v web.Way
	if err := ways.Decode(&v); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("no way of a packet: %w", err)
	}
	if v.Summary == "" || len(v.Packets) == 0 {
		return nil, errors.New("no way of a packet: give a file that the page has saved, or the output of `vrouter trace --hosts … -o json`")
	}
	return v.Timeline(), nil
}

// keepsWay says whether a record of a way is asked for.
func (t *tracing) keepsWay(w *timeline.Way) bool {
	for i := range w.Packets {
		if t.Keeps(&w.Packets[i].Packet) {
			return true
		}
	}
	return false
}
