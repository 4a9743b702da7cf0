//go:build page

package e2e

import (
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The page in a real browser. What is done there and what is wanted is in internal/web/browser, a file a test.

// inBrowser runs one of the files with Node.
func inBrowser(t *testing.T, file string, args ...string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("this test needs Node: apt-get install nodejs npm")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("this test needs a browser: apt-get install chromium")
	}
	if os.Getenv("NODE_PATH") == "" {
		t.Fatal("this test needs playwright-core: make page installs it into bin/browser and says so by NODE_PATH")
	}
	if err := withLink("lo", netlink.LinkSetUp); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, append([]string{filepath.Join("../web/browser", file)}, args...)...)
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium, "HOME="+t.TempDir())
	r := start(t, cmd, outsideOfAll)
	within(t, *pageLoad+2*time.Minute, file+" ends", func() bool { return r.hasEnded() })
	if said := read(t, r.out); said != "" {
		t.Log(said)
	}
	if r.status != nil {
		t.Errorf("%s: %v\n%s", file, r.status, read(t, r.errors))
	}
}

var pageLoad = flag.Duration("page.load", 5*time.Second, "how long the page is looked at while 100,000 packets a second cross the lab")

var pageURL = regexp.MustCompile(`http://127\.0\.0\.1:\d+/#token=\w+`)

// page runs a command that shows the page, until the test has ended, and returns the URL that it prints.
func page(t *testing.T, args ...string) (url string) {
	t.Helper()
	r := start(t, exec.Command(program, append(args, "--write", "--listen", "127.0.0.1:0")...), outsideOfAll)
	t.Cleanup(func() {
		r.send(t, syscall.SIGINT)
		r.wait(t)
	})
	eventually(t, "the page is served", func() bool {
		url = pageURL.FindString(read(t, r.out))
		return url != "" || r.hasEnded()
	})
	if url == "" {
		t.Fatalf("the page is not served: %s", read(t, r.errors))
	}
	return url
}

func TestPageOfTheDemo(t *testing.T) { inBrowser(t, "demo.mjs", page(t, "demo", "--web")) }

func TestPageOfALab(t *testing.T) {
	labUp(t, read(t, "../../examples/lab-three-hosts.yaml")+"links: {delay: 1ms} # a cable that can be made worse\n")
	inBrowser(t, "lab.mjs", page(t, "lab", "web"), program)
}

// Alone, with a program that means no good.
func TestPageAlone(t *testing.T) { inBrowser(t, "alone.mjs") }

// While very many packets cross the lab the page stays quick, and its memory as it was.
func TestPageUnderLoad(t *testing.T) {
	const rate = 100_000
	hosts := labUp(t, "")
	url := page(t, "lab", "web")
	from := listenUDP(t, hosts[0].ns1, here)
	defer from.Close()
	to := listenUDP(t, hosts[1].ns1, there)
	defer to.Close()
	raw, err := to.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var none error // reads nothing: what its socket takes is not looked at
	if err := raw.Control(func(fd uintptr) {
		none = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}})
	}); err != nil || none != nil {
		t.Fatal(err, none)
	}
	var stop atomic.Bool
	var done sync.WaitGroup
	done.Go(func() {
		for start, sent := time.Now(), 0; !stop.Load(); time.Sleep(time.Millisecond) {
			due := int(time.Since(start).Seconds() * rate)
			for sent = max(sent, due-rate/100); sent < due; sent++ {
				_, _ = from.WriteTo(make([]byte, 18), to.LocalAddr())
			}
		}
	})
	defer done.Wait()
	defer stop.Store(true)
	packets := func() float64 { return scrape(t, hosts[1].ns)[key("port_transmit_packets_total", `port="ns1"`)] }
	before, start := packets(), time.Now()
	inBrowser(t, "load.mjs", url, strconv.Itoa(int(pageLoad.Seconds())))
	t.Logf("%.0f packets a second", (packets()-before)/time.Since(start).Seconds())
}
