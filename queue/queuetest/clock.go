package queuetest

import (
	"sync"
	"time"
)

// Clock is a simulated clock: it stands still until it is told to advance. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at noon of 2026-01-15, UTC.
func NewClock() *Clock {
	return &Clock{now: time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)}
}

// Now returns the simulated time. Its method value is what stores take as their clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock forward and returns the new time. A clock never goes back: a negative d panics.
func (c *Clock) Advance(d time.Duration) time.Time {
	if d < 0 {
		panic("queuetest: a clock does not go back")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return c.now
}
