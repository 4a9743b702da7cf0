package web

import "slices"

// The sizes of the picture, in units of its viewBox.
const (
	hostWidth      = 360
	headHeight     = 84 // of a host: its name, addresses and a next hop
	workloadHeight = 44
	workloadWidth  = 130
	routerSize     = 84
	padding        = 16
	gap            = 60  // between hosts
	busGap         = 70  // between a row of hosts and the line that joins it
	margin         = 40  // around everything
	trunk          = 60  // room at the left for lines that join rows
	gatewayWidth   = 150 // of what routes between links
	gatewayHeight  = 44
	// shownWorkloads of a host are drawn; of more, the last place stands for the rest.
	shownWorkloads = 6
	// inOneRow is up to how many hosts of a link stand in one row, and inRow how many at most.
	inOneRow = 4
	inRow    = 5
)

// Box is a place in the picture.
type Box struct {
	X      int `json:"x"`
	Y      int `json:"y"`
	Width  int `json:"width"`
	Height int `json:"height"`
}

type point [2]int

// layout gives everything its place: the hosts of a link in rows, two rows at a line that joins them, the
// links one below the other. Nothing overlaps, as no two things are given the same room.
func (t *Topology) layout() {
	t.Cables = slices.DeleteFunc(t.Cables, func(c *Cable) bool { return c.Kind != linkCable })
	left := margin
	if len(t.Gateways) > 0 {
		left += gatewayWidth + gap
	}
	y, width := margin, 0
	for _, link := range slices.Clone(t.Cables) {
		hosts := t.on(link)
		for _, h := range hosts {
			h.arrange()
		}
		x := left
		switch {
		case len(hosts) == 2 && len(t.Gateways) == 0:
			y, width = t.sideBySide(link, hosts, x, y), max(width, x+2*hostWidth+3*gap)
		default:
			columns := columnsOf(len(hosts))
			if len(hosts) > inOneRow {
				x += trunk
			}
			y, width = t.rows(link, hosts, columns, x, y), max(width, x+columns*(hostWidth+gap)-gap)
		}
		y += gap
	}
	t.gateways(y)
	t.Width, t.Height = width+margin, y-gap+margin
	for _, h := range t.Hosts {
		t.cablesOf(h)
	}
}

// columnsOf is how many hosts of so many stand in one row.
func columnsOf(n int) int {
	switch {
	case n <= inOneRow:
		return n
	case n <= 2*inRow:
		return (n + 1) / 2
	}
	return inRow
}

// sideBySide draws two hosts as the tutorial does, with a cable between them.
func (t *Topology) sideBySide(link *Cable, hosts []*Host, x, y int) (bottom int) {
	a, b := hosts[0], hosts[1]
	a.X, a.Y, b.X, b.Y = x, y, x+hostWidth+3*gap, y
	a.Height = max(a.Height, b.Height)
	b.Height = a.Height
	a.place(facingRight)
	b.place(facingLeft)
	middle := (a.X + a.Width + b.X) / 2
	at := a.Router.Y + a.Router.Height/2
	link.Path = []point{{middle - gap/2, at}, {middle + gap/2, at}}
	a.plug, b.plug = []point{{a.Router.X + a.Router.Width, at}, {middle - gap/2, at}}, []point{{b.Router.X, at}, {middle + gap/2, at}}
	return y + a.Height
}

// rows draws hosts above and below lines; several lines are joined at the left.
func (t *Topology) rows(link *Cable, hosts []*Host, columns, x, y int) (bottom int) {
	var lines []int
	for len(hosts) > 0 {
		above := hosts[:min(columns, len(hosts))]
		hosts = hosts[len(above):]
		below := hosts[:min(columns, len(hosts))]
		hosts = hosts[len(below):]
		line := y + tallest(above) + busGap
		t.row(above, x, y, tallest(above), line, facingDown)
		y = line + busGap
		if len(below) > 0 {
			t.row(below, x, y, tallest(below), line, facingUp)
			y += tallest(below)
			if len(hosts) > 0 {
				y += gap
			}
		} else {
			y -= busGap - 20
		}
		lines = append(lines, line)
	}
	right := x + columns*(hostWidth+gap) - gap
	begin := x
	if len(lines) > 1 {
		begin = x - trunk/2
	}
	if len(t.Gateways) > 0 {
		begin = margin + gatewayWidth + gap/2
	}
	for i, line := range lines {
		path := []point{{begin, line}, {right, line}}
		if i == 0 {
			link.Path = path
		} else {
			link.More = append(link.More, path)
		}
	}
	if last := lines[len(lines)-1]; len(lines) > 1 {
		link.More = append(link.More, []point{{begin, lines[0]}, {begin, last}})
	}
	return y
}

