package queuetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

var orderTests = []test{
	{"OneAtATime", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"), e.ordered("3", "k"))
		for _, id := range ids {
			claimed := e.claim(10)
			e.wantIDs(claimed, id)
			if claimed[0].Delivery.OrderKey != "k" {
				e.Errorf("order key %q", claimed[0].Delivery.OrderKey)
			}
			e.idle()
			e.deliver(claimed...)
		}
		e.idle()
	}},
	{"LaterOnesWaitInTheStoreToo", func(e *env) {
		ids := e.put(e.ordered("1", "k"))
		c := e.claimOne(ids[0])
		ids = append(ids, e.put(e.ordered("2", "k"), e.ordered("3", "k"))...)
		e.idle()
		e.deliver(c)
		e.wantIDs(e.claim(10), ids[1])
	}},
	{"OtherKeysAreNotHeldUp", func(e *env) {
		ids := e.put(e.ordered("a1", "a"), e.ordered("a2", "a"), e.ordered("b1", "b"), e.event("none1", dest), e.ordered("b2", "b"), e.event("none2", dest))
		claimed := e.claim(10)
		e.wantSet(claimed, ids[0], ids[2], ids[3], ids[5])
		e.deliver(claimed...)
		e.wantSet(e.claim(10), ids[1], ids[4])
	}},
	{"DestinationsAreApart", func(e *env) {
		n := e.event("1", dest, "other")
		n.Deliveries[0].OrderKey, n.Deliveries[1].OrderKey = "k", "k"
		m := e.event("2", dest, "other")
		m.Deliveries[0].OrderKey, m.Deliveries[1].OrderKey = "k", "k"
		ids := e.put(n, m)
		e.claimOne(ids[0])
		other := e.claimFrom("other", 10)
		e.wantIDs(other, ids[0])
		e.deliver(other...)
		e.wantIDs(e.claimFrom("other", 10), ids[1])
		e.idle()
	}},
	{"SimilarKeysAreDistinct", func(e *env) {
		keys := []string{"a", "a\x00", "a\x00b", "A", "ab", " a", "a ", strings.Repeat("a", 2000), strings.Repeat("a", 2001), "\xff\xfe"}
		var first, second []queue.ID
		for i, k := range keys {
			ids := e.put(e.ordered(fmt.Sprint(i, "first"), k), e.ordered(fmt.Sprint(i, "second"), k))
			first, second = append(first, ids[0]), append(second, ids[1])
		}
		claimed := e.claim(100)
		e.wantSet(claimed, first...)
		e.deliver(claimed...)
		e.wantSet(e.claim(100), second...)
	}},
	{"FailingHeadHoldsUpItsKeyOnly", func(e *env) {
		ids := e.put(e.ordered("a1", "a"), e.ordered("a2", "a"), e.ordered("b1", "b"), e.ordered("b2", "b"))
		claimed := e.claim(10)
		e.wantSet(claimed, ids[0], ids[2])
		e.retry(claimed[slices.Index(idsOf(claimed), ids[0])], time.Minute)
		e.deliver(claimed[slices.Index(idsOf(claimed), ids[2])])
		e.wantIDs(e.claim(10), ids[3])
		e.clock.Advance(30 * time.Second)
		e.idle()
		e.clock.Advance(30 * time.Second)
		claimed = e.claim(10)
		e.wantSet(claimed, ids[0], ids[3])
		e.deliver(claimed...)
		e.wantIDs(e.claim(10), ids[1])
	}},
	{"DeadHeadMovesOn", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"))
		e.die(e.claimOne(ids[0]))
		e.deliver(e.claimOne(ids[1]))
	}},
	{"CancelledHeadMovesOn", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"), e.ordered("3", "k"))
		e.must(e.store.Cancel(e.Context(), ids[0], dest), "cancel a pending head")
		c := e.claimOne(ids[1])
		e.must(e.store.Cancel(e.Context(), ids[1], dest), "cancel a leased head")
		e.idle() // its attempt may be under way
		e.wantLost(e.outcome(c, queue.StateDelivered, 200, ""))
		e.deliver(e.claimOne(ids[2]))
	}},
	{"CancelledWhileLeased", cancelledWhileLeased},
	{"CancelledInTheMiddle", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"), e.ordered("3", "k"))
		e.must(e.store.Cancel(e.Context(), ids[1], dest), "cancel")
		if got := e.drain(dest, 10); !slices.Equal(got, []queue.ID{ids[0], ids[2]}) {
			e.Errorf("drained %v, want %v and %v", got, ids[0], ids[2])
		}
	}},
	{"HeadWhoseLeaseRanOutStaysTheHead", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"))
		for range 3 {
			e.wantIDs(e.claim(10), ids[0])
			e.clock.Advance(leaseTime)
		}
		e.deliver(e.claimOne(ids[0]))
		e.deliver(e.claimOne(ids[1]))
	}},
	{"HeadGivenBackStaysTheHead", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"))
		for range 3 {
			claimed := e.claim(10)
			e.wantIDs(claimed, ids[0])
			e.giveBack(claimed[0])
		}
	}},
	{"HeldBackHeadHoldsUpItsKey", func(e *env) {
		n := e.ordered("1", "k")
		n.Deliveries[0].NotBefore = e.clock.Now().Add(time.Minute)
		ids := e.put(n, e.ordered("2", "k"))
		e.idle()
		e.clock.Advance(time.Minute)
		e.deliver(e.claimOne(ids[0]))
		e.deliver(e.claimOne(ids[1]))
	}},
	{"ReplayTakesItsOldPlace", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"), e.ordered("3", "k"))
		e.deliver(e.claimOne(ids[0]))
		e.must(e.store.Replay(e.Context(), ids[0], dest, "k"), "replay")
		if got := e.drain(dest, 10); !slices.Equal(got, ids) {
			e.Errorf("drained %v, want %v", got, ids)
		}
	}},
	{"ReplayWaitsForTheOneThatIsLeased", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"), e.ordered("3", "k"))
		e.die(e.claimOne(ids[0]))
		second := e.claimOne(ids[1])
		e.must(e.store.Replay(e.Context(), ids[0], dest, "k"), "replay")
		e.idle()
		e.deliver(second)
		claimed := e.claim(10)
		e.wantIDs(claimed, ids[0])
		e.deliver(claimed...)
		e.wantIDs(e.claim(10), ids[2])
	}},
	{"ReplayKeepsItsKey", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"))
		e.deliver(e.claimOne(ids[0]))
		e.must(e.store.Replay(e.Context(), ids[0], dest, "another"), "replay")
		e.wantIDs(e.claim(10), ids[0])
	}},
	{"ReplayOfALeasedHead", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"))
		c := e.claimOne(ids[0])
		e.must(e.store.Replay(e.Context(), ids[0], dest, "k"), "replay")
		e.wantLost(e.outcome(c, queue.StateDelivered, 200, ""))
		claimed := e.claim(10)
		e.wantIDs(claimed, ids[0])
		e.deliver(claimed...)
		e.wantIDs(e.claim(10), ids[1])
	}},
	{"ManyKeys", manyKeys},
}

