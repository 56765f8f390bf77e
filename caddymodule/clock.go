package caddymodule

import (
	"sync/atomic"
	"time"
)

// testClock replaces the machine's clock in tests.
var testClock atomic.Pointer[func() time.Time]

// now is the one place in this package, beside the timing of an attempt, that reads the machine's clock.
func now() time.Time {
	if clock := testClock.Load(); clock != nil {
		return (*clock)()
	}
	return time.Now()
}
