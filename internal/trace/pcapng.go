package trace

import (
	"fmt"
	"io"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/vrouter/vrouter/forwarder"
	"github.com/vrouter/vrouter/internal/capture"
)

// PcapNG writes packets as a capture: the frame as it came, and once more after
// each step that changed it. Each port and step is an interface of its own.
type PcapNG struct {
	w          *pcapgo.NgWriter
	interfaces map[tap]int
}

// tap is where a frame is looked at.
type tap struct{ host, port, step string }

// NewPcapNG writes to w: the head at once, so that a capture of no packet can be read
// too, and then each packet at once.
func NewPcapNG(w io.Writer) (*PcapNG, error) {
	first := interfaceNamed("vrouter", "no frame is of this one: a capture begins with an interface")
	ng, err := pcapgo.NewNgWriterInterface(w, first, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: capture.Application}})
	if err != nil {
		return nil, err
	}
	return &PcapNG{ng, map[tap]int{}}, ng.Flush()
}

// Write adds a packet that carries its frames (Record.AddFrames).
func (c *PcapNG) Write(p *Packet) error {
	if p.Frame == nil {
		return fmt.Errorf("packet #%d of %s came without its frames", p.ID, p.Host)
	}
	first := tap{p.Host, p.In, forwarder.RX.Word}
	if p.In == "" {
		first = tap{p.Host, "vrouter", "made"}
	}
	if err := c.frame(first, p.Time, p.Frame); err != nil {
		return err
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		at := tap{p.Host, p.port(s.Step), s.Step}
		if err := c.frame(at, p.Time.Add(time.Duration(s.NS)), s.Frame); err != nil {
			return err
		}
	}
	return c.w.Flush()
}

// port is where a packet is at a step: at the port by which it came in until ttl,
// as route has decided then, and at the one by which it leaves afterwards.
func (p *Packet) port(step string) string {
	if s := forwarder.StepNamed(step); s != nil && s.Number() >= forwarder.TTL.Number() && p.Out != "" {
		return p.Out
	}
	if p.In == "" {
		return "vrouter"
	}
	return p.In
}

func (c *PcapNG) frame(at tap, when time.Time, f *Frame) error {
	if f == nil {
		return nil
	}
	id, err := c.interfaceOf(at)
	if err != nil {
		return err
	}
	return c.w.WritePacket(gopacket.CaptureInfo{
		Timestamp: when, CaptureLength: len(f.Bytes), Length: f.Length, InterfaceIndex: id,
	}, f.Bytes)
}

func (c *PcapNG) interfaceOf(at tap) (id int, err error) {
	if id, ok := c.interfaces[at]; ok {
		return id, nil
	}
	id, err = c.w.AddInterface(interfaceNamed(at.port+" "+at.step, fmt.Sprintf("%s, port %s, step %s", at.host, at.port, at.step)))
	c.interfaces[at] = id
	return id, err
}

func interfaceNamed(name, description string) pcapgo.NgInterface {
	return pcapgo.NgInterface{
		Name: name, Description: description,
		LinkType: layers.LinkTypeEthernet, SnapLength: snapLen, TimestampResolution: 9, // ns
	}
}
