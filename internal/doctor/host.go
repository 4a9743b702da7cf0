package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/vrouter/vrouter/internal/config"
	"github.com/vrouter/vrouter/internal/control"
	"github.com/vrouter/vrouter/internal/lab"
)

// DefaultConfig is where the installed service has its configuration.
const DefaultConfig = "/etc/vrouter/vrouter.yaml"

// NewHost finds the configuration: the file, if one is named, or in a file of all hosts that of node; that of the router
// which answers at the socket; or the installed one. What it says about that is
// the first finding.
func NewHost(ctx context.Context, file, node, socket string) (*Host, Finding) {
	h := &Host{Socket: socket}
	found := h.configure(ctx, file, node)
	found.Name = "configuration"
	if h.Config != nil {
		h.Config.Lab = lab.Prefix()
		h.Socket = h.Config.Control.Socket
	}
	client := control.NewClient(h.Socket)
	defer client.Close()
	var v control.Version
	if client.Get(ctx, "/v1/version", &v) == nil {
		h.Router = &v
	}
	return h, found
}

func (h *Host) configure(ctx context.Context, file, node string) Finding {
	var err error
	if file == "" {
		if h.Config, err = running(ctx, h.Socket); err == nil {
			return Finding{State: OK, Means: "that of the router at " + h.Socket}
		}
		file = DefaultConfig
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return Finding{
				State: Warn, Means: fmt.Sprintf("no router answers at %s and there is no %s: only what needs no configuration was looked at", h.Socket, file),
				Mend: "vrouter doctor --config FILE" + ofLab(),
			}
		}
	}
	if h.Config, err = config.LoadNode(file, node); err != nil {
		h.Config = nil
		return Finding{State: Fail, Means: err.Error() + "; only what needs no configuration was looked at", Mend: "edit " + file}
	}
	return Finding{State: OK, Means: file + " can be read"}
}

// ofLab is how to look at a host of the lab that is up.
func ofLab() string {
	l, err := lab.Load()
	if err != nil {
		return ""
	}
	var names []string
	for _, h := range l.Hosts {
		names = append(names, h.Name)
	}
	return fmt.Sprintf("; or, of the lab that is up, for each of its hosts (%s): vrouter lab exec %s -- vrouter doctor", strings.Join(names, ", "), names[0])
}

// running is the configuration in force.
func running(ctx context.Context, socket string) (*config.Host, error) {
	client := control.NewClient(socket)
	defer client.Close()
	var text string
	if err := client.Get(ctx, "/v1/config", &text); err != nil {
		return nil, err
	}
	return config.Parse("the router at "+socket, []byte(text))
}
