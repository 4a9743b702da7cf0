package peer

import (
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"

	"github.com/vrouter/vrouter/internal/workload"
)

// Setup is the guest as a host of the cluster.
type Setup struct {
	Address  netip.Prefix // of eth0
	Gateway  netip.Addr   // of the host
	Peer     netip.Addr   // the other host
	Remote   netip.Prefix // the other host's workloads
	Tunnel   netip.Addr   // of tunl0: from this host's workloads, as Calico chooses it
	Workload netip.Prefix
}

// MTU is for a link of the guest.
type MTU struct {
	Link  string
	Bytes int
}

// Agent is what the guest serves. The methods have the form that net/rpc wants.
type Agent struct{ workload workload.Namespace }

// Setup sets the guest's network up. Nothing in it knows that vrouter is the peer.
func (a *Agent) Setup(s Setup, _ *struct{}) (err error) {
	if err := setHost(s); err != nil {
		return err
	}
	if a.workload, err = workload.Create("ns1"); err != nil {
		return err
	}
	if err := setWorkload(s, a.workload); err != nil {
		return err
	}
	return a.workload.Do(func() error {
		_, err := Serve()
		return err
	})
}

// Probe sends one from the workload.
func (a *Agent) Probe(p Probe, answer *Answer) error {
	return a.workload.Do(func() (err error) {
		*answer, err = p.Send()
		return err
	})
}

// ProbeFromHost sends one from the guest itself.
func (a *Agent) ProbeFromHost(p Probe, answer *Answer) (err error) {
	*answer, err = p.Send()
	return err
}

// Transfer sends one from the workload.
func (a *Agent) Transfer(t Transfer, _ *struct{}) error { return a.workload.Do(t.Send) }

// SetMTU changes a link of the guest.
func (a *Agent) SetMTU(m MTU, _ *struct{}) error {
	l, err := netlink.LinkByName(m.Link)
	if err != nil {
		return err
	}
	return netlink.LinkSetMTU(l, m.Bytes)
}

// ReadFile reads a file of the guest, such as /proc/net/snmp.
func (a *Agent) ReadFile(path string, text *string) error {
	b, err := os.ReadFile(path)
	*text = string(b)
	return err
}
