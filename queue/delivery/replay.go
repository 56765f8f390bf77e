package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	// DefaultReplayRate is how many deliveries a replay puts back in a second, unless told otherwise.
	DefaultReplayRate = 100
	// MaxReplayIDs bounds the events that one request may name.
	MaxReplayIDs = 2000

	replayPage       = 100    // events looked at in one step
	maxEstimate      = 100000 // events counted by an estimate
	maxActiveReplays = 16
	keptReplays      = 50 // finished jobs that are remembered
)

// Errors of replays.
var (
	// ErrReplayRequest means that a request makes no sense; the text says why.
	ErrReplayRequest = errors.New("bad replay request")
	// ErrTooManyReplays means that too many replays are under way.
	ErrTooManyReplays = errors.New("too many replays are under way")
	// ErrNoReplay means that there is no such replay job, or that it has ended already.
	ErrNoReplay = errors.New("no such replay")
)

// ReplayRequest says which deliveries are made once more. A replay passes the dedup by and keeps to the limits of its destinations, because all it does is to put
// deliveries back into the queue.
type ReplayRequest struct {
	// Either events by id: all their deliveries, or those that Filter's Destination, Destinations, States and Error select ...
	IDs []queue.ID `json:"ids,omitempty"`

	// ... or the deliveries of all events that match. Without States these are the settled ones; Until is the time of the request at the latest. Cursor and Limit are not used.
	Filter queue.Filter `json:"filter"`

	// States are those that were asked for, where people know more of them than a store does. They are kept with the job and have no effect.
	States []queue.State `json:"states,omitempty"`

	// ToDestination sends the events there instead of where their deliveries went; it must be configured.
	ToDestination string `json:"to_destination,omitempty"`

	// Move also cancels the selected deliveries that are not settled: for those of a destination that went away. It needs ToDestination, and
	// Filter.States or IDs to select deliveries that are pending.
	Move bool `json:"move,omitempty"`

	Rate float64 `json:"rate,omitempty"` // deliveries put back per second; 0: 100
}

// ReplayEstimate says what a replay would put back if it ran now.
type ReplayEstimate struct {
	Events     int  `json:"events"`
	Deliveries int  `json:"deliveries"`
	UnderWay   int  `json:"under_way,omitempty"` // deliveries that would be left out, because an attempt of theirs is under way
	Complete   bool `json:"complete"`            // false: there are more; counting stopped

	Destinations map[string]int `json:"destinations,omitempty"` // deliveries by where they would go
}

// add counts what one event with these deliveries would put back.
func (e *ReplayEstimate) add(steps []replayStep, deliveries []queue.Delivery) {
	all := len(steps)
	steps = slices.DeleteFunc(steps, func(s replayStep) bool { return s.underWay(deliveries) })
	e.UnderWay += all - len(steps)
	if len(steps) == 0 {
		return
	}
	e.Events++
	e.Deliveries += len(steps)
	if e.Destinations == nil {
		e.Destinations = make(map[string]int)
	}
	for i := range steps {
		e.Destinations[steps[i].destination]++
	}
}

// ReplayState is the state of a replay job.
type ReplayState string

// The states of a replay job.
const (
	ReplayRunning   ReplayState = "running"
	ReplayDone      ReplayState = "done"
	ReplayCancelled ReplayState = "cancelled"
)

// ReplayJob is a replay that was asked for, and how far it is. It goes on after a restart; at most the last few deliveries are then put back twice.
type ReplayJob struct {
	ID       string         `json:"id"`
	Request  ReplayRequest  `json:"request"`
	Estimate ReplayEstimate `json:"estimate"` // when it was asked for
	State    ReplayState    `json:"state"`
	Created  time.Time      `json:"created"`
	Finished time.Time      `json:"finished,omitzero"`
	Events   int            `json:"events"`   // looked at
	Replayed int            `json:"replayed"` // deliveries put back
	Skipped  int            `json:"skipped"`  // events that were gone, damaged, or had nothing to put back

	UnderWay int `json:"under_way,omitempty"` // deliveries left out, because an attempt of theirs was under way: a second one would have run beside it
}

// Replay starts a replay job. The job's estimate is what it would put back now. Errors: ErrReplayRequest, ErrUnknownDestination, ErrTooManyReplays,
// ErrUnsupported, ErrEngineClosed, or the store's.
func (e *Engine) Replay(ctx context.Context, r ReplayRequest) (ReplayJob, error) {
	if !e.running() {
		return ReplayJob{}, ErrEngineClosed
	}
	r, err := e.checkReplay(r)
	if err != nil {
		return ReplayJob{}, err
	}
	estimate, err := e.EstimateReplay(ctx, r)
	if err != nil {
		return ReplayJob{}, err
	}
	return e.replays.create(ctx, r, estimate)
}

// EstimateReplay counts what a replay would put back, without doing anything. It counts up to 100,000 events, and until ctx ends.
func (e *Engine) EstimateReplay(ctx context.Context, r ReplayRequest) (ReplayEstimate, error) {
	r, err := e.checkReplay(r)
	if err != nil {
		return ReplayEstimate{}, err
	}
	var estimate ReplayEstimate
	err = e.eachOf(ctx, &r, func(deliveries []queue.Delivery) bool {
		estimate.add(r.plan(deliveries), deliveries)
		return estimate.Events < maxEstimate
	})
	switch {
	case err == nil:
		estimate.Complete = estimate.Events < maxEstimate
	case ctx.Err() == nil || estimate.Events == 0:
		return ReplayEstimate{}, fmt.Errorf("estimate of a replay: %w", err)
	}
	return estimate, nil
}

