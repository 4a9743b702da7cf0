package lab

// Status is what runs on one host of the lab.
type Status struct {
	Name      string     `json:"name"`
	Namespace string     `json:"namespace"`
	Address   string     `json:"address"`
	Socket    string     `json:"socket"`
	Log       string     `json:"log"`
	Metrics   string     `json:"metrics,omitempty"` // address inside the host's namespace
	Running   bool       `json:"running"`
	PID       int        `json:"pid,omitempty"`
	Workloads []Workload `json:"workloads"`
}

// Status tells what runs.
func (l *Lab) Status() []Status {
	list := make([]Status, 0, len(l.Hosts))
	for _, h := range l.Hosts {
		s := Status{
			Name: h.Name, Namespace: h.Namespace, Address: h.Address, Socket: h.Socket,
			Log: h.Log, Metrics: h.Metrics, Running: h.Router.Running(), Workloads: h.Workloads,
		}
		if s.Running {
			s.PID = h.Router.PID
		}
		list = append(list, s)
	}
	return list
}
