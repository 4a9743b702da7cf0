package node

import (
	"runtime/debug"
	"time"
)

const (
	// muchChange is after how many changes of routes memory is given back to the system.
	muchChange = 1 << 14
	// quiet is how long nothing more must have changed then.
	quiet = 3 * time.Second
)

// churn notes changes of routes. What many of them have left behind is given back to the
// system at a quiet moment: Go does so by itself only much later, and a table that was large
// for a moment would be taken for the size that the router needs.
func (n *Node) churn(changes int) {
	if n.changed += changes; n.changed < muchChange {
		return
	}
	if n.giveBack == nil {
		n.giveBack = time.AfterFunc(quiet, func() {
			n.mu.Lock()
			n.changed = 0
			n.mu.Unlock()
			debug.FreeOSMemory()
		})
		return
	}
	n.giveBack.Reset(quiet)
}
