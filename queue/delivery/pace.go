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
	ramp      int       // most attempts at once during a slow start; 0 when it is over
	changed   time.Time // when it last did
	good, bad int       // attempts that have ended since then

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
func (c *pace) recover(now time.Time) { c.rampTo(rampStart, now) }

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

// climb doubles the ramp with the first success after each step of time, and halves it when most attempts fail. A few that do say nothing of an application that bears the others.
func (c *pace) climb(p *Policy, s sample, now time.Time) {
	if s.health == healthBad {
		c.bad++
	} else {
		c.good++
	}
	switch {
	case c.bad > max(1, c.good):
		c.rampTo(max(rampStart, c.ramp/2), now)
	case s.health == healthGood && now.Sub(c.changed) >= rampStep:
		c.rampTo(c.ramp*2, now)
		if c.ramp >= p.Concurrency {
			c.ramp = 0
		}
	}
}

func (c *pace) rampTo(ramp int, now time.Time) { c.ramp, c.changed, c.good, c.bad = ramp, now, 0, 0 }
