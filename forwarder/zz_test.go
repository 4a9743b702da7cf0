package forwarder_test
import ("testing";"fmt";"encoding/json";"os";"testing/synctest";"github.com/vrouter/vrouter/internal/trace")
func TestZZ(t *testing.T) {
	for _, c := range goldens {
			b := newBed(t)
			b.resolve()
			if c.setup != nil { c.setup(b) }
			l := b.listen(trace.Options{}, "")
			b.port(c.from).Send(c.send)
			fmt.Printf("@@@%s\n%s", c.name, text(t, records(l)))
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.resolve()
		l := b.listen(trace.Options{}, "icmp")
		b.ns1.Send(ping(farIP))
		f,_ := os.Create("testdata/trace.json")
		enc := json.NewEncoder(f)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		enc.Encode(records(l)[0])
		f.Close()
	})
}
