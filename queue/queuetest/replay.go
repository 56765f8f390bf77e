package queuetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// ways bring a delivery that is pending into each of the states from which it can be replayed or cancelled.
var ways = []struct {
	name     string
	attempts int
	settled  bool
	enter    func(e *env, id queue.ID)
}{
	{"pending", 0, false, func(*env, queue.ID) {}},
	{"scheduled", 1, false, func(e *env, id queue.ID) { e.retry(e.claimOne(id), time.Hour) }},
	{"leased", 0, false, func(e *env, id queue.ID) { e.claimOne(id) }},
	{"delivered", 1, true, func(e *env, id queue.ID) { e.deliver(e.claimOne(id)) }},
	{"dead", 1, true, func(e *env, id queue.ID) { e.die(e.claimOne(id)) }},
	{"cancelled", 0, true, func(e *env, id queue.ID) { e.must(e.store.Cancel(e.Context(), id, dest), "cancel") }},
}

var replayTests = []test{
	{"FromEveryState", func(e *env) {
		for _, way := range ways {
			id := e.put(e.event(way.name, dest))[0]
			way.enter(e, id)
			e.clock.Advance(time.Second)
			e.must(e.store.Replay(e.Context(), id, dest, ""), "replay")
			d := e.claimOne(id).Delivery
			if d.Attempts != way.attempts || d.SeriesTries != 0 || !d.FirstTry.IsZero() || !d.Replayed || !d.SettledAt.IsZero() {
				e.Errorf("%s, replayed: %+v, want %d attempts and a fresh series", way.name, d, way.attempts)
			}
			e.idle()
			e.clock.Advance(leaseTime)
			e.deliver(e.claimOne(id))
		}
	}},
	{"LeaseIsLost", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		old := e.claimOne(id)
		e.must(e.store.Replay(e.Context(), id, dest, ""), "replay")
		e.wantLost(e.outcome(old, queue.StateDelivered, 200, ""))
		fresh := e.claimOne(id)
		e.wantLost(e.outcome(old, queue.StateDelivered, 200, ""))
		e.deliver(fresh)
		e.clock.Advance(24 * time.Hour)
		e.idle()
	}},
	{"SeriesStartsAfresh", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		for range 3 {
			e.mustSettle(e.outcome(e.claimOne(id), queue.StatePending, 500, "status"))
		}
		e.die(e.claimOne(id))
		e.clock.Advance(time.Hour)
		e.must(e.store.Replay(e.Context(), id, dest, ""), "replay")
		e.mustSettle(e.outcome(e.claimOne(id), queue.StatePending, 500, "status"))
		d := e.claimOne(id).Delivery
		if d.Attempts != 5 || d.SeriesTries != 1 || !d.FirstTry.Equal(e.clock.Now()) {
			e.Errorf("one try after the replay of a delivery with 4 tries: %+v", d)
		}
		attempts, err := e.inspector().Attempts(e.Context(), id, dest)
		e.must(err, "attempts")
		var numbers []int
		var triggers []queue.Trigger
		for _, a := range attempts {
			numbers, triggers = append(numbers, a.Number), append(triggers, a.Trigger)
		}
		want := []queue.Trigger{queue.TriggerFirst, queue.TriggerRetry, queue.TriggerRetry, queue.TriggerRetry, queue.TriggerReplay}
		if !slices.Equal(numbers, []int{1, 2, 3, 4, 5}) || !slices.Equal(triggers, want) {
			e.Errorf("attempts %v with triggers %v", numbers, triggers)
		}
	}},
	{"ToAnotherDestination", func(e *env) {
		ids := e.put(e.event("1", dest), e.event("2", dest))
		for _, id := range ids {
			e.must(e.store.Replay(e.Context(), id, "new", "k"), "replay")
		}
		for _, id := range ids {
			claimed := e.claimFrom("new", 10)
			e.wantIDs(claimed, id)
			if d := claimed[0].Delivery; d.OrderKey != "k" || !d.Replayed || d.Destination != "new" {
				e.Errorf("made by a replay: %+v", d)
			}
			e.deliver(claimed...)
		}
		e.wantIDs(e.claim(10), ids...)
	}},
	{"OfAnEventWithoutDeliveries", func(e *env) {
		id := e.put(e.event("1"))[0]
		e.must(e.store.Replay(e.Context(), id, dest, ""), "replay")
		e.deliver(e.claimOne(id))
	}},
	{"AgainAndAgain", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		for range 5 {
			for range 3 {
				e.must(e.store.Replay(e.Context(), id, dest, ""), "replay")
			}
			e.deliver(e.claimOne(id))
			e.idle()
		}
	}},
	{"UnknownEvent", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		for _, unknown := range []queue.ID{id + 1, id - 1, 0, ^queue.ID(0)} {
			if err := e.store.Replay(e.Context(), unknown, dest, ""); !errors.Is(err, queue.ErrNotFound) {
				e.Errorf("replay of %d: %v, want %v", unknown, err, queue.ErrNotFound)
			}
		}
	}},
	{"ManyDeliveredOnes", func(e *env) {
		ids := e.fill("a", 300)
		e.deliver(e.claim(300)...)
		for i := 0; i < 300; i += 3 {
			e.must(e.store.Replay(e.Context(), ids[i], dest, ""), "replay")
		}
		fresh := e.fill("b", 50)
		var want []queue.ID
		for i := 0; i < 300; i += 3 {
			want = append(want, ids[i])
		}
		claimed := e.claim(1000)
		e.wantSet(claimed, append(want, fresh...)...)
	}},
}

