package host

import (
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// plain is an object that is made by one deed, and whose entry is the same at each try.
type plain struct {
	restless
	made int
}

func (p *plain) look(it *Item) (*deeds, error) {
	e := &Entry{Netns: 1}
	if it.entry != nil {
		copied := *it.entry
		e = &copied
	}
	d := &deeds{entry: e, do: func() error { p.made++; return nil }}
	d.say("make it")
	return d, nil
}

// What could not be written down is not done, however often it is tried, until it is written down.
func TestNothingIsDoneUnwritten(t *testing.T) {
	full := filepath.Join(t.TempDir(), "full")
	must(t, os.WriteFile(full, nil, 0o644)) // no directory: as if the disk were full
	h := bareHost(t, &Record{Owner: Owner{Uplink: "up", Netns: 1, Boot: bootID()}, dir: full}, io.Discard)
	o := &plain{restless: restless{name: "a"}}
	if err := h.Set(o); err == nil {
		t.Fatal("it was written")
	}
	now := time.Now()
	settle := func() {
		now = now.Add(time.Minute)
		for h.Settle(now) {
		}
	}
	for range 3 {
		settle()
	}
	if o.made != 0 {
		t.Errorf("it was made %d times, and nothing is written", o.made)
	}
	must(t, os.Remove(full)) // there is room again
	must(t, os.Mkdir(full, 0o755))
	settle()
	if o.made == 0 {
		t.Error("it was not made when there was room again")
	}
	if got, err := readRecord(filepath.Join(full, "up.json")); err != nil || got.find(o.ID()) == nil {
		t.Errorf("it is not written when it was made: %v", err)
	}
}

// Two routers in two network namespaces that find garbage in the first place do not both take it.
func TestTwoClaimGarbage(t *testing.T) {
	for i := range 50 {
		dir := t.TempDir()
		old := &Record{Owner: Owner{Uplink: "up", Netns: 99, Boot: "before"}, dir: dir}
		text, err := old.text()
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "up.json"), text, 0o644))
		var all sync.WaitGroup
		var files [2]string
		for n := range 2 {
			all.Go(func() {
				r := &Record{Owner: Owner{Uplink: "up", Netns: uint64(n + 1), Boot: bootID(), PID: os.Getpid()}, dir: dir}
				r.Owner.Start, _ = StartTime(r.Owner.PID)
				if err := r.save(); err != nil {
					t.Error(err)
				}
				files[n] = r.file
			})
		}
		all.Wait()
		if files[0] == files[1] {
			t.Fatalf("time %d: both write to %s", i, files[0])
		}
	}
}
