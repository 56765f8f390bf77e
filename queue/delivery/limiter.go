package delivery

import (
	"math"
	"time"
)

// limiter is a token bucket in the form of the generic cell rate algorithm: instead of a number of tokens it keeps the moment at which the bucket would be full
// again, so that it is exact and needs no refilling. Its zero value is a full bucket. It is guarded by its destination's lock.
type limiter struct {
	full time.Time
}

// interval is the time in which one token comes back, and size the number of them that the bucket holds.
func (r Rate) interval() time.Duration {
	return max(1, time.Duration(float64(time.Second)/r.PerSecond))
}

func (r Rate) size() time.Duration {
	if r.Burst > 0 {
		return time.Duration(r.Burst)
	}
	return time.Duration(max(1, math.Round(r.PerSecond)))
}

// available returns how many tokens there are, at most limit; with none, at is when there is one.
func (l *limiter) available(r Rate, limit int, now time.Time) (n int, at time.Time) {
	if r.PerSecond <= 0 {
		return limit, time.Time{}
	}
	l.settle(r, now)
	tokens := r.size() - ceilDiv(l.full.Sub(now), r.interval())
	if tokens > 0 {
		return min(limit, int(tokens)), time.Time{}
	}
	return 0, l.full.Add(-(r.size() - 1) * r.interval())
}

// take removes n tokens that were available.
func (l *limiter) take(r Rate, n int, now time.Time) {
	if r.PerSecond <= 0 {
		return
	}
	l.settle(r, now)
	l.full = l.full.Add(time.Duration(n) * r.interval())
}

// settle brings the moment into the range from a full to an empty bucket: time has passed, or the rate has changed.
func (l *limiter) settle(r Rate, now time.Time) {
	if l.full.Before(now) {
		l.full = now
	}
	if empty := now.Add(r.size() * r.interval()); l.full.After(empty) {
		l.full = empty
	}
}

func ceilDiv(a, b time.Duration) time.Duration { return (a + b - 1) / b }
