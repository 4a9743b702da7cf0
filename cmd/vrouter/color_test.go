package main

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is one that nobody sees.
func terminal(t *testing.T, width uint16) *os.File {
	t.Helper()
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("this machine has no terminals: %v", err)
	}
	t.Cleanup(func() { far.Close() })
	if err := unix.IoctlSetPointerInt(int(far.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.IoctlRetInt(int(far.Fd()), unix.TIOCGPTPEER)
	if err != nil {
		t.Skipf("no other end of a terminal: %v", err)
	}
	near := os.NewFile(uintptr(fd), "terminal")
	t.Cleanup(func() { near.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: 24}); err != nil {
		t.Fatal(err)
	}
	return near
}

// Colours are for terminals that have them, unless somebody says otherwise.
func TestColours(t *testing.T) {
	at := terminal(t, 80)
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		color, noColor, term string
		terminal, file       bool
	}{
		{"auto", "", "xterm", true, false},
		{"auto", "1", "xterm", false, false},
		{"auto", "", "dumb", false, false},
		{"always", "1", "dumb", true, true},
		{"never", "", "xterm", false, false},
	} {
		t.Setenv("NO_COLOR", c.noColor)
		t.Setenv("TERM", c.term)
		o := &cli{color: c.color}
		if a, b := o.colours(at), o.colours(file); a != c.terminal || b != c.file {
			t.Errorf("%+v: %v on a terminal, %v in a file", c, a, b)
		}
	}
	if n := terminalWidth(at); n != 80 {
		t.Errorf("the terminal is %d wide", n)
	}
	if n := terminalWidth(file); n != 0 {
		t.Errorf("a file is %d wide", n)
	}
}
