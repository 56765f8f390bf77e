package memstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// Settle implements [queue.Store].
func (s *Store) Settle(ctx context.Context, settlements []queue.Settlement) (lost []error, err error) {
	if err := s.enter(ctx, "settle"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	now := s.clock()
	lost = make([]error, len(settlements))
	for i := range settlements {
		lost[i] = s.settle(&settlements[i], now)
	}
	return lost, nil
}

func (s *Store) settle(n *queue.Settlement, now time.Time) error {
	if n.State != queue.StatePending && !n.State.Settled() {
		return fmt.Errorf("settle: a lease cannot end in the state %s", n.State)
	}
	d := s.find(n.Lease.Event, n.Lease.Destination)
	if d == nil || d.token == 0 || d.token != n.Lease.Token {
		if l := s.lanes[n.Lease.Destination]; l != nil && l.letGo(func(r *recalled) bool { return r.event == n.Lease.Event && r.token == n.Lease.Token }) {
			s.wake(n.Lease.Destination)
		}
		return fmt.Errorf("settle %s for %q: %w", n.Lease.Event, n.Lease.Destination, queue.ErrLeaseLost)
	}
	if n.Attempt != nil {
		d.record(*n.Attempt)
	}
	if n.State.Settled() {
		s.finish(d, n.State, now)
		return nil
	}
	// Taken out first, because its place depends on what is about to change.
	d.lane.remove(d)
	d.Due, d.since = n.Due, now
	d.aside = d.aside || n.StepAside
	if d.lane.putBack(d) {
		s.wake(d.Destination)
	}
	return nil
}

// record adds the record of an attempt and counts it.
func (d *delivery) record(a queue.Attempt) {
	d.Attempts++
	d.SeriesTries++
	a.Number = d.Attempts
	a.Response = slices.Clone(a.Response)
	d.attempts = append(d.attempts, a)
	if d.FirstTry.IsZero() {
		d.FirstTry = a.At
	}
	d.LastStatus, d.LastError = a.Status, a.Class
}

// finish settles an unsettled delivery for good.
func (s *Store) finish(d *delivery, state queue.State, now time.Time) {
	unlocked := d.lane.finish(d)
	d.State, d.Due, d.SettledAt = state, time.Time{}, now
	switch state {
	case queue.StateDelivered:
		d.lane.stats.Delivered++
	case queue.StateDead:
		d.lane.stats.Dead++
	case queue.StateCancelled:
		d.lane.stats.Cancelled++
	}
	if unlocked {
		s.wake(d.Destination)
	}
}

// find returns a delivery, nil if there is none.
func (s *Store) find(id queue.ID, destination string) *delivery {
	e := s.byID[id]
	if e == nil {
		return nil
	}
	return e.delivery(destination)
}

// Replay implements [queue.Store].
func (s *Store) Replay(ctx context.Context, id queue.ID, destination string, orderKey string) error {
	if err := s.enter(ctx, "replay"); err != nil {
		return err
	}
	defer s.mu.Unlock()
	e := s.byID[id]
	if e == nil {
		return fmt.Errorf("replay %s: %w", id, queue.ErrNotFound)
	}
	now := s.clock()
	d := e.delivery(destination)
	if d == nil {
		d = s.addDelivery(e, queue.NewDelivery{Destination: destination, OrderKey: orderKey}, now)
		d.Replayed = true
		return nil
	}
	d.lane.letGo(func(r *recalled) bool { return r.event == id })
	wasSettled := d.State.Settled()
	if d.State == queue.StateDead {
		d.lane.stats.Dead--
	}
	// Taken out first, because its place depends on what is about to change.
	d.lane.remove(d)
	d.State, d.Due, d.since, d.SettledAt, d.aside = queue.StatePending, time.Time{}, now, time.Time{}, false
	d.FirstTry, d.SeriesTries, d.Replayed = time.Time{}, 0, true
	if wasSettled {
		d.lane.begin(d)
	} else {
		d.lane.join(d)
		d.lane.putBack(d)
	}
	s.wake(destination)
	return nil
}

// Cancel implements [queue.Store].
func (s *Store) Cancel(ctx context.Context, id queue.ID, destination string) error {
	if err := s.enter(ctx, "cancel"); err != nil {
		return err
	}
	defer s.mu.Unlock()
	d := s.find(id, destination)
	if d == nil || d.State.Settled() {
		return fmt.Errorf("cancel %s for %q: no unsettled delivery: %w", id, destination, queue.ErrNotFound)
	}
	d.lane.recall(d)
	s.finish(d, queue.StateCancelled, s.clock())
	return nil
}
