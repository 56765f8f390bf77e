package queuetest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

var statsTests = []test{
	{"OfAnEmptyStore", func(e *env) {
		if s := e.stats(); s.Events != 0 || len(s.Sources) != 0 || len(s.Destinations) != 0 {
			e.Errorf("%+v", s)
		}
	}},
	{"Sources", func(e *env) {
		for i := range 5 {
			n := e.event(fmt.Sprint(i), dest)
			if i == 3 {
				n.Source = "other"
			}
			e.put(n)
			e.clock.Advance(time.Minute)
		}
		e.enqueue(e.event("0", dest))
		s := e.stats()
		if got := s.Sources["src"]; got.Accepted != 4 || !got.LastEvent.Equal(e.clock.Now().Add(-time.Minute)) {
			e.Errorf("src: %+v, want 4 accepted, duplicates not among them", got)
		}
		if got := s.Sources["other"]; got.Accepted != 1 || !got.LastEvent.Equal(e.clock.Now().Add(-2*time.Minute)) {
			e.Errorf("other: %+v, want 1 accepted", got)
		}
		if s.Events != 5 {
			e.Errorf("%d events, want 5", s.Events)
		}
	}},
	{"OldestPending", oldestPending},
	{"NextDue", func(e *env) {
		ids := e.fill("a", 3)
		if s := e.stats().Destinations[dest]; !s.NextDue.IsZero() {
			e.Errorf("next due %v without a retry", s.NextDue)
		}
		claimed := e.claim(3)
		e.retry(claimed[0], time.Hour)
		e.retry(claimed[1], time.Minute)
		e.deliver(claimed[2])
		due := e.clock.Now().Add(time.Minute)
		if s := e.stats().Destinations[dest]; !s.NextDue.Equal(due) {
			e.Errorf("next due %v, want %v", s.NextDue, due)
		}
		e.must(e.store.Cancel(e.Context(), ids[1], dest), "cancel")
		due = e.clock.Now().Add(time.Hour)
		if s := e.stats().Destinations[dest]; !s.NextDue.Equal(due) {
			e.Errorf("next due %v after the first one was cancelled, want %v", s.NextDue, due)
		}
		e.clock.Advance(time.Hour)
		e.deliver(e.claimOne(ids[0]))
		if s := e.stats().Destinations[dest]; !s.NextDue.IsZero() {
			e.Errorf("next due %v after everything was settled", s.NextDue)
		}
	}},
	{"EqualARecount", recount},
	{"DeliveredCountsEachTime", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		for n := uint64(1); n <= 3; n++ {
			e.deliver(e.claimOne(id))
			if s := e.stats().Destinations[dest]; s.Delivered != n || s.Pending != 0 {
				e.Errorf("%+v, want %d delivered", s, n)
			}
			e.must(e.store.Replay(e.Context(), id, dest, ""), "replay")
		}
		e.die(e.claimOne(id))
		if s := e.stats().Destinations[dest]; s.Dead != 1 {
			e.Errorf("%+v, want 1 dead", s)
		}
		e.must(e.store.Replay(e.Context(), id, dest, ""), "replay")
		if s := e.stats().Destinations[dest]; s.Dead != 0 || s.Pending != 1 {
			e.Errorf("%+v, want none dead at present", s)
		}
	}},
}

func (e *env) stats() queue.Stats {
	e.Helper()
	s, err := e.inspector().Stats(e.Context())
	e.must(err, "stats")
	return s
}

