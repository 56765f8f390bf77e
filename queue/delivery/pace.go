package delivery

import (
	"math"
	"time"
)

const (
	rampStart = 1                      // attempts at once when an outage is over
	rampStep  = 500 * time.Millisecond // least time in which they double

	autoStart    = 4   // attempts at once that automatic concurrency begins with
	autoFailed   = 0.5 // factor after a failure that tells of overload
	autoSlow     = 0.9 // factor when the application slows down
	autoTolerate = 2.0 // slow means: so many times its best latency
	autoSmooth   = 0.2 // weight of a new latency in the average
)

// autoFloor keeps the noise of very fast answers from counting as slowness, and autoMemory is for how long a best latency holds, so that an
// application that became slower for good is measured by its new self.
const (
	autoFloor  = 20 * time.Millisecond
	autoMemory = 30 * time.Second
)

// sample is what an attempt tells about the application's pace.
type sample struct {
	health    health
	throttled bool // it failed in a way that tells of overload
	latency   time.Duration
}

// pace says how many attempts may be under way at once: the configured number, less after an outage (slow start), and what the application
// seems to bear if the policy leaves it to us. It is guarded by its destination's lock.
type pace struct {
	// Slow start: 0 when it is over.
	ramp    int
	doubled time.Time // when it last grew
	healthy bool      // a success and no failure since

	// Automatic concurrency: additive increase, multiplicative decrease.
	auto     float64          // 0: not begun
	average  float64          // smoothed latency, in nanoseconds
	best     [2]time.Duration // least latency of the present and of the previous period; 0: none
	period   time.Time        // start of the present one
	lessened time.Time        // when it last went down
}

// limit is how many attempts may be under way.
func (c *pace) limit(p *Policy) int {
	limit := p.Concurrency
	if p.Auto {
		limit = min(limit, max(1, int(c.autoLimit(p))))
	}
	if c.ramp > 0 {
		limit = min(limit, c.ramp)
	}
	return limit
}

// recover begins a slow start.
func (c *pace) recover(now time.Time) { c.ramp, c.doubled, c.healthy = rampStart, now, false }

// finished notes an attempt that ended while inFlight were under way, itself included.
func (c *pace) finished(p *Policy, s sample, inFlight int, now time.Time) {
	if s.health == healthUnknown {
		return
	}
	full := inFlight >= c.limit(p)
	if c.ramp > 0 {
		c.climb(p, s, now)
	}
	if p.Auto {
		c.adapt(p, s, full, now)
	}
}

// climb doubles the ramp after each step without a failure, and halves it on a failure.
func (c *pace) climb(p *Policy, s sample, now time.Time) {
	if s.health == healthBad {
		c.ramp, c.doubled, c.healthy = max(rampStart, c.ramp/2), now, false
		return
	}
	c.healthy = true
	if now.Sub(c.doubled) < rampStep {
		return
	}
	c.ramp, c.doubled, c.healthy = c.ramp*2, now, false
	if c.ramp >= p.Concurrency {
		c.ramp = 0
	}
}

func (c *pace) autoLimit(p *Policy) float64 {
	if c.auto == 0 {
		c.auto = min(autoStart, float64(p.Concurrency))
	}
	return c.auto
}

// adapt moves the automatic limit: up by one for each limit's worth of good answers, as long as the limit is what holds us back, and down at most once
// within the time of one answer, because what is under way was started under the old limit.
func (c *pace) adapt(p *Policy, s sample, full bool, now time.Time) {
	limit := c.autoLimit(p)
	rested := now.Sub(c.lessened) > time.Duration(c.average)
	switch {
	case s.throttled:
		if rested {
			c.lessen(autoFailed, now)
		}
		return
	case s.health != healthGood:
		return
	}
	c.measure(s.latency, now)
	switch {
	case c.slow():
		if rested {
			c.lessen(autoSlow, now)
		}
	case full:
		c.auto = math.Min(limit+1/limit, float64(p.Concurrency))
	}
}

func (c *pace) lessen(factor float64, now time.Time) {
	c.auto = max(1, c.auto*factor)
	c.lessened = now
}

// measure takes in a latency.
func (c *pace) measure(latency time.Duration, now time.Time) {
	if c.average == 0 {
		c.average = float64(latency)
	}
	c.average += autoSmooth * (float64(latency) - c.average)
	if now.Sub(c.period) > autoMemory {
		c.best[1], c.best[0], c.period = c.best[0], 0, now
	}
	if c.best[0] == 0 || latency < c.best[0] {
		c.best[0] = max(1, latency)
	}
}

// slow reports whether the application takes much longer than it can.
func (c *pace) slow() bool {
	best := c.best[0]
	if c.best[1] > 0 {
		best = min(best, c.best[1])
	}
	return c.average > autoTolerate*float64(max(best, autoFloor))
}
