package queuetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// filterDestinations checks filters that name several destinations.
func filterDestinations(e *env) {
	both := e.put(e.event("both", "a", "b"))[0]
	a := e.put(e.event("a", "a"))[0]
	c := e.put(e.event("c", "c"))[0]
	bc := e.put(e.event("bc", "b", "c"))[0]
	e.deliver(e.claimFrom("a", 1)...) // of both
	s := func(states ...queue.State) []queue.State { return states }
	d := func(names ...string) []string { return names }
	pending := s(queue.StatePending)
	e.wantEvents(queue.Filter{Destinations: d("a")}, a, both)
	e.wantEvents(queue.Filter{Destinations: d("a", "b")}, bc, a, both)
	e.wantEvents(queue.Filter{Destinations: d("a", "nobody", "c")}, bc, c, a, both)
	e.wantEvents(queue.Filter{Destinations: d("nobody")})
	e.wantEvents(queue.Filter{Destinations: d("nobody"), States: pending})
	e.wantEvents(queue.Filter{Destinations: []string{}}, bc, c, a, both)
	e.wantEvents(queue.Filter{Destinations: d("a"), States: pending}, a)
	e.wantEvents(queue.Filter{Destinations: d("a", "b"), States: pending}, bc, a, both)
	e.wantEvents(queue.Filter{Destinations: d("a", "b"), States: pending, Limit: 1}, bc, a, both)
	e.wantEvents(queue.Filter{Destinations: d("a", "c"), States: s(queue.StateDelivered)}, both)
	e.wantEvents(queue.Filter{Destination: "a", Destinations: d("a", "c"), States: pending}, a)
	e.wantEvents(queue.Filter{Destination: "b", Destinations: d("a", "c")})
	e.wantEvents(queue.Filter{Destination: "b", Destinations: d("a", "c"), States: pending})
}

// filterBacklog asks for what is not settled while a part of a backlog was, in every way in which that happens.
func filterBacklog(e *env) {
	early := e.fill("early", 150)
	e.deliver(e.claim(len(early))...)
	e.wantEvents(queue.Filter{States: []queue.State{queue.StatePending, queue.StateDelivering}})
	ids := e.fill("late", 200)
	want := map[queue.ID]bool{early[7]: true}
	for _, id := range ids {
		want[id] = true
	}
	e.must(e.store.Replay(e.Context(), early[7], dest, ""), "replay")
	failed := map[queue.ID]bool{}
	for i, c := range e.claim(100) {
		switch i % 5 {
		case 0:
			e.deliver(c)
			delete(want, c.Event.ID)
		case 1:
			e.die(c)
			delete(want, c.Event.ID)
		case 2:
			again := e.outcome(c, queue.StatePending, 0, "timeout")
			again.Due = e.clock.Now().Add(time.Hour)
			e.mustSettle(again)
			failed[c.Event.ID] = true
		case 3:
			back := e.outcome(c, queue.StatePending, 0, "")
			back.Attempt = nil
			e.mustSettle(back)
		} // the others stay leased
	}
	e.must(e.store.Cancel(e.Context(), ids[150], dest), "cancel")
	delete(want, ids[150])
	unsettled := []queue.State{queue.StatePending, queue.StateDelivering}
	for _, limit := range []int{0, 1, 7, 1000} {
		e.wantEvents(queue.Filter{States: unsettled, Limit: limit}, newestFirst(want)...)
		e.wantEvents(queue.Filter{States: unsettled, Error: "timeout", Limit: limit}, newestFirst(failed)...)
		e.wantEvents(queue.Filter{Error: "timeout", Limit: limit}, newestFirst(failed)...)
	}
	e.wantEvents(queue.Filter{States: unsettled, EventID: "late199"}, ids[199])
	e.wantEvents(queue.Filter{States: unsettled, EventID: "late150"})
	e.wantEvents(queue.Filter{States: unsettled, Destination: "elsewhere"})
}

// filterDead has dead letters of two destinations among each other.
func filterDead(e *env) {
	dead := map[string]map[queue.ID]bool{"a": {}, "b": {}}
	for i := range 20 {
		id := e.put(e.event(fmt.Sprint(i), "a", "b"))[0]
		for _, name := range []string{"a", "b"} {
			c := e.claimFrom(name, 1)
			e.wantIDs(c, id)
			if i%3 == 0 || name == "b" && i%2 == 0 {
				e.die(c[0])
				dead[name][id] = true
			} else {
				e.deliver(c[0])
			}
		}
	}
	states := []queue.State{queue.StateDead}
	for name, want := range dead {
		for _, limit := range []int{0, 1, 3} {
			e.wantEvents(queue.Filter{States: states, Destination: name, Limit: limit}, newestFirst(want)...)
			e.wantEvents(queue.Filter{Error: "status", Destination: name, Limit: limit}, newestFirst(want)...)
			e.wantEvents(queue.Filter{States: states, Destinations: []string{name, "c"}, Limit: limit}, newestFirst(want)...)
		}
	}
	newest := newestFirst(dead["b"])[0]
	e.must(e.store.Replay(e.Context(), newest, "b", ""), "replay")
	e.wantEvents(queue.Filter{States: states, Destination: "b"}, newestFirst(dead["b"])[1:]...)
}

func newestFirst(ids map[queue.ID]bool) []queue.ID {
	var sorted []queue.ID
	for id := range ids {
		sorted = append(sorted, id)
	}
	slices.Sort(sorted)
	slices.Reverse(sorted)
	return sorted
}
