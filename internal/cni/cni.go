// Package cni is the plugin of the Container Network Interface, of which the runtimes of containers ask an
// interface: it has an IPAM plugin choose the addresses, and the running router make the rest.
package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/vrouter/vrouter/internal/config"
)

// Program is the name by which the binary is the plugin.
const Program = "vrouter-cni"

// Versions of the specification that it speaks.
var Versions = version.PluginSupports("0.4.0", "1.0.0", "1.1.0")

// Asked says whether a runtime has started this program as its plugin, by whatever name it has among the plugins.
func Asked() bool {
	return filepath.Base(os.Args[0]) == Program || len(os.Args) == 1 && os.Getenv("CNI_COMMAND") != ""
}

// Main does what the environment asks for, and returns the exit status.
func Main(build string) int {
	err := skel.PluginMainFuncsWithError(skel.CNIFuncs{
		Add: then(add), Del: then(del), Check: then(check), GC: then(gc), Status: then(status),
	}, Versions, Program+" "+build)
	if err == nil {
		return 0
	}
	if err.Details == "" {
		err.Details = advice[err.Code]
	}
	_ = err.Print()
	return 1
}

// advice is what to do about errors that the specification's library finds by itself.
var advice = map[uint]string{
	types.ErrIncompatibleCNIVersion:      "write one of 0.4.0, 1.0.0 and 1.1.0 as cniVersion; CHECK needs 0.4.0, GC and STATUS need 1.1.0",
	types.ErrInvalidEnvironmentVariables: "the runtime gives them to the plugin: CNI_COMMAND, CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_PATH",
	types.ErrIOFailure:                   "look whether the configuration reaches the plugin's standard input",
	types.ErrDecodingFailure:             "the configuration is no whole JSON object: mend the file in /etc/cni/net.d",
	types.ErrInvalidNetworkConfig:        "mend the file in /etc/cni/net.d: name begins with a letter or digit, and has dots, dashes and underscores besides",
	types.ErrInvalidNetNS:                "give the path of the container's namespace as CNI_NETNS, not of the plugin's own",
}

// Codes of errors that are this plugin's own; the specification leaves those from 100 on to plugins.
const (
	codeRefused  = 100 // the router does not take the container
	codeChanged  = 101 // it is not as it was added
	codeDropped  = 102 // a packet would not get through
	codeLeftOver = 103 // something could not be taken away
)

func failure(code uint, details, format string, args ...any) *types.Error {
	return types.NewError(code, fmt.Sprintf(format, args...), details)
}

// errand is one call of the runtime's.
type errand struct {
	*skel.CmdArgs
	conf
	router *router
}

// conf is the configuration of a network.
type conf struct {
	types.PluginConf
	Socket string `json:"socket"`
}

func then(do func(*errand) error) func(*skel.CmdArgs) error {
	return func(a *skel.CmdArgs) error {
		e := &errand{CmdArgs: a}
		if err := json.Unmarshal(a.StdinData, &e.conf); err != nil {
			return failure(types.ErrDecodingFailure, "mend the file in /etc/cni/net.d; docs/cni.md has the keys", "the configuration: %v", err)
		}
		if e.IPAM.Type == "" {
			return failure(types.ErrInvalidNetworkConfig, `write which plugin chooses the addresses: "ipam": {"type": "host-local", "ranges": …}`, "ipam.type is missing")
		}
		if e.Socket == "" {
			e.Socket = config.DefaultControlSocket
		}
		e.router = newRouter(e.Socket)
		defer e.router.Close()
		return do(e)
	}
}

// maxID leaves room for an interface's name behind it in the name of a workload.
const maxID = 112

// name is the workload's: the container's id and, for any interface but eth0, that one's name.
func (e *errand) name() string { return nameOf(e.ContainerID, e.IfName) }

func nameOf(id, ifname string) string {
	if ifname == config.DefaultWorkloadInterface {
		return id
	}
	return id + "." + ifname
}

var ifnameForm = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// checkNames refuses what no workload can be called.
func (e *errand) checkNames() error {
	switch {
	case len(e.ContainerID) > maxID:
		return failure(types.ErrInvalidEnvironmentVariables, fmt.Sprintf("give an id of %d signs at the most", maxID), "CNI_CONTAINERID has %d signs", len(e.ContainerID))
	case !ifnameForm.MatchString(e.IfName):
		return failure(types.ErrInvalidEnvironmentVariables, "use letters, digits, dots, dashes and underscores", "CNI_IFNAME %q is no name for an interface here", e.IfName)
	case len(e.Name) > maxID:
		return failure(types.ErrInvalidNetworkConfig, fmt.Sprintf("give a name of %d signs at the most", maxID), "the network's name has %d signs", len(e.Name))
	}
	return nil
}

// status says whether containers can be added.
func status(e *errand) error {
	if err := e.router.answers(); err != nil {
		return failure(types.ErrPluginNotAvailable, "start the router (systemctl start vrouter), or give its control socket as `socket`", "%v", err)
	}
	if _, err := e.ipam("STATUS"); err != nil {
		return failure(types.ErrPluginNotAvailable, "look at the `ipam` of the configuration", "%v", err)
	}
	return nil
}

// gc takes back what is of no container that the runtime knows.
func gc(e *errand) error {
	valid := func(id, ifname string) bool {
		return slices.Contains(e.ValidAttachments, types.GCAttachment{ContainerID: id, IfName: ifname})
	}
	var errs []error
	attached, err := e.router.containers(e.Name)
	errs = append(errs, err)
	for _, w := range attached {
		if !valid(w.Container.ID, w.Interface) {
			errs = append(errs, e.as(w.Container.ID, w.Interface).takeBack())
		}
	}
	begun, err := e.journal().all()
	errs = append(errs, err)
	for _, b := range begun {
		if !valid(b.ContainerID, b.IfName) {
			errs = append(errs, e.as(b.ContainerID, b.IfName).takeBack())
		}
	}
	if _, err := e.ipam("GC"); err != nil {
		errs = append(errs, err)
	}
	_ = os.Remove(string(e.journal())) // if it is empty
	if err := errors.Join(errs...); err != nil {
		return asFailure(err, codeLeftOver, "call GC again when that is mended")
	}
	return nil
}

// as is the errand of another container's in the same network.
func (e *errand) as(id, ifname string) *errand {
	other := *e
	args := *e.CmdArgs
	args.ContainerID, args.IfName, args.Netns = id, ifname, ""
	other.CmdArgs = &args
	return &other
}

// asFailure has an error that is no failure of the specification yet become one.
func asFailure(err error, code uint, details string) error {
	var f *types.Error
	if errors.As(err, &f) {
		return f
	}
	return failure(code, details, "%v", err)
}

// resultOf is a result in the newest version's form.
func resultOf(r types.Result) (*types100.Result, error) {
	return types100.NewResultFromResult(r)
}
