package trace

import (
	"context"
	"time"
)

// Next waits for a record and copies it into r; after the end of ctx, or of the listener, it hands
// out what there still is. The gap is what is missing since the last call.
func (l *Listener) Next(ctx context.Context, r *Record) (Gap, error) {
	for {
		if l.out != nil {
			l.read(r)
			return Gap{}, nil
		}
		left, ok := l.left()
		switch {
		case ok && (left <= 0 || left > settle || ctx.Err() != nil):
			return l.take(r), nil // of the future: the clock has been set back
		case ok:
			wait(ctx, time.After(left))
		case ctx.Err() != nil:
			return Gap{}, ctx.Err()
		case l.Err() != nil:
			return Gap{}, l.Err()
		default:
			wait(ctx, l.wake)
		}
	}
}

func wait[T any](ctx context.Context, c <-chan T) {
	select {
	case <-c:
	case <-ctx.Done():
	}
}

// Waiting says whether there are records that Next has not handed out.
func (l *Listener) Waiting() bool {
	if l.out != nil {
		return true
	}
	_, ok := l.left()
	return ok
}

// Ready says whether Next would not wait.
func (l *Listener) Ready() bool {
	if l.out != nil {
		return true
	}
	left, ok := l.left()
	return ok && (left <= 0 || left > settle)
}

// Err is why the listener was ended; nil while it was not.
func (l *Listener) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// left says how long the next record is still kept back, if there is one.
func (l *Listener) left() (left time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ring.n == 0 {
		return 0, false
	}
	return l.ring.at(0).left(), true
}

func (r *Record) left() time.Duration { return time.Until(time.Unix(0, r.Time)) + settle }

// take takes the oldest record; of many, the whole chunk, so that a reader, whom nobody hurries,
// holds the lock for no time to speak of.
func (l *Listener) take(r *Record) (gap Gap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gap, l.gap = l.gap, Gap{}
	gap.Skipped += l.over.Swap(0)
	if len(l.ring.chunks) < 2 || l.ring.at(chunkLen-1-l.ring.first).left() > 0 {
		l.ring.pop(r)
		return gap
	}
	l.outAt = l.ring.first
	l.out = l.ring.shift()
	l.read(r)
	return gap
}

// read copies the next record of those that were taken.
func (l *Listener) read(r *Record) {
	*r = l.out[l.outAt]
	if l.outAt++; l.outAt == chunkLen {
		l.hub.chunks.put(l.out)
		l.out = nil
	}
}
