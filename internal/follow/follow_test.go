package follow

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vrouter/vrouter/internal/packet"
	"github.com/vrouter/vrouter/internal/timeline"
	"github.com/vrouter/vrouter/internal/trace"
)

// What is caused by a packet need not be of its kind: hosts record more than is shown.
func TestSelection(t *testing.T) {
	frame := func(protocol byte) []byte {
		f := packet.NewFrame()
		f.Reset(packet.EthernetLen + packet.IPv4MinLen + 8)
		clear(f.Bytes())
		f.SetEthernet(packet.MAC{2}, packet.MAC{4}, packet.EtherTypeIPv4)
		packet.PutIPv4(f.Payload(), &packet.Header{TotalLen: 28, TTL: 9, Protocol: protocol, Src: packet.IPv4Addr([]byte{10, 0, 0, 1}), Dst: packet.IPv4Addr([]byte{10, 0, 0, 2})})
		return f.Bytes()
	}
	for _, c := range []struct {
		filter        string
		protocol      byte
		traced, asked bool
	}{
		{"udp", packet.ProtocolUDP, true, true},
		{"udp", packet.ProtocolICMP, true, false},
		{"udp", packet.ProtocolTCP, false, false},
		{"", packet.ProtocolTCP, true, true},
		{"not icmp or tcp", packet.ProtocolICMP, true, false},
	} {
		s, err := newSelection(c.filter)
		if err != nil {
			t.Fatal(err)
		}
		b := frame(c.protocol)
		if got := s.traced(b); got != c.traced {
			t.Errorf("%q, protocol %d: traced %v", c.filter, c.protocol, got)
		}
		if got := s.asked(&trace.Packet{Frame: &trace.Frame{Bytes: b[:30], Length: len(b)}}); got != c.asked {
			t.Errorf("%q, protocol %d: asked for %v", c.filter, c.protocol, got)
		}
	}
	if _, err := newSelection("udp and and"); err == nil {
		t.Error("a filter that says nothing is taken")
	}
}

// While a reader pauses, no packet's time runs out: what came meanwhile is joined first.
func TestReaderPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &follower{events: make(chan event, queue), left: 1, opts: Options{Within: time.Second, Warn: func(error) {}}}
		f.joiner = timeline.New(timeline.Options{Within: time.Second, Hosts: []timeline.Host{{Name: "a"}}})
		record := func(id uint64) event {
			return event{host: "a", record: &trace.Packet{ID: id, Host: "a", Outcome: trace.Consumed, Frame: &trace.Frame{Bytes: make([]byte, 60), Length: 60}}}
		}
		f.events <- record(1)
		var shown []time.Duration
		began := time.Now()
		err := f.run(t.Context(), func(w *timeline.Way) error {
			shown = append(shown, f.clock.now().Sub(began))
			if len(shown) == 1 {
				time.Sleep(time.Hour)
				f.events <- record(2)
				f.events <- event{host: "a", ended: errors.New("it is over")}
			}
			return nil
		})
		if err == nil || len(shown) != 2 || shown[1] > time.Second {
			t.Errorf("%v: ways are shown after %v of the time that counts", err, shown)
		}
	})
}

// Who ends a trace is not told that it has ended, whichever of both is seen first.
func TestEndIsNoError(t *testing.T) {
	for range 100 {
		f := &follower{events: make(chan event, queue), left: 1, opts: Options{Within: time.Second, Warn: func(err error) { t.Error(err) }}}
		f.joiner = timeline.New(timeline.Options{Within: time.Second, Hosts: []timeline.Host{{Name: "a"}}})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		f.events <- event{host: "a", ended: &url.Error{Op: "Get", Err: context.Canceled}}
		if err := f.run(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
}
