package delivery

import "time"

const (
	rampStart = 1                      // attempts at once when an outage is over
	rampStep  = 500 * time.Millisecond // least time in which they double
)

// sample is what an attempt tells about the application's pace.
type sample struct {
	health    health
	throttled bool // it failed in a way that tells of overload
	started   time.Time
	latency   time.Duration
}

// pace says how many attempts may be under way at once: the configured number, less after an outage (slow start), and what the application
// seems to bear if the policy leaves it to us. It is guarded by its destination's lock.
type pace struct {
	ramp    int       // most attempts at once during a slow start; 0 when it is over
	doubled time.Time // when it last changed

	auto autoPace
}

// limit is how many attempts may be under way.
func (c *pace) limit(p *Policy) int {
	limit := p.Concurrency
	if p.Auto {
		limit = min(limit, c.auto.now(p.Concurrency))
	}
	if c.ramp > 0 {
		limit = min(limit, c.ramp)
	}
	return limit
}

// recover begins a slow start.
func (c *pace) recover(now time.Time) { c.ramp, c.doubled = rampStart, now }

// started notes that inFlight attempts are under way.
func (c *pace) started(p *Policy, inFlight int, now time.Time) {
	if p.Auto && inFlight >= c.limit(p) {
		c.auto.reached = now
	}
}

// finished notes an attempt that ended.
func (c *pace) finished(p *Policy, s sample, now time.Time) {
	if s.health == healthUnknown {
		return
	}
	if c.ramp > 0 {
		c.climb(p, s, now)
	}
	if p.Auto {
		c.auto.finished(p.Concurrency, s, now)
	}
}

// climb doubles the ramp with the first success after each step of time, and halves it on a failure.
func (c *pace) climb(p *Policy, s sample, now time.Time) {
	switch {
	case s.health == healthBad:
		c.ramp, c.doubled = max(rampStart, c.ramp/2), now
	case now.Sub(c.doubled) >= rampStep:
		c.ramp, c.doubled = c.ramp*2, now
		if c.ramp >= p.Concurrency {
			c.ramp = 0
		}
	}
}
