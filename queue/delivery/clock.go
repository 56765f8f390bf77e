package delivery

import (
	"context"
	"time"
)

// Clock is the engine's only source of time. Implementations are safe for concurrent use.
type Clock interface {
	Now() time.Time
	// NewTimer returns a timer that fires once after d; at once if d is not positive.
	NewTimer(d time.Duration) Timer
	// WithTimeout is context.WithTimeout on this clock.
	WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
}

// Timer is one use of a clock's alarm.
type Timer interface {
	C() <-chan time.Time
	// Stop keeps the timer from firing. It need not be called on one that has fired.
	Stop()
}

// RealClock is the time of the machine. Within a testing/synctest bubble it is the bubble's simulated time.
type RealClock struct{}

// Now implements [Clock].
func (RealClock) Now() time.Time { return time.Now() }

// NewTimer implements [Clock].
func (RealClock) NewTimer(d time.Duration) Timer { return realTimer{time.NewTimer(d)} }

// WithTimeout implements [Clock].
func (RealClock) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

type realTimer struct{ t *time.Timer }

func (t realTimer) C() <-chan time.Time { return t.t.C }
func (t realTimer) Stop()               { t.t.Stop() }
