package cni

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// directory is where it is written down for which containers addresses were asked: an IPAM plugin that knows no GC does
// not tell.
const directory = "/var/lib/cni/vrouter"

// journal is a network's: a file a container's interface, from before anything is done until all of it is undone.
type journal string

func (e *errand) journal() journal { return journal(filepath.Join(directory, e.Name)) }

// begun is what a file says.
type begun struct {
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifname"`
}

func (j journal) file(e *errand) string { return filepath.Join(string(j), e.name()) }

func (j journal) next(e *errand) string { return filepath.Join(string(j), temporary+e.name()) }

// temporary is what the name of a file begins with that is not whole yet; no container's id does.
const temporary = ".new-"

// begin is an error where an ADD for the same has begun, and no DEL has followed it.
func (j journal) begin(e *errand) error {
	text, err := json.Marshal(begun{e.ContainerID, e.IfName})
	if err == nil {
		err = os.MkdirAll(string(j), 0o700)
	}
	next := j.next(e)
	if err == nil {
		defer os.Remove(next)
		err = os.WriteFile(next, text, 0o600)
	}
	if err == nil {
		err = os.Link(next, j.file(e)) // whole or not at all, and for one of two at once
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return failure(types.ErrInvalidEnvironmentVariables, "call DEL first", "ADD of %s for container %s was called before", e.IfName, e.ContainerID)
	case err != nil:
		return failure(types.ErrIOFailure, "look whether there is room in "+directory, "%v", err)
	}
	return nil
}

func (j journal) end(e *errand) error {
	_ = os.Remove(j.next(e))
	if err := os.Remove(j.file(e)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failure(types.ErrIOFailure, "look at "+directory, "%v", err)
	}
	return nil
}

// all are those that have begun; what a killed ADD has not finished writing goes.
func (j journal) all() (list []begun, err error) {
	files, err := os.ReadDir(string(j))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, f := range files {
		path := filepath.Join(string(j), f.Name())
		if strings.HasPrefix(f.Name(), temporary) {
			_ = os.Remove(path)
			continue
		}
		text, rerr := os.ReadFile(path)
		var b begun
		if rerr == nil {
			rerr = json.Unmarshal(text, &b)
		}
		if rerr != nil {
			err = errors.Join(err, rerr)
			continue
		}
		list = append(list, b)
	}
	return list, err
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}
