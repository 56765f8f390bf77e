package caddymodule

import (
	"context"
	"sync"
	"time"
)

// deadlines makes the contexts of a source's requests. Requests that come shortly after one another share a timer, because a timer and a cancellation for each cost more than
// to verify its signature: a context ends up to a sixty-fourth of the time early, never late.
//
// It does not end when the sender is gone: what has arrived as a whole is verified and stored all the same.
type deadlines struct {
	mu     sync.Mutex
	latest *sharedDeadline
}

type sharedDeadline struct {
	at   time.Time
	done chan struct{}
}

const deadlineShare = 64

// of returns the context of a request that came at the given time and may take as long as after, which is the same for all.
func (d *deadlines) of(ctx context.Context, started time.Time, after time.Duration) context.Context {
	at := started.Add(after)
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.latest
	if s == nil || at.Before(s.at) || at.Sub(s.at) > after/deadlineShare {
		s = &sharedDeadline{at: at, done: make(chan struct{})}
		time.AfterFunc(after, func() { close(s.done) })
		d.latest = s
	}
	return &deadlineContext{Context: ctx, shared: s}
}

// deadlineContext has the values of a request's context, and ends at a deadline and not before.
type deadlineContext struct {
	context.Context //nolint:containedctx // it is one
	shared          *sharedDeadline
}

func (c *deadlineContext) Deadline() (time.Time, bool) { return c.shared.at, true }
func (c *deadlineContext) Done() <-chan struct{}       { return c.shared.done }

func (c *deadlineContext) Err() error {
	select {
	case <-c.shared.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
