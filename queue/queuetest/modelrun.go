package queuetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-webhooks/sluice/queue"
)

// checkModel drives stores with random calls beside the model.
func checkModel(t *testing.T, open Open) {
	rapid.Check(t, func(rt *rapid.T) {
		clock := NewClock()
		runModel(newEnv(rt, clock, open(t, clock)), rt)
	})
}

// checkModelReopen does the same, and closes and opens the store in between.
func checkModelReopen(t *testing.T, open OpenDir) {
	rapid.Check(t, func(rt *rapid.T) {
		clock, dir := NewClock(), t.TempDir()
		e := newEnv(rt, clock, open(t, dir, clock))
		e.open = func() queue.Store { return open(t, dir, clock) }
		runModel(e, rt)
	})
}

// modelRun is one sequence of random calls.
type modelRun struct {
	*env
	m      *model
	leases []queue.Claimed // all that were ever given
	names  int             // of events so far
}

// placedKey is the order key whose deliveries have places of their own.
const placedKey = "placed"

var modelDests = []string{"a", "b", "a1"}

func runModel(e *env, rt *rapid.T) {
	r := &modelRun{env: e, m: newModel()}
	defer func() { e.close() }()
	actions := map[string]func(*rapid.T){
		"":        func(*rapid.T) { r.checkStats() },
		"enqueue": r.enqueueSome,
		"claim":   r.claimSome,
		"settle":  r.settleSome,
		"replay":  r.replayOne,
		"cancel":  r.cancelOne,
		"advance": func(rt *rapid.T) {
			r.clock.Advance(time.Duration(rapid.IntRange(1, 90).Draw(rt, "seconds")) * time.Second)
		},
		"compare": func(*rapid.T) { r.checkRows() },
		"filter":  r.filterSome,
	}
	// Frequent ones get several names.
	actions["claim more"], actions["settle more"], actions["enqueue more"] = r.claimSome, r.settleSome, r.enqueueSome
	if _, ok := e.store.(queue.Maintainer); ok {
		actions["prune"] = r.pruneAll
	}
	if e.open != nil {
		actions["reopen"] = func(*rapid.T) {
			r.reopen()
			r.m.reopen()
		}
	}
	rt.Repeat(actions)
	r.checkRows()
	r.finish()
	r.checkStats()
	r.checkRows()
}

func (r *modelRun) enqueueSome(rt *rapid.T) {
	now := r.clock.Now()
	events := make([]queue.NewEvent, rapid.IntRange(1, 4).Draw(rt, "events"))
	for i := range events {
		r.names++
		n := r.event(fmt.Sprint(r.names))
		n.Source = rapid.SampledFrom([]string{"src", "other"}).Draw(rt, "source")
		n.DedupKey = rapid.SampledFrom([]string{"", fmt.Sprint("own", r.names), "1", "2", "3"}).Draw(rt, "dedup key")
		n.DedupWindow = rapid.SampledFrom([]time.Duration{2 * time.Minute, 10 * time.Minute}).Draw(rt, "window")
		for _, d := range modelDests[:rapid.IntRange(0, len(modelDests)).Draw(rt, "destinations")] {
			nd := queue.NewDelivery{Destination: d, OrderKey: rapid.SampledFrom([]string{"", "x", "y", placedKey}).Draw(rt, "order key")}
			if rapid.IntRange(0, 5).Draw(rt, "not before") == 0 {
				nd.NotBefore = now.Add(time.Duration(rapid.IntRange(0, 120).Draw(rt, "delay")) * time.Second)
			}
			if nd.OrderKey == placedKey {
				nd.OrderAt = now.Add(-time.Duration(rapid.IntRange(0, 90).Draw(rt, "seconds ago")) * time.Second)
				nd.NotBefore = nd.OrderAt.Add(time.Minute)
			}
			n.Deliveries = append(n.Deliveries, nd)
		}
		events[i] = n
	}
	for i, got := range r.enqueue(slices.Clone(events)...) {
		r.noteReceipt(got, events[i], now)
	}
}

func (r *modelRun) noteReceipt(got queue.Receipt, n queue.NewEvent, now time.Time) {
	claim, claimed := r.m.claims[n.Source+" "+n.DedupKey]
	if n.DedupKey != "" && claimed && now.Before(claim.until) {
		if !got.Duplicate || got.ID != claim.id {
			r.Fatalf("receipt %+v, want a duplicate of %s", got, claim.id)
		}
		return
	}
	if last := len(r.m.events); got.Duplicate || slices.Contains(r.m.events, got.ID) || last > 0 && got.ID < r.m.events[last-1] {
		r.Fatalf("receipt %+v, want a new id", got)
	}
	r.m.events = append(r.m.events, got.ID)
	r.m.sources[n.Source]++
	if n.DedupKey != "" {
		r.m.claims[n.Source+" "+n.DedupKey] = expectedClaim{got.ID, now.Add(n.DedupWindow)}
	}
	for _, nd := range n.Deliveries {
		r.m.deliveries = append(r.m.deliveries, &expected{
			id: got.ID, dest: nd.Destination, key: nd.OrderKey, received: n.ReceivedAt,
			state: queue.StatePending, due: nd.NotBefore, untried: nd.NotBefore.IsZero(), at: nd.OrderAt,
		})
		if !nd.OrderAt.IsZero() {
			r.m.deliveries[len(r.m.deliveries)-1].joins = nd.NotBefore
		}
	}
}

func (r *modelRun) claimSome(rt *rapid.T) {
	r.claimFor(rapid.SampledFrom(modelDests).Draw(rt, "destination"), rapid.IntRange(1, 6).Draw(rt, "limit"))
}

