package lab

import "github.com/vrouter/vrouter/internal/impair"

// Status is what runs on one host of the lab.
type Status struct {
	Name      string     `json:"name"`
	Namespace string     `json:"namespace"`
	Address   string     `json:"address"` // the first of them
	Addresses []string   `json:"addresses"`
	Socket    string     `json:"socket"`
	Log       string     `json:"log"`
	Metrics   string     `json:"metrics,omitempty"` // address inside the host's namespace
	Running   bool       `json:"running"`
	PID       int        `json:"pid,omitempty"`
	Kernel    bool       `json:"kernel,omitempty"`   // its kernel is the router
	Commands  string     `json:"commands,omitempty"` // file with those that have made it so
	Workloads []Workload `json:"workloads"`
}

// LinkStatus is an impaired link, and what it has done.
type LinkStatus struct {
	Subnet     string `json:"subnet"`
	Impairment string `json:"impairment"` // in the words of `vrouter lab link`
	Running    bool   `json:"running"`
	Log        string `json:"log"`
	impair.Counts
}

// LinkStatus tells of the links that are impaired.
func (l *Lab) LinkStatus() []LinkStatus {
	list := []LinkStatus{}
	for _, k := range l.Links {
		i, _ := k.Impairment() // empty where the lab is being taken down
		list = append(list, LinkStatus{k.Subnet, i.String(), k.Carrier.Running(), k.Log, k.Count()})
	}
	return list
}

// Status tells what runs.
func (l *Lab) Status() []Status {
	list := make([]Status, 0, len(l.Hosts))
	for _, h := range l.Hosts {
		s := Status{
			Name: h.Name, Namespace: h.Namespace, Address: h.Address, Addresses: h.Addresses, Socket: h.Socket,
			Log: h.Log, Metrics: h.Metrics, Running: h.Router.Running(), Workloads: h.workloads(),
		}
		if s.Running {
			s.PID = h.Router.PID
		}
		list = append(list, s)
	}
	for _, h := range l.Twins {
		list = append(list, Status{
			Name: h.Name, Namespace: h.Namespace, Address: h.Address, Addresses: h.Addresses, Kernel: true, Commands: h.Commands, Workloads: h.Workloads,
		})
	}
	return list
}