// eachOf calls fn with the deliveries of each event that a request names or that its filter lets through, until it returns false.
func (e *Engine) eachOf(ctx context.Context, r *ReplayRequest, fn func([]queue.Delivery) bool) error {
	inspector := e.Store.(queue.Inspector)
	for _, id := range r.IDs {
		deliveries, err := inspector.Deliveries(ctx, id)
		if errors.Is(err, queue.ErrNotFound) || errors.Is(err, queue.ErrDamaged) {
			continue
		}
		if err != nil || !fn(deliveries) {
			return err
		}
	}
	if len(r.IDs) > 0 {
		return nil
	}
	for f := r.Filter; ; {
		page, err := inspector.Events(ctx, f)
		if err != nil {
			return err
		}
		for i := range page.Events {
			if !fn(page.Events[i].Deliveries) {
				return nil
			}
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return nil
		}
	}
}

// Replays returns all replay jobs that are remembered, newest first.
func (e *Engine) Replays() []ReplayJob { return e.replays.list() }

// ReplayStatus returns a replay job; ErrNoReplay.
func (e *Engine) ReplayStatus(id string) (ReplayJob, error) { return e.replays.get(id) }

// CancelReplay stops a replay job. What it has put back stays. ErrNoReplay if there is none that runs.
func (e *Engine) CancelReplay(ctx context.Context, id string) error {
	return e.replays.cancel(ctx, id)
}

// checkReplay fills in defaults and refuses what makes no sense.
func (e *Engine) checkReplay(r ReplayRequest) (ReplayRequest, error) {
	if _, ok := e.Store.(queue.Inspector); !ok {
		return r, fmt.Errorf("replay: %w", ErrUnsupported)
	}
	f := &r.Filter
	byFilter := f.ID != 0 || f.Source != "" || f.Provider != "" || f.Type != "" || f.EventID != "" || !f.Since.IsZero() || !f.Until.IsZero()
	reason := ""
	switch {
	case len(r.IDs) > MaxReplayIDs:
		reason = fmt.Sprintf("%d ids: want at most %d", len(r.IDs), MaxReplayIDs)
	case len(r.IDs) > 0 && byFilter:
		reason = "either ids or a filter of events, not both"
	case r.Rate < 0 || r.Rate > 1e6:
		reason = fmt.Sprintf("rate %g: want up to 1000000 per second", r.Rate)
	case r.Move && r.ToDestination == "":
		reason = "a move needs a destination to move to"
	case r.Move && f.Destination == r.ToDestination:
		reason = "a move needs another destination"
	case slices.Contains(f.States, queue.StateHeld):
		reason = "held is not a stored state: ask for pending"
	}
	if reason != "" {
		return r, fmt.Errorf("%w: %s", ErrReplayRequest, reason)
	}
	if r.ToDestination != "" && e.target(r.ToDestination) == nil {
		return r, fmt.Errorf("%w: %q", ErrUnknownDestination, r.ToDestination)
	}
	if now := e.Clock.Now(); len(r.IDs) == 0 && (f.Until.IsZero() || f.Until.After(now)) {
		f.Until = now
	}
	setDefault(&r.Rate, DefaultReplayRate)
	r.IDs = slices.Compact(slices.Sorted(slices.Values(r.IDs)))
	f.Cursor, f.Limit = "", replayPage
	return r, nil
}

// target returns a destination of the active table; nil if it is not in it.
func (e *Engine) target(name string) *target {
	d := e.lookup(name)
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.target
}

// selects reports whether the request is about a delivery.
func (r *ReplayRequest) selects(d *queue.Delivery) bool {
	f := &r.Filter
	switch {
	case !f.MatchesDestination(d.Destination),
		f.Error != "" && d.LastError != f.Error,
		r.Move && d.Destination == r.ToDestination:
		return false
	case len(f.States) > 0:
		return slices.Contains(f.States, d.State)
	}
	return len(r.IDs) > 0 || d.State.Settled()
}

// replayStep is one delivery to put back, and the ones to cancel for it.
type replayStep struct {
	destination string
	orderKey    string
	cancel      []string // destinations
}

// stepEnd is what became of a step.
type stepEnd uint8

const (
	stepGone     stepEnd = iota // the event is not there any more
	stepUnderWay                // an attempt is under way: what it brings shows whether there is anything to repeat
	stepDone
)

// underWay reports whether an attempt of what the step is about is under way, where the event has these deliveries.
func (s *replayStep) underWay(deliveries []queue.Delivery) bool {
	return slices.ContainsFunc(deliveries, func(d queue.Delivery) bool {
		return d.State == queue.StateDelivering && (d.Destination == s.destination || slices.Contains(s.cancel, d.Destination))
	})
}

// plan says what to do with an event that has these deliveries.
func (r *ReplayRequest) plan(deliveries []queue.Delivery) (steps []replayStep) {
	var cancel []string
	for i := range deliveries {
		d := &deliveries[i]
		if !r.selects(d) {
			continue
		}
		if !d.State.Settled() {
			cancel = append(cancel, d.Destination)
		}
		steps = append(steps, replayStep{destination: d.Destination, orderKey: d.OrderKey})
	}
	if r.ToDestination == "" {
		return steps
	}
	everything := len(r.IDs) > 0 && r.Filter.Destination == "" && len(r.Filter.Destinations) == 0 && len(r.Filter.States) == 0 && r.Filter.Error == ""
	if len(steps) == 0 && !everything { // an event by id goes there even if it has no delivery at all
		return nil
	}
	step := replayStep{destination: r.ToDestination}
	if r.Move {
		step.cancel = cancel
	}
	return []replayStep{step}
}
