package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// worker makes one attempt of one claimed delivery.
type worker struct {
	dispatcher *dispatcher
	target     *target
	claimed    queue.Claimed
	probe      bool // of the breaker
}

func (w worker) run() {
	if late := w.attempt(); late { // its generation does not wait for the store
		w.dispatcher.stepIn()
	}
}

// attempt makes the attempt. late is as finished says.
func (w worker) attempt() (late bool) {
	d, e := w.dispatcher, w.dispatcher.engine
	defer w.target.generation.leave()
	try := newTry(&w.claimed, e.Clock.Now())
	result, cut := w.forward(&try)
	now := e.Clock.Now()
	if cut {
		d.abandoned(w.probe, now)
		d.giveBack(w.claimed)
		return false
	}
	o := decide(&w.target.policy, &try, result, now, e.Random())
	late = d.finished(w.target, o, w.probe, now)
	e.Observer.AttemptFinished(AttemptReport{
		Destination: d.name, Event: try.Event, Attempt: *o.settlement.Attempt,
		State: o.settlement.State, Due: o.settlement.Due, Waited: waited(&try),
	})
	o.settlement.Lease = w.claimed.Lease
	e.settler.add(settling{dispatcher: d, event: try.Event, settlement: o.settlement})
	return late
}

func newTry(c *queue.Claimed, now time.Time) Try {
	trigger := queue.TriggerRetry
	if c.Delivery.SeriesTries == 0 {
		trigger = queue.TriggerFirst
		if c.Delivery.Replayed {
			trigger = queue.TriggerReplay
		}
	}
	return Try{Event: c.Event, Delivery: c.Delivery, Attempt: c.Delivery.Attempts + 1, Trigger: trigger, At: now}
}

// waited is for how long the delivery could have been attempted before it was.
func waited(t *Try) time.Duration {
	due := t.Delivery.Due
	if t.Trigger == queue.TriggerFirst && due.Before(t.Event.ReceivedAt) {
		due = t.Event.ReceivedAt
	}
	if due.IsZero() {
		return 0
	}
	return max(0, t.At.Sub(due))
}

// forward makes the attempt. cut means that it was ended by the end of the engine and not by itself.
func (w worker) forward(try *Try) (result Result, cut bool) {
	e := w.dispatcher.engine
	ctx, cancel := e.Clock.WithTimeout(e.attempts, w.target.policy.Timeout)
	defer cancel()
	result = w.call(ctx, try)
	failed := result.Class != "" || result.Status == 0
	if failed && e.attempts.Err() != nil {
		return result, true
	}
	if failed && result.Class == "" {
		result.Class, result.Error = ClassInternal, "the forwarder gave neither a status nor a reason"
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			result.Class, result.Error = ClassTimeout, fmt.Sprintf("no answer within %s", w.target.policy.Timeout)
		}
	}
	return result, false
}

// call keeps a panic of the forwarder to the attempt it belongs to.
func (w worker) call(ctx context.Context, try *Try) (result Result) {
	defer func() {
		if r := recover(); r != nil {
			// The value may hold anything, a payload included; the stack holds none.
			w.dispatcher.engine.Logger.Error("forwarder panicked", zap.String("destination", w.dispatcher.name),
				zap.Stringer("event", try.Event.ID), zap.String("panic", fmt.Sprintf("%T", r)), zap.Stack("stack"))
			result = Result{Class: ClassInternal, Error: "the forwarder panicked"}
		}
	}()
	return w.target.Forwarder.Forward(ctx, try)
}

// finished notes the end of an attempt that told something. late means that fewer than half of the attempts are under way that may be, so that the loop has not had its turn.
func (d *dispatcher) finished(t *target, o outcome, probe bool, now time.Time) (late bool) {
	d.mu.Lock()
	p := &t.policy
	if d.target != nil {
		p = &d.target.policy // the limits of now, not those of the start
	}
	from := d.breaker.state
	if o.health == healthUnknown || d.target == nil { // nobody closes the breaker of a destination that is in no table
		d.breaker.abandoned(probe, now)
	} else {
		d.breaker.finished(p.Breaker, probe, o.health == healthBad, now)
	}
	d.pace.finished(p, o.sample, now)
	if from != BreakerClosed && d.breaker.state == BreakerClosed {
		d.pace.recover(now)
	}
	to := d.breaker.state
	d.inFlight--
	d.unsettled++
	late = 2*d.inFlight < d.pace.limit(p)
	d.kick()
	d.mu.Unlock()
	d.engine.breakerChanged(d.name, from, to)
	return late
}

// abandoned notes the end of an attempt that told nothing.
func (d *dispatcher) abandoned(probe bool, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.breaker.abandoned(probe, now)
	d.inFlight--
	d.kick()
}

// breakerChanged makes known that a breaker is in another state than before.
func (e *Engine) breakerChanged(name string, from, to BreakerState) {
	if from == to {
		return
	}
	e.Logger.Info("breaker changed", zap.String("destination", name), zap.Stringer("from", from), zap.Stringer("to", to))
	e.Observer.BreakerChanged(name, from, to)
}
