// Package queuetest is what every implementation of the queue's contract has to pass: a conformance suite, a suite for stores that
// survive being closed, a model-based random test, a wrapper that makes a store fail on demand, and benchmarks that compare stores.
package queuetest

import (
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
)

// Open opens a new, empty store whose clock is the given one. The suite closes it.
type Open func(t testing.TB, clock *Clock) queue.Store

// OpenDir opens the store that is kept in dir, and makes it if there is none yet. The suite closes it before it opens it again.
type OpenDir func(t testing.TB, dir string, clock *Clock) queue.Store

// test is one case of a suite.
type test struct {
	name string
	run  func(e *env)
}

// Run runs the conformance suite. What concerns [queue.Inspector], [queue.Maintainer] and [queue.Metadata] is skipped with a
// message for a store that does not implement them.
func Run(t *testing.T, open Open) {
	themes := []struct {
		name  string
		tests []test
	}{
		{"Enqueue", enqueueTests},
		{"Dedup", dedupTests},
		{"Claim", claimTests},
		{"Lease", leaseTests},
		{"Settle", settleTests},
		{"Order", orderTests},
		{"OrderAt", orderAtTests},
		{"Park", parkTests},
		{"Replay", replayTests},
		{"Cancel", cancelTests},
		{"Wake", wakeTests},
		{"Inspect", inspectTests},
		{"Filter", filterTests},
		{"Stats", statsTests},
		{"Retention", retentionTests},
		{"Metadata", metaTests},
		{"Close", closeTests},
		{"Context", contextTests},
		{"Concurrency", concurrencyTests},
	}
	for _, theme := range themes {
		t.Run(theme.name, func(t *testing.T) {
			for _, c := range theme.tests {
				t.Run(c.name, func(t *testing.T) {
					clock := NewClock()
					e := newEnv(t, clock, open(t, clock))
					defer e.close()
					c.run(e)
				})
			}
		})
	}
	t.Run("Model", func(t *testing.T) { checkModel(t, open) })
}

// RunReopen runs the suite of what survives closing and opening: everything but leases, whose deliveries are due at once.
func RunReopen(t *testing.T, open OpenDir) {
	for _, c := range reopenTests {
		t.Run(c.name, func(t *testing.T) {
			clock, dir := NewClock(), t.TempDir()
			e := newEnv(t, clock, open(t, dir, clock))
			e.open = func() queue.Store { return open(t, dir, clock) }
			defer e.close()
			c.run(e)
		})
	}
	t.Run("Model", func(t *testing.T) { checkModelReopen(t, open) })
}
