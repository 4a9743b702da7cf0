//go:build page

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
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
	within(t, 2*time.Minute, file+" ends", func() bool { return r.hasEnded() })
	if said := read(t, r.out); said != "" {
		t.Log(said)
	}
	if r.status != nil {
		t.Errorf("%s: %v\n%s", file, r.status, read(t, r.errors))
	}
}

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
