package engine

import "time"

// Who pays for a worker's time is the port whose frame has caused it: for the frame's way,
// for what the router makes because of it, and for the writes of both. The clock is read
// where the payer changes, and after each write.

// lap is how long the worker has been at it since the last lap, which is to be paid.
func (w *worker) lap() time.Duration {
	if w.poller == nil {
		return 0
	}
	d := w.poller.Lap()
	w.unpaid += d
	return d
}

// payPath has the port pay whose frame has gone its way.
func (w *worker) payPath() {
	if w.lap(); w.unpaid > 0 {
		w.poller.Charge(w.payer, w.unpaid)
		w.unpaid = 0
	}
}

// payWrite has those pay whose frames were written, each for its own.
func (w *worker) payWrite(written []outgoing) {
	if w.lap(); w.unpaid == 0 {
		return
	}
	each := w.unpaid / time.Duration(len(written))
	for from := 0; from < len(written); {
		to := from + 1
		for to < len(written) && written[to].payer == written[from].payer {
			to++
		}
		w.poller.Charge(written[from].payer, time.Duration(to-from)*each)
		from = to
	}
	w.unpaid = 0
}

// bookCosts enters what the ports have paid that a batch was from.
func (w *worker) bookCosts(from []int) {
	for i, slot := range from {
		if i == 0 || slot != from[i-1] {
			w.queues[slot].cost = w.poller.Cost(slot)
		}
	}
}
