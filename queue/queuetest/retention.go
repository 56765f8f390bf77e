package queuetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

var retentionTests = []test{
	{"DeliveredAreForgotten", func(e *env) {
		ids := e.fill("a", 30)
		e.deliver(e.claim(30)...)
		empty := e.put(e.event("without deliveries"))[0]
		day := queue.Retention{Delivered: 24 * time.Hour, Dead: 24 * time.Hour}
		e.clock.Advance(23 * time.Hour)
		e.prunes(0, day)
		e.clock.Advance(48 * time.Hour)
		fresh := e.fill("b", 5)
		e.deliver(e.claim(5)...)
		e.prunes(31, day)
		for _, id := range append(ids, empty) {
			e.gone(id)
		}
		for _, id := range fresh {
			e.kept(id)
		}
	}},
	{"NothingPendingIsForgotten", func(e *env) {
		waiting := e.put(e.event("waiting", dest))[0]
		e.put(e.event("other", dest))
		claimed := e.claim(2)
		e.retry(claimed[0], 1000*24*time.Hour)
		leased := claimed[1].Event.ID
		blocked := e.put(e.ordered("head", "k"), e.ordered("behind", "k"))
		half := e.put(e.event("half", "a", "b"))[0]
		e.deliver(e.claimFrom("a", 1)...)
		replayed := e.put(e.event("replayed", "c"))[0]
		e.deliver(e.claimFrom("c", 1)...)
		e.must(e.store.Replay(e.Context(), replayed, "c", ""), "replay")
		e.clock.Advance(400 * 24 * time.Hour)
		e.prunes(0, queue.Retention{Delivered: time.Hour, Dead: time.Hour})
		for _, id := range []queue.ID{waiting, leased, blocked[0], blocked[1], half, replayed} {
			e.kept(id)
		}
		if got := e.claimFrom("b", 10); len(got) != 1 {
			e.Errorf("%d pending deliveries of the half delivered event", len(got))
		}
	}},
	{"DeadAreKeptForTheirOwnTime", func(e *env) {
		id := e.put(e.event("dead", dest, "fine"))[0]
		e.die(e.claimOne(id))
		e.deliver(e.claimFrom("fine", 1)...)
		delivered := e.put(e.event("delivered", dest))[0]
		e.deliver(e.claimOne(delivered))
		r := queue.Retention{Delivered: time.Hour, Dead: 30 * 24 * time.Hour}
		e.clock.Advance(29 * 24 * time.Hour)
		e.prunes(1, r)
		e.kept(id)
		e.gone(delivered)
		if s := e.stats().Destinations[dest]; s.Dead != 1 {
			e.Errorf("%+v, want 1 dead", s)
		}
		e.clock.Advance(48 * time.Hour)
		e.prunes(1, r)
		e.gone(id)
		if s := e.stats(); s.Destinations[dest].Dead != 0 || s.Destinations[dest].Delivered != 1 || s.Events != 0 {
			e.Errorf("%+v, want no dead, 1 delivered over its life and no event", s)
		}
	}},
	{"ZeroKeeps", func(e *env) {
		ids := e.fill("a", 2)
		claimed := e.claim(2)
		e.deliver(claimed[0])
		e.die(claimed[1])
		e.clock.Advance(10 * 365 * 24 * time.Hour)
		e.prunes(0, queue.Retention{})
		e.prunes(0, queue.Retention{Dead: time.Hour}, ids[1])
		e.kept(ids[0])
	}},
	{"ClaimsOutliveTheirEvents", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		e.deliver(e.claimOne(id))
		e.clock.Advance(window - time.Hour)
		e.prunes(1, queue.Retention{Delivered: time.Hour, Dead: time.Hour})
		e.gone(id)
		e.wantDuplicate(id, e.event("1", dest))
		e.clock.Advance(2 * time.Hour)
		e.put(e.event("1", dest))
	}},
	{"GoesOnAroundAStuckOne", func(e *env) {
		stuck := e.put(e.event("stuck", "down"))[0]
		r := queue.Retention{Delivered: time.Hour, Dead: time.Hour}
		for round := range 4 {
			ids := e.fill(fmt.Sprint("r", round, "-"), 25)
			e.deliver(e.claim(25)...)
			e.clock.Advance(48 * time.Hour)
			e.prunes(25, r)
			for _, id := range ids {
				e.gone(id)
			}
		}
		e.kept(stuck)
		claimed := e.claimFrom("down", 1)
		e.wantIDs(claimed, stuck)
		e.deliver(claimed...)
		e.clock.Advance(48 * time.Hour)
		e.prunes(1, r)
		e.gone(stuck)
	}},
	{"WhatIsLeftWorksOn", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"))
		e.deliver(e.claimOne(ids[0]))
		e.clock.Advance(48 * time.Hour)
		e.prunes(1, queue.Retention{Delivered: time.Hour})
		e.put(e.ordered("3", "k"))
		if got := e.drain(dest, 10); len(got) != 2 || got[0] != ids[1] {
			e.Errorf("drained %v", got)
		}
	}},
}

// prunes maintains until nothing is left to be pruned, and checks how many events went. With ids, those are checked to be gone
// and count.
func (e *env) prunes(want int, r queue.Retention, gone ...queue.ID) {
	e.Helper()
	maintainer := optional[queue.Maintainer](e)
	want += len(gone)
	total, idle := 0, 0
	for range manyCalls {
		n, err := maintainer.Maintain(e.Context(), e.clock.Now(), r)
		e.must(err, "maintain")
		total += n
		if n > 0 {
			idle = 0
		} else if idle++; idle == 2 {
			break
		}
	}
	if total != want {
		e.Fatalf("pruned %d events, want %d", total, want)
	}
	for _, id := range gone {
		e.gone(id)
	}
}

// gone checks that nothing is left of an event.
func (e *env) gone(id queue.ID) {
	e.Helper()
	inspector := e.inspector()
	if _, err := inspector.Event(e.Context(), id); !errors.Is(err, queue.ErrNotFound) {
		e.Errorf("event %s: %v, want %v", id, err, queue.ErrNotFound)
	}
	if _, err := inspector.Deliveries(e.Context(), id); !errors.Is(err, queue.ErrNotFound) {
		e.Errorf("deliveries of %s: %v, want %v", id, err, queue.ErrNotFound)
	}
	if err := e.store.Replay(e.Context(), id, dest, ""); !errors.Is(err, queue.ErrNotFound) {
		e.Errorf("replay of %s: %v, want %v", id, err, queue.ErrNotFound)
	}
	for _, s := range e.pages(queue.Filter{}) {
		if s.Event.ID == id {
			e.Errorf("%s is still listed", id)
		}
	}
}

// kept checks that an event is there with its payload and its deliveries.
func (e *env) kept(id queue.ID) {
	e.Helper()
	ev, err := e.inspector().Event(e.Context(), id)
	if err != nil || len(ev.Body) == 0 {
		e.Errorf("event %s: %v", id, err)
	}
	if rows, err := e.inspector().Deliveries(e.Context(), id); err != nil || len(rows) == 0 {
		e.Errorf("deliveries of %s: %v, %v", id, rows, err)
	}
}
