package delivery

import (
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// Observer is told what the engine does: for metrics, events and traces. Its methods are called from the engine's goroutines, several at once;
// they must be quick and must not call the engine.
type Observer interface {
	// AttemptFinished is called after each attempt, before its outcome is stored.
	AttemptFinished(AttemptReport)
	// DeliverySettled is called once the store has taken a delivery's end (delivered or dead).
	DeliverySettled(SettledReport)
	// BreakerChanged is called on each change of a destination's breaker.
	BreakerChanged(destination string, from, to BreakerState)
	// PauseChanged is called when a destination is paused or resumed, not when a start finds it paused.
	PauseChanged(destination string, paused bool)
	// StoreFailing is called when the store begins to refuse the engine (with its error) and when it obliges again (nil).
	StoreFailing(err error)
}

// AttemptReport describes a finished attempt.
type AttemptReport struct {
	Destination string
	Event       *queue.Event // must not be kept
	Attempt     queue.Attempt
	State       queue.State   // what follows: delivered, dead, or pending
	Due         time.Time     // when pending: the next attempt
	Waited      time.Duration // from the moment it was due to the start of the attempt; for a first one from its reception
}

// SettledReport describes the end of a delivery.
type SettledReport struct {
	Destination string
	Event       *queue.Event // must not be kept
	State       queue.State  // delivered or dead
	Attempts    int          // over all series
	LastStatus  int
	LastError   string        // class; empty when delivered
	Age         time.Duration // since the event was received
}

// NopObserver ignores everything. Embed it to implement only a part of [Observer].
type NopObserver struct{}

// AttemptFinished implements [Observer].
func (NopObserver) AttemptFinished(AttemptReport) {}

// DeliverySettled implements [Observer].
func (NopObserver) DeliverySettled(SettledReport) {}

// BreakerChanged implements [Observer].
func (NopObserver) BreakerChanged(string, BreakerState, BreakerState) {}

// PauseChanged implements [Observer].
func (NopObserver) PauseChanged(string, bool) {}

// StoreFailing implements [Observer].
func (NopObserver) StoreFailing(error) {}