func oldestPending(e *env) {
	var at []time.Time
	var ids []queue.ID
	for i := range 4 {
		at = append(at, e.clock.Now())
		ids = append(ids, e.put(e.event(fmt.Sprint(i), dest))[0])
		e.clock.Advance(time.Minute)
	}
	want := func(t time.Time) {
		e.Helper()
		if s := e.stats().Destinations[dest]; !s.OldestPending.Equal(t) {
			e.Errorf("oldest pending %v, want %v", s.OldestPending, t)
		}
	}
	want(at[0])
	claimed := e.claim(3)
	want(at[0])
	e.deliver(claimed[1])
	want(at[0])
	e.deliver(claimed[0])
	want(at[2])
	e.retry(claimed[2], time.Hour)
	want(at[2])
	e.must(e.store.Cancel(e.Context(), ids[2], dest), "cancel")
	want(at[3])
	e.must(e.store.Replay(e.Context(), ids[1], dest, ""), "replay")
	want(at[1])
	e.drain(dest, 10)
	want(time.Time{})
}

// recount compares the counters with the rows after many random operations.
func recount(e *env) {
	e.inspector()
	r := rand.New(rand.NewPCG(1, 2))
	destinations := []string{"a", "b", "c"}
	lifetime := map[string]*queue.DestinationStats{"a": {}, "b": {}, "c": {}}
	var ids []queue.ID
	for step := range 600 {
		d := destinations[r.IntN(len(destinations))]
		switch r.IntN(6) {
		case 0, 1:
			n := e.event(fmt.Sprint(step), d)
			n.Deliveries[0].OrderKey = []string{"", "x", "y"}[r.IntN(3)]
			ids = append(ids, e.put(n)...)
		case 2, 3:
			for _, c := range e.claimFrom(d, 1+r.IntN(3)) {
				state := []queue.State{queue.StateDelivered, queue.StateDead, queue.StatePending, queue.StateCancelled, 0}[r.IntN(5)]
				if state == 0 {
					continue // its lease is left open
				}
				s := e.outcome(c, state, 500, "status")
				if state == queue.StatePending {
					s.Due, s.StepAside = e.clock.Now().Add(time.Duration(r.IntN(600))*time.Second), r.IntN(2) == 0
				}
				e.mustSettle(s)
				count(lifetime[d], state)
			}
		case 4:
			if len(ids) > 0 {
				e.must(e.store.Replay(e.Context(), ids[r.IntN(len(ids))], d, "x"), "replay")
			}
		case 5:
			if len(ids) > 0 && e.store.Cancel(e.Context(), ids[r.IntN(len(ids))], d) == nil {
				count(lifetime[d], queue.StateCancelled)
			}
			e.clock.Advance(time.Duration(r.IntN(90)) * time.Second)
		}
		if step%50 == 49 {
			e.compareStats(ids, lifetime)
		}
	}
}

func count(s *queue.DestinationStats, settled queue.State) {
	switch settled {
	case queue.StateDelivered:
		s.Delivered++
	case queue.StateCancelled:
		s.Cancelled++
	}
}

// compareStats counts the rows of all events anew. What counts over the store's life is given.
func (e *env) compareStats(ids []queue.ID, lifetime map[string]*queue.DestinationStats) {
	e.Helper()
	inspector := e.inspector()
	want := map[string]queue.DestinationStats{}
	for name, l := range lifetime {
		want[name] = queue.DestinationStats{Delivered: l.Delivered, Cancelled: l.Cancelled}
	}
	for _, id := range ids {
		rows, err := inspector.Deliveries(e.Context(), id)
		e.must(err, "deliveries")
		for _, d := range rows {
			w := want[d.Destination]
			switch d.State {
			case queue.StateDelivering:
				w.Delivering++
				w.Pending++
			case queue.StatePending:
				w.Pending++
			case queue.StateDead:
				w.Dead++
			}
			want[d.Destination] = w
		}
	}
	stats := e.stats()
	for name, w := range want {
		got := stats.Destinations[name]
		got.OldestPending, got.NextDue = time.Time{}, time.Time{}
		if got != w {
			e.Fatalf("%s: counted %+v, the rows say %+v", name, got, w)
		}
	}
	if stats.Events != uint64(len(ids)) {
		e.Errorf("%d events counted, %d are there", stats.Events, len(ids))
	}
}
