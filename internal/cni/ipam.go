package cni

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
)

// ipam has the IPAM plugin do one thing. For what has been the same since 1.0.0 it is asked in that version, as an
// older plugin knows no newer one.
func (e *errand) ipam(verb string) (types.Result, error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(e.StdinData, &fields); err != nil {
		return nil, err
	}
	old := verb != "GC" && verb != "STATUS"
	if e.CNIVersion == "1.1.0" && old {
		fields["cniVersion"] = json.RawMessage(`"1.0.0"`)
		delete(fields, "prevResult")
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	if os.Getenv("CNI_CONTAINERID") != e.ContainerID || os.Getenv("CNI_IFNAME") != e.IfName { // GC's, of another container
		defer restoring("CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS")()
		os.Setenv("CNI_CONTAINERID", e.ContainerID)
		os.Setenv("CNI_IFNAME", e.IfName)
		os.Setenv("CNI_NETNS", e.Netns)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if e.CNIVersion == "1.1.0" && !old && !e.ipamSpeaks(ctx) {
		return nil, nil
	}
	switch verb {
	case "ADD":
		return invoke.DelegateAdd(ctx, e.IPAM.Type, text, nil)
	case "DEL":
		return nil, invoke.DelegateDel(ctx, e.IPAM.Type, text, nil)
	case "CHECK":
		return nil, invoke.DelegateCheck(ctx, e.IPAM.Type, text, nil)
	case "GC":
		return nil, invoke.DelegateGC(ctx, e.IPAM.Type, text, nil)
	}
	return nil, invoke.DelegateStatus(ctx, e.IPAM.Type, text, nil)
}

// restoring puts variables of the environment back as they are now.
func restoring(names ...string) func() {
	was := map[string]string{}
	for _, name := range names {
		was[name] = os.Getenv(name)
	}
	return func() {
		for name, value := range was {
			os.Setenv(name, value)
		}
	}
}

// ipamSpeaks says whether the IPAM plugin knows 1.1.0, and so GC and STATUS. One that is not there is asked, for its error.
func (e *errand) ipamSpeaks(ctx context.Context) bool {
	path, err := invoke.FindInPath(e.IPAM.Type, filepath.SplitList(e.Path))
	if err != nil {
		return true
	}
	v, err := invoke.GetVersionInfo(ctx, path, nil)
	return err != nil || slices.Contains(v.SupportedVersions(), "1.1.0")
}
