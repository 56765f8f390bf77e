package queuetest

import (
	"fmt"
	"net/http"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// outcome makes the settlement of a claimed delivery whose try had the given outcome: no error class means success.
func (e *env) outcome(c queue.Claimed, state queue.State, status int, class string) queue.Settlement {
	trigger := queue.TriggerRetry
	switch {
	case c.Delivery.SeriesTries == 0 && c.Delivery.Replayed:
		trigger = queue.TriggerReplay
	case c.Delivery.SeriesTries == 0:
		trigger = queue.TriggerFirst
	}
	return queue.Settlement{
		Lease: c.Lease,
		State: state,
		Attempt: &queue.Attempt{
			Number:   c.Delivery.Attempts + 1,
			Trigger:  trigger,
			At:       e.clock.Now().Truncate(time.Millisecond),
			Duration: 12 * time.Millisecond,
			Status:   status,
			Class:    class,
		},
	}
}

// settle settles and returns the error of each settlement.
func (e *env) settle(settlements ...queue.Settlement) []error {
	e.Helper()
	lost, err := e.store.Settle(e.Context(), settlements)
	e.must(err, "settle")
	if len(lost) != len(settlements) {
		e.Fatalf("%d results for %d settlements", len(lost), len(settlements))
	}
	return lost
}

// mustSettle settles leases that are held.
func (e *env) mustSettle(settlements ...queue.Settlement) {
	e.Helper()
	for i, err := range e.settle(settlements...) {
		e.must(err, fmt.Sprintf("settlement %d", i))
	}
}

// deliver settles as delivered.
func (e *env) deliver(claimed ...queue.Claimed) {
	e.Helper()
	settlements := make([]queue.Settlement, len(claimed))
	for i, c := range claimed {
		settlements[i] = e.outcome(c, queue.StateDelivered, http.StatusOK, "")
	}
	e.mustSettle(settlements...)
}

// die settles as dead.
func (e *env) die(c queue.Claimed) {
	e.Helper()
	e.mustSettle(e.outcome(c, queue.StateDead, http.StatusGone, "status"))
}

// retry settles as to be tried again after d.
func (e *env) retry(c queue.Claimed, d time.Duration) {
	e.Helper()
	s := e.outcome(c, queue.StatePending, http.StatusBadGateway, "status")
	s.Due = e.clock.Now().Add(d)
	e.mustSettle(s)
}

// park settles as to be tried again after d, letting later ones of the key go first.
func (e *env) park(c queue.Claimed, d time.Duration) {
	e.Helper()
	s := e.outcome(c, queue.StatePending, http.StatusBadGateway, "status")
	s.Due, s.StepAside = e.clock.Now().Add(d), true
	e.mustSettle(s)
}

// giveBack ends a lease without a try.
func (e *env) giveBack(c queue.Claimed) {
	e.Helper()
	e.mustSettle(queue.Settlement{Lease: c.Lease, State: queue.StatePending})
}
