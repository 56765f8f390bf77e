package queuetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// heldFor is for how long the tests hold events back to put them into their own order.
const heldFor = 5 * time.Second

// orderedAt makes an event with the key k that happened some time ago, held back from then on for heldFor.
func (e *env) orderedAt(id string, ago time.Duration) queue.NewEvent {
	n := e.ordered(id, "k")
	d := &n.Deliveries[0]
	d.OrderAt = e.clock.Now().Add(-ago)
	d.NotBefore = d.OrderAt.Add(heldFor)
	return n
}

// orderAtTests are about deliveries with a place of their own within their key.
var orderAtTests = []test{
	{"LateOnesAreInTheirOwnOrder", func(e *env) {
		ids := e.put(e.orderedAt("second", 2*time.Second), e.orderedAt("third", time.Second), e.orderedAt("first", 3*time.Second))
		e.idle()
		e.clock.Advance(heldFor)
		if got, want := e.drain(dest, 10), []queue.ID{ids[2], ids[0], ids[1]}; !slices.Equal(got, want) {
			e.Errorf("drained %v, want %v", got, want)
		}
	}},
	{"EachGoesWhenItsTimeHasCome", func(e *env) {
		ids := e.put(e.orderedAt("second", time.Second), e.orderedAt("first", 3*time.Second))
		_, next := e.claimAll(dest, 1)
		if want := e.clock.Now().Add(2 * time.Second); !next.Equal(want) {
			e.Errorf("next is %v, want %v", next, want)
		}
		e.clock.Advance(2 * time.Second)
		e.deliver(e.claimOne(ids[1]))
		e.idle()
		e.clock.Advance(2 * time.Second)
		e.deliver(e.claimOne(ids[0]))
	}},
	{"EqualOnesGoInOrderOfArrival", func(e *env) {
		ids := e.put(e.orderedAt("1", 0), e.orderedAt("2", 0), e.orderedAt("3", 0))
		e.clock.Advance(heldFor)
		if got := e.drain(dest, 10); !slices.Equal(got, ids) {
			e.Errorf("drained %v, want %v", got, ids)
		}
	}},
	{"WhatIsHeldBackHoldsUpNobody", func(e *env) {
		held := e.put(e.orderedAt("held", 0))[0]
		e.deliver(e.claimOne(e.put(e.ordered("plain", "k"))[0]))
		e.deliver(e.claimOne(e.put(e.orderedAt("older", heldFor))[0]))
		e.idle()
		e.clock.Advance(heldFor)
		e.deliver(e.claimOne(held))
	}},
	{"OthersOfTheKeyGoFirst", func(e *env) {
		at := e.put(e.orderedAt("1", heldFor))[0]
		plain := e.put(e.ordered("plain", "k"))[0]
		first := e.claim(1)[0]
		e.retry(first, time.Second)
		e.clock.Advance(time.Second)
		// Once both have been seen, the one without a place goes first.
		e.deliver(e.claimOne(plain))
		e.deliver(e.claimOne(at))
	}},
	{"LateOneOvertakesAHeadThatWaits", func(e *env) {
		head := e.put(e.orderedAt("head", heldFor))[0]
		e.retry(e.claimOne(head), time.Minute)
		late := e.put(e.orderedAt("late", time.Minute))[0]
		e.retry(e.claimOne(late), 2*time.Minute)
		e.clock.Advance(time.Minute)
		e.idle() // the head waits for the late one now
		e.clock.Advance(time.Minute)
		e.deliver(e.claimOne(late))
		e.deliver(e.claimOne(head))
	}},
	{"LateOneWaitsForTheOneThatIsLeased", func(e *env) {
		head := e.claimOne(e.put(e.orderedAt("head", heldFor))[0])
		later := e.put(e.orderedAt("later", heldFor-time.Second))[0]
		late := e.put(e.orderedAt("late", time.Minute))[0]
		e.clock.Advance(time.Second)
		e.idle()
		e.deliver(head)
		e.deliver(e.claimOne(late))
		e.deliver(e.claimOne(later))
	}},
	{"LateOneTakesItsPlaceAmongThoseThatWait", func(e *env) {
		head := e.claimOne(e.put(e.orderedAt("head", time.Hour))[0])
		a := e.put(e.orderedAt("a", 50*time.Minute), e.orderedAt("c", 30*time.Minute), e.orderedAt("d", 20*time.Minute))
		e.idle()
		b := e.put(e.orderedAt("b", 40*time.Minute))[0]
		e.idle()
		e.deliver(head)
		if got, want := e.drain(dest, 10), []queue.ID{a[0], b, a[1], a[2]}; !slices.Equal(got, want) {
			e.Errorf("drained %v, want %v", got, want)
		}
	}},
	{"ReplayTakesItsOldPlace", func(e *env) {
		ids := e.put(e.orderedAt("second", 2*time.Minute), e.orderedAt("third", time.Minute), e.orderedAt("first", 3*time.Minute))
		for _, i := range []int{2, 0, 1} {
			e.deliver(e.claimOne(ids[i]))
		}
		for _, id := range ids {
			e.must(e.store.Replay(e.Context(), id, dest, "k"), "replay")
		}
		if got, want := e.drain(dest, 10), []queue.ID{ids[2], ids[0], ids[1]}; !slices.Equal(got, want) {
			e.Errorf("drained %v, want %v", got, want)
		}
	}},
	{"ReplayEndsTheWait", func(e *env) {
		id := e.put(e.orderedAt("held", 0))[0]
		e.idle()
		e.must(e.store.Replay(e.Context(), id, dest, "k"), "replay")
		e.deliver(e.claimOne(id))
	}},
	{"CanBeCancelledWhileHeldBack", func(e *env) {
		ids := e.put(e.orderedAt("1", 0), e.orderedAt("2", 0))
		e.must(e.store.Cancel(e.Context(), ids[0], dest), "cancel")
		e.clock.Advance(heldFor)
		e.deliver(e.claimOne(ids[1]))
		e.idle()
	}},
	{"MeansNothingWithoutAKey", func(e *env) {
		n := e.orderedAt("2", 0)
		n.Deliveries[0].OrderKey, n.Deliveries[0].NotBefore = "", time.Time{}
		ids := e.put(e.event("1", dest), n)
		e.wantSet(e.claim(10), ids...)
	}},
	{"IsShown", func(e *env) {
		n := e.orderedAt("1", time.Second)
		want := n.Deliveries[0].OrderAt
		id := e.put(n)[0]
		e.clock.Advance(heldFor)
		c := e.claimOne(id)
		if !c.Delivery.OrderAt.Equal(want) || c.Delivery.OrderKey != "k" {
			e.Errorf("claimed as %+v, want its place at %v", c.Delivery, want)
		}
		e.retry(c, time.Minute)
		if d := e.delivery(id, dest); !d.OrderAt.Equal(want) {
			e.Errorf("shown as %+v, want its place at %v", d, want)
		}
	}},
	{"ManyInRandomOrder", func(e *env) { drainShuffled(e, func() {}) }},
}

// drainShuffled stores more events of one key than a store keeps at hand, out of order, and wants them back in order. meanwhile runs in between.
func drainShuffled(e *env, meanwhile func()) {
	const n, batch = 1000, 25
	type placed struct {
		id queue.ID
		at time.Time
	}
	var all []placed
	for i := 0; i < n; {
		var events []queue.NewEvent
		for range batch {
			events = append(events, e.orderedAt(fmt.Sprint(i), time.Hour+time.Duration(i*7919%n)*time.Second))
			i++
		}
		for j, id := range e.put(events...) {
			all = append(all, placed{id, events[j].Deliveries[0].OrderAt})
		}
		if i == n/2 { // the first half waits behind a head, in whatever way the store lets them wait
			c := e.claim(1)[0]
			e.retry(c, time.Minute)
			e.idle()
			meanwhile()
		}
	}
	e.clock.Advance(time.Hour)
	slices.SortFunc(all, func(a, b placed) int { return a.at.Compare(b.at) })
	for i, id := range e.drain(dest, 10) {
		if i >= len(all) || all[i].id != id {
			e.Fatalf("delivery %d is of %s, want %s", i, id, all[i].id)
		}
		if i == n/3 {
			meanwhile()
		}
	}
}
