package memstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// maintainStep is how many events are looked at before others get their turn.
const maintainStep = 10_000

// Maintain implements [queue.Maintainer]. It looks at every event, which a store with history on disk must not do.
func (s *Store) Maintain(ctx context.Context, now time.Time, r queue.Retention) (pruned int, err error) {
	for after := queue.ID(0); ; {
		if err := s.enter(ctx, "maintain"); err != nil {
			return pruned, err
		}
		n, last := s.prune(after, now, r)
		s.mu.Unlock()
		pruned += n
		if last == 0 {
			return pruned, nil
		}
		after = last
	}
}

// prune removes what is old among the events after the given one. It returns the last event it looked at; 0 if that was the newest.
func (s *Store) prune(after queue.ID, now time.Time, r queue.Retention) (pruned int, last queue.ID) {
	s.claims.expire(s.clock())
	start, _ := slices.BinarySearchFunc(s.events, after+1, func(e *event, id queue.ID) int { return cmp.Compare(e.ID, id) })
	end := min(start+maintainStep, len(s.events))
	if end < len(s.events) {
		last = s.events[end-1].ID
	}
	kept := slices.DeleteFunc(s.events[start:end], func(e *event) bool {
		if !e.expired(now, r) {
			return false
		}
		s.forget(e)
		return true
	})
	pruned = end - start - len(kept)
	s.events = slices.Delete(s.events, end-pruned, end)
	return pruned, last
}

// expired reports whether an event is history that is to be pruned. Its age counts from its arrival or, if that was later,
// from the moment when its last delivery was settled.
func (e *event) expired(now time.Time, r queue.Retention) bool {
	keep, since := r.Delivered, e.ReceivedAt
	for _, d := range e.deliveries {
		if !d.State.Settled() {
			return false
		}
		if d.State == queue.StateDead {
			keep = r.Dead
		}
		if d.SettledAt.After(since) {
			since = d.SettledAt
		}
	}
	return keep > 0 && now.Sub(since) > keep
}

func (s *Store) forget(e *event) {
	delete(s.byID, e.ID)
	s.bytes -= int64(len(e.Body))
	for _, d := range e.deliveries {
		if d.State == queue.StateDead {
			d.lane.stats.Dead--
		}
	}
}