func (t *Topology) row(hosts []*Host, x, y, height, line int, f facing) {
	for _, h := range hosts {
		h.X, h.Y, h.Height = x, y, height
		h.place(f)
		middle := h.Router.X + h.Router.Width/2
		from := h.Router.Y + h.Router.Height
		if f == facingUp {
			from = h.Router.Y
		}
		h.plug = []point{{middle, from}, {middle, line}}
		x += hostWidth + gap
	}
}

func tallest(hosts []*Host) (most int) {
	for _, h := range hosts {
		most = max(most, h.Height)
	}
	return most
}

// arrange says how large a host is, and which of its workloads are drawn.
func (h *Host) arrange() {
	if n := len(h.Workloads); n > shownWorkloads {
		rest := Workload{Folded: []string{}}
		for _, w := range h.Workloads[shownWorkloads-1:] {
			rest.Folded = append(rest.Folded, w.Name)
		}
		h.Workloads = append(slices.Clone(h.Workloads[:shownWorkloads-1]), rest)
	}
	inside := max(len(h.Workloads)*(workloadHeight+padding)-padding, routerSize)
	h.Width, h.Height = hostWidth, headHeight+inside+2*padding
}

// facing is the side of a host where its uplink is.
type facing uint8

const (
	facingRight facing = iota
	facingLeft
	facingDown
	facingUp
)

// place gives the router and the workloads their places in the host's box.
func (h *Host) place(f facing) {
	top := h.Y + headHeight + padding
	inside := h.Height - headHeight - 2*padding
	workloads, router := h.X+padding, h.X+h.Width-padding-routerSize
	if f == facingLeft {
		workloads, router = h.X+h.Width-padding-workloadWidth, h.X+padding
	}
	h.Router = Box{router, top + (inside-routerSize)/2, routerSize, routerSize}
	used := len(h.Workloads)*(workloadHeight+padding) - padding
	y := top + (inside-used)/2
	for i := range h.Workloads {
		h.Workloads[i].Box = Box{workloads, y, workloadWidth, workloadHeight}
		y += workloadHeight + padding
	}
}

// cablesOf draws the lines between a host's router and its workloads, and its uplink.
func (t *Topology) cablesOf(h *Host) {
	for _, w := range h.Workloads {
		if w.Folded != nil {
			continue
		}
		c := &Cable{ID: h.Name + "/" + w.Name, Kind: "workload", Host: h.Name, Port: w.Name, To: w.Name}
		y, from, to := w.Y+w.Height/2, w.X+w.Width, h.Router.X
		if from > to { // the router is at the left
			from, to = w.X, h.Router.X+h.Router.Width
		}
		half := (from + to) / 2
		into := min(max(y, h.Router.Y+padding), h.Router.Y+h.Router.Height-padding)
		c.Path = []point{{from, y}, {half, y}, {half, into}, {to, into}}
		t.Cables = append(t.Cables, c)
	}
	if h.plug != nil {
		t.Cables = append(t.Cables, &Cable{ID: h.Name + "/" + h.Uplink, Kind: "uplink", Host: h.Name, Port: h.Uplink, To: h.link, Path: h.plug})
	}
}

// gateways stand at the left, beside the lines that they join.
func (t *Topology) gateways(bottom int) {
	if len(t.Gateways) == 0 {
		return
	}
	first, last := bottom, 0
	for _, c := range t.Cables {
		if c.Kind == linkCable && len(c.Path) > 0 {
			first, last = min(first, c.Path[0][1]), max(last, c.Path[0][1])
		}
	}
	g := &t.Gateways[0]
	g.Box = Box{margin, (first + last - gatewayHeight) / 2, gatewayWidth, gatewayHeight}
	for _, c := range t.Cables {
		if c.Kind != linkCable || len(c.Path) == 0 {
			continue
		}
		end := c.Path[0]
		c.More = append(c.More, []point{end, {g.X + g.Width + gap/4, end[1]}, {g.X + g.Width + gap/4, g.Y + g.Height/2}, {g.X + g.Width, g.Y + g.Height/2}})
	}
}

// on are the hosts of a link.
func (t *Topology) on(link *Cable) (list []*Host) {
	for _, h := range t.Hosts {
		if h.link == link.ID {
			list = append(list, h)
		}
	}
	return list
}
