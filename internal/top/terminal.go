package top

import (
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal is the one that a command runs at, for as long as the screen has it.
type terminal struct {
	in, out *os.File
	before  *term.State
	keys    chan string
	resized chan os.Signal
}

// takeTerminal clears the terminal; giveBack puts everything as it was. The
// alternate screen and the cursor are xterm's (CSI ? 1049 and ? 25), which all
// terminals of today follow.
func takeTerminal(in, out *os.File) (*terminal, error) {
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, err
	}
	t := &terminal{in: in, out: out, before: before, keys: make(chan string), resized: make(chan os.Signal, 1)}
	signal.Notify(t.resized, unix.SIGWINCH)
	t.write("\x1b[?1049h\x1b[?25l")
	go t.read()
	return t, nil
}

func (t *terminal) giveBack() {
	signal.Stop(t.resized)
	t.write("\x1b[?25h\x1b[?1049l")
	_ = term.Restore(int(t.in.Fd()), t.before)
}

func (t *terminal) write(s string) { _, _ = t.out.WriteString(s) }

// size is its width and height in characters.
func (t *terminal) size() (width, height int) {
	width, height, err := term.GetSize(int(t.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24 // some lines do not know
	}
	return width, height
}

// draw shows lines in place of those before. What is there already is written over,
// so that nothing flickers.
func (t *terminal) draw(lines []string) {
	t.write("\x1b[H" + strings.Join(lines, "\x1b[K\r\n") + "\x1b[K\x1b[J")
}

// read tells of keys for as long as the process lives: a read of a terminal cannot be
// called off.
func (t *terminal) read() {
	b := make([]byte, 256)
	for {
		n, err := t.in.Read(b)
		if err != nil {
			t.keys <- keyStop // the terminal has gone
			return
		}
		for _, key := range keysOf(string(b[:n])) {
			t.keys <- key
		}
	}
}

// sequences are what terminals send for keys that are no letter (ECMA-48 8.3.19 to
// 22, in both of xterm's modes). One comes as a whole, so that an escape character on
// its own is the key.
var sequences = []struct{ sent, key string }{
	{"\x1b[A", keyUp}, {"\x1bOA", keyUp}, {"\x1b[B", keyDown}, {"\x1bOB", keyDown},
	{"\x1b[C", keyRight}, {"\x1bOC", keyRight}, {"\x1b[D", keyLeft}, {"\x1bOD", keyLeft},
	{"\x1b", keyEscape}, {"\r", keyEnter}, {"\n", keyEnter}, {"\t", keyTab}, {"\x03", keyStop},
}

func keysOf(sent string) (keys []string) {
next:
	for sent != "" {
		for _, s := range sequences {
			if rest, ok := strings.CutPrefix(sent, s.sent); ok {
				keys, sent = append(keys, s.key), rest
				continue next
			}
		}
		keys, sent = append(keys, sent[:1]), sent[1:]
	}
	return keys
}
