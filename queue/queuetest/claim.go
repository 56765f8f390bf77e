package queuetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

var claimTests = []test{
	{"NothingThere", func(e *env) {
		if claimed, next := e.claimOnce(10); len(claimed) != 0 || !next.IsZero() {
			e.Errorf("claimed %v, next %v from an empty store", idsOf(claimed), next)
		}
		id := e.put(e.event("1", dest))[0]
		e.deliver(e.claimOne(id))
		if claimed, next := e.claimAll(dest, 10); len(claimed) != 0 || !next.IsZero() {
			e.Errorf("claimed %v, next %v after everything was delivered", idsOf(claimed), next)
		}
	}},
	{"OldestFirst", func(e *env) {
		ids := e.fill("a", 10)
		e.clock.Advance(time.Second)
		ids = append(ids, e.fill("b", 10)...)
		var got []queue.ID
		for range 7 {
			got = append(got, idsOf(e.claim(3))...)
		}
		if !slices.Equal(got, ids) {
			e.Errorf("claimed %v, want %v", got, ids)
		}
	}},
	{"LimitIsKept", func(e *env) {
		ids := e.fill("a", 3)
		if claimed, _ := e.claimOnce(0); len(claimed) != 0 {
			e.Fatalf("claimed %v with a limit of 0", idsOf(claimed))
		}
		e.wantIDs(e.claim(2), ids[0], ids[1])
		e.wantIDs(e.claim(2), ids[2])
	}},
	{"MoreIsDueNow", func(e *env) {
		e.fill("a", 3)
		if _, next := e.claimOnce(2); next.IsZero() || next.After(e.clock.Now()) {
			e.Errorf("next %v while another one is due at %v", next, e.clock.Now())
		}
	}},
	{"DestinationsAreApart", func(e *env) {
		names := []string{"a", "a1", "a\x00", "A", "b"}
		want := map[string][]queue.ID{}
		for i := range 20 {
			name := names[i%len(names)]
			want[name] = append(want[name], e.put(e.event(fmt.Sprint(i), name))[0])
		}
		for _, name := range names {
			e.wantIDs(e.claimFrom(name, 100), want[name]...)
		}
	}},
	{"NotBefore", notBefore},
	{"ScheduledOnesByTheirTime", func(e *env) {
		delays := []time.Duration{50, 10, 40, 20, 30}
		var ids []queue.ID
		for i, d := range delays {
			n := e.event(fmt.Sprint(i), dest)
			n.Deliveries[0].NotBefore = e.clock.Now().Add(d * time.Second)
			ids = append(ids, e.put(n)[0])
		}
		e.idle()
		e.clock.Advance(35 * time.Second)
		e.wantIDs(e.claim(10), ids[1], ids[3], ids[4])
		e.clock.Advance(20 * time.Second)
		e.wantIDs(e.claim(10), ids[2], ids[0])
	}},
	{"BacklogDoesNotStarveRetries", func(e *env) {
		retries := e.scheduled("r", 5, time.Minute)
		e.clock.Advance(2 * time.Minute)
		e.fill("new", 300)
		e.wantAmong(e.claim(200), retries)
	}},
	{"RetriesDoNotStarveNewOnes", func(e *env) {
		e.scheduled("r", 100, time.Minute)
		later := e.scheduled("s", 100, time.Hour)
		e.clock.Advance(2 * time.Minute)
		fresh := e.fill("new", 3)
		e.clock.Advance(2 * time.Hour)
		claimed := e.claim(150)
		e.wantAmong(claimed, fresh)
		if slices.Contains(idsOf(claimed), later[99]) {
			e.Error("the last retry to come due was among the first 150 of 203")
		}
	}},
	{"LongQueueInSmallBatches", func(e *env) {
		ids := e.fill("a", 1000)
		if got := e.drain(dest, 32); !slices.Equal(got, ids) {
			e.Errorf("drained %d events in another order or number than the %d that were stored", len(got), len(ids))
		}
		e.idle()
	}},
}

func notBefore(e *env) {
	at := e.clock.Now().Add(90 * time.Second).Truncate(time.Millisecond)
	n := e.event("1", dest)
	n.Deliveries[0].NotBefore = at
	id := e.put(n)[0]
	claimed, next := e.claimAll(dest, 10)
	if len(claimed) != 0 || !next.Equal(at) {
		e.Fatalf("claimed %v, next %v, want none and %v", idsOf(claimed), next, at)
	}
	e.clock.Advance(90*time.Second - time.Millisecond)
	e.idle()
	e.clock.Advance(time.Millisecond)
	if c := e.claimOne(id); !c.Delivery.Due.Equal(at) {
		e.Errorf("due %v, want %v", c.Delivery.Due, at)
	}
}

// scheduled enqueues n events for dest that are due after d.
func (e *env) scheduled(prefix string, n int, d time.Duration) []queue.ID {
	e.Helper()
	events := make([]queue.NewEvent, n)
	for i := range events {
		events[i] = e.event(fmt.Sprint(prefix, i), dest)
		events[i].Deliveries[0].NotBefore = e.clock.Now().Add(d + time.Duration(i)*time.Millisecond)
	}
	return e.put(events...)
}

// wantAmong checks that all the events are among the claimed ones.
func (e *env) wantAmong(claimed []queue.Claimed, want []queue.ID) {
	e.Helper()
	got := idsOf(claimed)
	for _, id := range want {
		if !slices.Contains(got, id) {
			e.Errorf("%s is not among the first %d claimed", id, len(got))
		}
	}
}
