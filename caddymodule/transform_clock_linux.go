package caddymodule

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadClock is the clock of the processor time of this thread. Other threads may read it while this one lives.
func threadClock() func() time.Duration {
	clock := int32(^unix.Gettid())<<3 | 6 // CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED
	var at unix.Timespec
	if unix.ClockGettime(clock, &at) != nil {
		return wallClock() // not all that look like Linux have it
	}
	return func() time.Duration {
		var at unix.Timespec
		if unix.ClockGettime(clock, &at) != nil {
			return 0
		}
		return time.Duration(at.Nano())
	}
}