var cancelTests = []test{
	{"FromEveryState", func(e *env) {
		for _, way := range ways {
			id := e.put(e.event(way.name, dest))[0]
			way.enter(e, id)
			err := e.store.Cancel(e.Context(), id, dest)
			if way.settled != errors.Is(err, queue.ErrNotFound) || !way.settled && err != nil {
				e.Errorf("cancel when %s: %v", way.name, err)
			}
			e.clock.Advance(48 * time.Hour)
			e.idle()
			if _, ok := e.store.(queue.Inspector); !ok || way.settled {
				continue
			}
			if d := e.delivery(id, dest); d.State != queue.StateCancelled || d.SettledAt.IsZero() {
				e.Errorf("cancelled when %s: %+v", way.name, d)
			}
		}
	}},
	{"LeaseIsLost", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		c := e.claimOne(id)
		e.must(e.store.Cancel(e.Context(), id, dest), "cancel")
		for _, state := range []queue.State{queue.StateDelivered, queue.StatePending} {
			e.wantLost(e.outcome(c, state, 200, ""))
		}
		e.idle()
	}},
	{"SettledStaysAsItIs", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		e.deliver(e.claimOne(id))
		if err := e.store.Cancel(e.Context(), id, dest); !errors.Is(err, queue.ErrNotFound) {
			e.Errorf("cancel of a delivered one: %v", err)
		}
		if d := e.delivery(id, dest); d.State != queue.StateDelivered {
			e.Errorf("it is %s now", d.State)
		}
	}},
	{"OneDestinationOnly", func(e *env) {
		id := e.put(e.event("1", dest, "other"))[0]
		e.must(e.store.Cancel(e.Context(), id, dest), "cancel")
		e.idle()
		e.wantIDs(e.claimFrom("other", 1), id)
	}},
	{"Unknown", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		for _, c := range []struct {
			id   queue.ID
			dest string
		}{{id + 1, dest}, {0, dest}, {id, "unknown"}, {id, ""}} {
			if err := e.store.Cancel(e.Context(), c.id, c.dest); !errors.Is(err, queue.ErrNotFound) {
				e.Errorf("cancel of %d to %q: %v, want %v", c.id, c.dest, err, queue.ErrNotFound)
			}
		}
	}},
	{"InTheMiddleOfABacklog", func(e *env) {
		ids := e.fill("a", 200)
		var want []queue.ID
		for i, id := range ids {
			if i%4 == 1 {
				e.must(e.store.Cancel(e.Context(), id, dest), fmt.Sprint("cancel ", i))
			} else {
				want = append(want, id)
			}
		}
		if got := e.drain(dest, 16); !slices.Equal(got, want) {
			e.Errorf("drained %d events, want the %d that were not cancelled, in order", len(got), len(want))
		}
	}},
}
