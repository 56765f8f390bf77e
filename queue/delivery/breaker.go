package delivery

import (
	"fmt"
	"time"
)

// BreakerState is the state of a destination's circuit breaker.
type BreakerState uint8

// The states of a breaker.
const (
	BreakerClosed   BreakerState = iota // deliveries go out
	BreakerOpen                         // deliveries wait
	BreakerHalfOpen                     // one delivery is out as a probe, the others wait
)

func (s BreakerState) String() string {
	switch s {
	case BreakerClosed:
		return "closed"
	case BreakerOpen:
		return "open"
	case BreakerHalfOpen:
		return "half-open"
	}
	return fmt.Sprintf("breaker(%d)", uint8(s))
}

// MarshalText implements [encoding.TextMarshaler].
func (s BreakerState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// breaker is a circuit breaker. It is guarded by its destination's lock.
type breaker struct {
	state    BreakerState
	failures int       // in a row
	until    time.Time // when open: the earliest moment of a probe
	window   failureWindow
}

// admits returns how many attempts may start at now: all (limit), one probe, or none. With none, at is when to look again; zero if that is
// when the probe ends.
func (b *breaker) admits(p BreakerPolicy, limit int, now time.Time) (n int, at time.Time) {
	switch {
	case b.state == BreakerClosed || p.Off:
		return limit, time.Time{}
	case b.state == BreakerHalfOpen:
		return 0, time.Time{}
	case now.Before(b.until):
		return 0, b.until
	}
	return 1, time.Time{}
}

// started notes that an attempt starts, and tells whether it is the probe.
func (b *breaker) started(p BreakerPolicy) (probe bool) {
	if p.Off {
		b.reset()
	}
	if b.state == BreakerClosed {
		return false
	}
	b.state = BreakerHalfOpen
	return true
}

// finished notes the outcome of an attempt. Attempts that started before the breaker opened and end later tell nothing about the time since, so only
// the probe's outcome counts then.
func (b *breaker) finished(p BreakerPolicy, probe, failed bool, now time.Time) {
	if p.Off {
		b.reset()
		return
	}
	switch {
	case probe && b.state == BreakerHalfOpen:
		if failed {
			b.open(p, now)
		} else {
			b.reset()
		}
		return
	case b.state != BreakerClosed:
		return
	}
	if failed {
		b.failures++
	} else {
		b.failures = 0
	}
	if p.Ratio > 0 {
		b.window.add(now, p.Window, failed)
	}
	if b.failures >= p.Failures || p.Ratio > 0 && b.window.exceeds(p.Ratio, p.Minimum) {
		b.open(p, now)
	}
}

// abandoned notes that a probe ended without telling anything.
func (b *breaker) abandoned(probe bool, now time.Time) {
	if probe && b.state == BreakerHalfOpen {
		b.state, b.until = BreakerOpen, now
	}
}

func (b *breaker) open(p BreakerPolicy, now time.Time) {
	*b = breaker{state: BreakerOpen, until: now.Add(p.Open)}
}

func (b *breaker) reset() { *b = breaker{} }

// windowSlots is the resolution of the failure ratio's window.
const windowSlots = 10

// failureWindow counts attempts and failures of a sliding window in slots, so that its size does not depend on the traffic.
type failureWindow struct {
	slots [windowSlots]struct{ attempts, failed int }
	last  int64 // number of the newest slot, in slot lengths since the epoch
}

func (w *failureWindow) add(now time.Time, window time.Duration, failed bool) {
	slot := now.UnixNano() / max(1, int64(window)/windowSlots)
	if ahead := slot - w.last; ahead >= windowSlots || ahead <= -windowSlots {
		*w = failureWindow{last: slot}
	}
	for ; w.last < slot; w.last++ {
		w.slots[(w.last+1)%windowSlots] = struct{ attempts, failed int }{}
	}
	s := &w.slots[slot%windowSlots]
	s.attempts++
	if failed {
		s.failed++
	}
}

func (w *failureWindow) exceeds(ratio float64, minimum int) bool {
	attempts, failed := 0, 0
	for _, s := range w.slots {
		attempts += s.attempts
		failed += s.failed
	}
	return attempts >= minimum && float64(failed) >= ratio*float64(attempts)
}
