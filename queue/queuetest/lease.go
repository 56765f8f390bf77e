package queuetest

import (
	"errors"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

var leaseTests = []test{
	{"SaysWhatItIs", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		c := e.claimOne(id)
		if until := e.clock.Now().Add(leaseTime); !c.Lease.Until.Equal(until) {
			e.Errorf("until %v, want %v", c.Lease.Until, until)
		}
		if c.Lease.Token == 0 || c.Delivery.State != queue.StateDelivering {
			e.Errorf("token %d, state %s", c.Lease.Token, c.Delivery.State)
		}
		d := c.Delivery
		if d.Attempts != 0 || d.SeriesTries != 0 || !d.FirstTry.IsZero() || d.Replayed || !d.SettledAt.IsZero() || d.LastError != "" {
			e.Errorf("a delivery that was never tried: %+v", d)
		}
	}},
	{"KeepsOthersAway", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		e.claimOne(id)
		e.idle()
		e.clock.Advance(leaseTime - time.Millisecond)
		e.idle()
	}},
	{"RunsOut", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		first := e.claimOne(id)
		e.clock.Advance(leaseTime)
		second := e.claimOne(id)
		if first.Lease.Token == second.Lease.Token {
			e.Fatal("the same token was given twice")
		}
		if second.Delivery.Attempts != 0 {
			e.Errorf("%d attempts after a lease that ran out", second.Delivery.Attempts)
		}
		e.wantLost(e.outcome(first, queue.StateDead, 500, "status"))
		e.deliver(second)
		e.clock.Advance(24 * time.Hour)
		e.idle()
	}},
	{"NextIsItsEnd", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		until := e.claimOne(id).Lease.Until
		if _, next := e.claimAll(dest, 10); !next.Equal(until) {
			e.Errorf("next %v, want the end of the lease, %v", next, until)
		}
	}},
	{"CanBeSettledLate", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		c := e.claimOne(id)
		e.clock.Advance(2 * leaseTime)
		e.deliver(c)
		e.idle()
	}},
	{"OfManyRunOutTogether", func(e *env) {
		ids := e.fill("a", 100)
		first := e.claim(100)
		e.clock.Advance(leaseTime / 2)
		late := e.fill("b", 10)
		e.wantIDs(e.claim(100), late...)
		e.deliver(first[:50]...)
		e.clock.Advance(leaseTime / 2)
		e.wantSet(e.claim(100), ids[50:]...)
	}},
	{"LengthIsTheClaimers", func(e *env) {
		ids := e.fill("a", 2)
		req := e.request(dest, 1)
		req.Lease = 5 * time.Second
		claimed, _, err := e.store.Claim(e.Context(), req)
		e.must(err, "claim")
		e.wantIDs(claimed, ids[0])
		e.wantIDs(e.claim(1), ids[1])
		e.clock.Advance(5 * time.Second)
		e.wantIDs(e.claim(2), ids[0])
	}},
	{"IsLostBySettling", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		c := e.claimOne(id)
		s := e.outcome(c, queue.StateDelivered, 200, "")
		lost := e.settle(s, s)
		if lost[0] != nil || !errors.Is(lost[1], queue.ErrLeaseLost) {
			e.Errorf("one lease settled twice in one call: %v", lost)
		}
		e.wantLost(e.outcome(c, queue.StatePending, 500, "status"))
		e.idle()
	}},
	{"NobodyHasIt", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		e.wantLost(queue.Settlement{Lease: queue.Lease{Event: id, Destination: dest}, State: queue.StateDelivered})
		c := e.claimOne(id)
		e.giveBack(c)
		for _, token := range []uint64{0, c.Lease.Token, c.Lease.Token + 1} {
			e.wantLost(queue.Settlement{Lease: queue.Lease{Event: id, Destination: dest, Token: token}, State: queue.StateDelivered})
		}
		e.deliver(e.claimOne(id))
	}},
	{"TokenDecides", func(e *env) {
		ids := e.put(e.event("1", dest, "other"), e.event("2", dest))
		claimed := e.claim(2)
		e.wantIDs(claimed, ids...)
		a, b := claimed[0], claimed[1]
		for _, wrong := range []queue.Lease{
			{Event: a.Lease.Event, Destination: dest, Token: b.Lease.Token},
			{Event: a.Lease.Event, Destination: dest},
			{Event: a.Lease.Event, Destination: "other", Token: a.Lease.Token},
			{Event: a.Lease.Event, Destination: "unknown", Token: a.Lease.Token},
			{Event: b.Lease.Event + 1000, Destination: dest, Token: a.Lease.Token},
		} {
			e.wantLost(queue.Settlement{Lease: wrong, State: queue.StateDelivered})
		}
		e.deliver(a, b)
		if got := e.claimFrom("other", 1); len(got) != 1 {
			e.Error("a settlement with a wrong lease was taken")
		}
	}},
}

// wantLost checks that a settlement is refused because its lease is lost.
func (e *env) wantLost(s queue.Settlement) {
	e.Helper()
	if err := e.settle(s)[0]; !errors.Is(err, queue.ErrLeaseLost) {
		e.Fatalf("settling %+v: %v, want %v", s.Lease, err, queue.ErrLeaseLost)
	}
}
