package queuetest

import (
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// parkTests are about deliveries that stepped aside.
var parkTests = []test{
	{"LaterOnesOvertake", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"), e.ordered("3", "k"))
		e.park(e.claimOne(ids[0]), time.Minute)
		if got := e.drain(dest, 10); !slices.Equal(got, ids[1:]) {
			e.Errorf("drained %v while the head was aside, want %v", got, ids[1:])
		}
		e.clock.Advance(time.Minute)
		c := e.claimOne(ids[0])
		if c.Delivery.Attempts != 1 {
			e.Errorf("%d attempts, want 1", c.Delivery.Attempts)
		}
		e.deliver(c)
		e.idle()
	}},
	{"OneAtATimeStill", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"), e.ordered("3", "k"))
		e.park(e.claimOne(ids[0]), time.Minute)
		second := e.claimOne(ids[1])
		e.clock.Advance(time.Minute)
		// The lease has run out by now, but the second one was claimed by this test, which settles it late.
		e.deliver(second)
		claimed := e.claim(10)
		if len(claimed) != 1 {
			e.Fatalf("claimed %v, want one of the key", idsOf(claimed))
		}
		e.deliver(claimed...)
		rest := e.claim(10)
		if len(rest) != 1 || rest[0].Event.ID == claimed[0].Event.ID || rest[0].Event.ID == ids[1] {
			e.Fatalf("claimed %v after %v", idsOf(rest), idsOf(claimed))
		}
	}},
	{"WaitsForTheLeasedOne", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"))
		e.park(e.claimOne(ids[0]), time.Second)
		second := e.claimOne(ids[1])
		e.clock.Advance(2 * time.Second)
		e.idle()
		e.deliver(second)
		e.deliver(e.claimOne(ids[0]))
	}},
	{"StaysAsideWhenGivenBack", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"))
		e.park(e.claimOne(ids[0]), time.Second)
		second := e.claimOne(ids[1])
		e.retry(second, time.Minute)
		e.clock.Advance(time.Second)
		first := e.claimOne(ids[0])
		e.mustSettle(queue.Settlement{Lease: first.Lease, State: queue.StatePending, Due: e.clock.Now().Add(time.Hour)})
		e.clock.Advance(time.Minute)
		e.deliver(e.claimOne(ids[1]))
		e.idle()
		e.clock.Advance(time.Hour)
		e.deliver(e.claimOne(ids[0]))
	}},
	{"StaysAsideWhenItsLeaseRunsOut", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"), e.ordered("3", "k"))
		e.park(e.claimOne(ids[0]), time.Second)
		e.retry(e.claimOne(ids[1]), time.Second)
		e.clock.Advance(time.Second)
		// Both are due now; whichever comes first is left to run out.
		first := e.claim(10)
		if len(first) != 1 {
			e.Fatalf("claimed %v, want one of the key", idsOf(first))
		}
		e.clock.Advance(leaseTime)
		got := e.drain(dest, 10)
		inOrder := slices.DeleteFunc(slices.Clone(got), func(id queue.ID) bool { return id == ids[0] })
		if len(got) != 3 || !slices.Equal(inOrder, ids[1:]) {
			e.Errorf("drained %v of %v", got, ids)
		}
	}},
	{"WaitsForNoneThatIsPending", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"))
		e.park(e.claimOne(ids[0]), time.Second)
		e.park(e.claimOne(ids[1]), time.Second)
		third := e.put(e.ordered("3", "k"))[0]
		e.retry(e.claimOne(third), time.Hour)
		e.clock.Advance(time.Second)
		e.wantSet(e.claimEach(2), ids...)
		e.idle()
	}},
	{"SeveralAside", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"), e.ordered("3", "k"), e.ordered("4", "k"))
		for i, id := range ids[:3] {
			e.park(e.claimOne(id), time.Duration(10-i)*time.Minute)
		}
		e.deliver(e.claimOne(ids[3]))
		e.clock.Advance(8 * time.Minute)
		e.deliver(e.claimOne(ids[2]))
		e.clock.Advance(time.Hour)
		claimed := e.claim(10)
		e.wantIDs(claimed, ids[1])
		e.deliver(claimed...)
		e.wantIDs(e.claim(10), ids[0])
	}},
	{"LateAndSoonerThanTheOther", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"))
		e.park(e.claimOne(ids[0]), time.Hour)
		second := e.claimOne(ids[1])
		e.clock.Advance(2 * leaseTime)
		e.claimOnce(0) // lets the store notice that the lease has run out
		e.park(second, time.Minute)
		e.clock.Advance(time.Minute)
		e.deliver(e.claimOne(ids[1]))
		e.clock.Advance(time.Hour)
		e.deliver(e.claimOne(ids[0]))
	}},
	{"ReplayEndsIt", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"))
		e.park(e.claimOne(ids[0]), time.Hour)
		e.must(e.store.Replay(e.Context(), ids[0], dest, "k"), "replay")
		claimed := e.claim(10)
		e.wantIDs(claimed, ids[0])
		e.retry(claimed[0], time.Minute)
		// It is an ordinary head again and holds up the second one.
		e.idle()
		e.clock.Advance(time.Minute)
		e.deliver(e.claimOne(ids[0]))
		e.deliver(e.claimOne(ids[1]))
	}},
	{"CanBeCancelled", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"))
		e.park(e.claimOne(ids[0]), time.Minute)
		e.must(e.store.Cancel(e.Context(), ids[0], dest), "cancel")
		e.deliver(e.claimOne(ids[1]))
		e.clock.Advance(time.Hour)
		e.idle()
	}},
	{"MeansNothingWithoutAKey", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		e.park(e.claimOne(id), time.Minute)
		e.idle()
		e.clock.Advance(time.Minute)
		e.deliver(e.claimOne(id))
	}},
}

// claimEach claims and delivers n deliveries one by one.
func (e *env) claimEach(n int) []queue.Claimed {
	e.Helper()
	var all []queue.Claimed
	for range n {
		claimed := e.claim(1)
		if len(claimed) == 0 {
			e.Fatalf("only %d of %d could be claimed", len(all), n)
		}
		e.deliver(claimed...)
		all = append(all, claimed...)
	}
	return all
}