// claimFor claims until the limit or until nothing is left, and checks each answer against the model.
func (r *modelRun) claimFor(dest string, limit int) (claimed []queue.Claimed) {
	now := r.clock.Now()
	for range manyCalls {
		req := r.request(dest, limit-len(claimed))
		more, next, err := r.store.Claim(r.Context(), req)
		r.must(err, "claim")
		for _, c := range more {
			if err := r.m.lease(c, dest, now); err != nil {
				r.Fatalf("claim of %d from %s at %v: %v", req.Limit, dest, now, err)
			}
		}
		claimed = append(claimed, more...)
		if err := r.m.checkNext(next, dest, now); err != nil && (len(more) == 0 || !next.Equal(now)) {
			r.Fatalf("claimed %d of %d: %v", len(claimed), limit, err)
		}
		if len(claimed) == limit || len(more) == 0 && r.m.count(dest, now) == 0 {
			r.leases = append(r.leases, claimed...)
			return claimed
		}
	}
	r.Fatalf("claimed only %d from %s, %d more are due", len(claimed), dest, r.m.count(dest, now))
	return nil
}

// settleSome settles some leases, fresh or long lost.
func (r *modelRun) settleSome(rt *rapid.T) {
	if len(r.leases) == 0 {
		return
	}
	settlements := make([]queue.Settlement, rapid.IntRange(1, 3).Draw(rt, "settlements"))
	for i := range settlements {
		// Mostly recent leases: the others were settled before.
		back := min(rapid.IntRange(0, 9).Draw(rt, "lease"), len(r.leases)-1)
		c := r.leases[len(r.leases)-1-back]
		if d := r.m.find(c.Event.ID, c.Lease.Destination); d != nil {
			c.Delivery.Attempts = d.attempts
		}
		states := []queue.State{queue.StateDelivered, queue.StateDelivered, queue.StatePending, queue.StatePending, queue.StateDead, queue.StateCancelled}
		s := r.outcome(c, rapid.SampledFrom(states).Draw(rt, "state"), 500, "status")
		if s.State == queue.StatePending {
			s.StepAside = rapid.Bool().Draw(rt, "step aside")
			if wait := rapid.IntRange(0, 100).Draw(rt, "wait"); wait > 0 {
				s.Due = r.clock.Now().Add(time.Duration(wait) * time.Second)
			}
			if rapid.IntRange(0, 3).Draw(rt, "give back") == 0 {
				s.Attempt = nil
			}
		}
		settlements[i] = s
	}
	for i, err := range r.settle(settlements...) {
		r.noteSettled(settlements[i], err)
	}
}

func (r *modelRun) noteSettled(s queue.Settlement, err error) {
	if r.m.settle(s) {
		r.must(err, fmt.Sprintf("settle %s for %s", s.Lease.Event, s.Lease.Destination))
	} else if !errors.Is(err, queue.ErrLeaseLost) {
		r.Fatalf("settle %+v: %v, want %v", s.Lease, err, queue.ErrLeaseLost)
	}
}

// pick draws an event; 0 if there is none.
func (r *modelRun) pick(rt *rapid.T) queue.ID {
	if len(r.m.events) == 0 {
		return 0
	}
	return rapid.SampledFrom(r.m.events).Draw(rt, "event")
}

func (r *modelRun) replayOne(rt *rapid.T) {
	id, dest := r.pick(rt), rapid.SampledFrom(modelDests).Draw(rt, "destination")
	err := r.store.Replay(r.Context(), id, dest, "x")
	if id == 0 {
		if !errors.Is(err, queue.ErrNotFound) {
			r.Fatalf("replay of nothing: %v", err)
		}
		return
	}
	r.must(err, "replay")
	received := r.clock.Now()
	if in, ok := r.store.(queue.Inspector); ok {
		ev, err := in.Event(r.Context(), id)
		r.must(err, "event")
		received = ev.ReceivedAt
	}
	r.m.replay(id, dest, "x", received)
}

func (r *modelRun) cancelOne(rt *rapid.T) {
	id, dest := r.pick(rt), rapid.SampledFrom(modelDests).Draw(rt, "destination")
	err := r.store.Cancel(r.Context(), id, dest)
	if d := r.m.find(id, dest); d != nil && d.pending() {
		r.must(err, "cancel")
		r.m.cancel(d, r.clock.Now())
	} else if !errors.Is(err, queue.ErrNotFound) {
		r.Fatalf("cancel of %s for %s: %v, want %v", id, dest, err, queue.ErrNotFound)
	}
}

// pruneAll lets so much time pass that everything settled is old, however a store counts its age.
func (r *modelRun) pruneAll(*rapid.T) {
	r.clock.Advance(72 * time.Hour)
	r.prunes(r.m.prune(), queue.Retention{Delivered: time.Hour, Dead: time.Hour})
}

// finish delivers all that is left: nothing may be missing, and nothing may come again.
func (r *modelRun) finish() {
	r.clock.Advance(24 * time.Hour)
	for _, dest := range modelDests {
		for range manyCalls {
			claimed := r.claimFor(dest, 5)
			if len(claimed) == 0 {
				break
			}
			for _, c := range claimed {
				s := r.outcome(c, queue.StateDelivered, 200, "")
				r.noteSettled(s, r.settle(s)[0])
			}
		}
	}
	for _, d := range r.m.deliveries {
		if d.pending() {
			r.Fatalf("%+v was never settled", *d)
		}
	}
}
