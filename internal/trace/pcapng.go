package trace

import (
	"fmt"
	"io"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/vrouter/vrouter/internal/capture"
	"github.com/vrouter/vrouter/internal/verdict"
)

// PcapNG writes packets as a capture: the frame as it came, and once more after
// each step that changed it. Each port and step is an interface of its own.
type PcapNG struct {
	to         io.Writer
	w          *pcapgo.NgWriter // from the first packet on: a section needs an interface
	interfaces map[tap]int
}

// tap is where a frame is looked at.
type tap struct{ host, port, step string }

// NewPcapNG writes to w, each packet at once.
func NewPcapNG(w io.Writer) *PcapNG { return &PcapNG{to: w, interfaces: map[tap]int{}} }

// Write adds a packet that carries its frames (Record.AddFrames).
func (c *PcapNG) Write(p *Packet) error {
	if err := c.frame(tap{p.Host, p.port(verdict.RX.String()), verdict.RX.String()}, p.Time, p.Frame); err != nil {
		return err
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		at := tap{p.Host, p.port(s.Step), s.Step}
		if err := c.frame(at, p.Time.Add(time.Duration(s.NS)), s.Frame); err != nil {
			return err
		}
	}
	if c.w == nil {
		return fmt.Errorf("packet #%d of %s came without its frames", p.ID, p.Host)
	}
	return c.w.Flush()
}

// port is where a packet is at a step: at the port by which it came in until ttl,
// as route has decided then, and at the one by which it leaves afterwards.
func (p *Packet) port(step string) string {
	if s, _ := verdict.StepNamed(step); s >= verdict.TTL && p.Out != "" {
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
	i := pcapgo.NgInterface{
		Name: at.port + " " + at.step, Description: fmt.Sprintf("%s, port %s, step %s", at.host, at.port, at.step),
		LinkType: layers.LinkTypeEthernet, SnapLength: snapLen, TimestampResolution: 9, // ns
	}
	if c.w == nil {
		c.w, err = pcapgo.NewNgWriterInterface(c.to, i, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: capture.Application}})
	} else {
		id, err = c.w.AddInterface(i)
	}
	c.interfaces[at] = id
	return id, err
}