// manyKeys drains events of many keys, in batches smaller than the number of keys, with replays and new events in between.
func manyKeys(e *env) {
	const keys, each = 700, 4
	key := func(i int) string { return fmt.Sprint("customer-", i%keys) }
	events := make([]queue.NewEvent, 0, keys*each)
	for i := range keys * each {
		events = append(events, e.ordered(fmt.Sprint(i), key(i)))
	}
	ids := e.put(events...)
	first := e.claim(keys)
	e.wantSet(first, ids[:keys]...)
	e.deliver(first...)
	// Every seventh key gets its first event again, and a new one at its end.
	want := map[string][]queue.ID{}
	for i, id := range ids[keys:] {
		want[key(i)] = append(want[key(i)], id)
	}
	for i := 0; i < keys; i += 7 {
		e.must(e.store.Replay(e.Context(), ids[i], dest, key(i)), "replay")
		extra := e.put(e.ordered(fmt.Sprint("extra", i), key(i)))
		want[key(i)] = append(append([]queue.ID{ids[i]}, want[key(i)]...), extra...)
	}
	got := map[string][]queue.ID{}
	for range manyCalls {
		claimed := e.claim(64)
		if len(claimed) == 0 {
			break
		}
		seen := map[string]bool{}
		for _, c := range claimed {
			k := c.Delivery.OrderKey
			if seen[k] {
				e.Fatalf("two deliveries of %s were leased at the same time", k)
			}
			seen[k] = true
			got[k] = append(got[k], c.Event.ID)
		}
		e.deliver(claimed...)
	}
	for k, ids := range want {
		if !slices.Equal(got[k], ids) {
			e.Errorf("%s: delivered %v, want %v", k, got[k], ids)
		}
	}
}
