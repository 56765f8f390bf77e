package queuetest

import (
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// cancelledWhileLeased cancels deliveries whose attempts may be under way: the others of their key wait until those have ended.
func cancelledWhileLeased(e *env) {
	ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"), e.ordered("3", "k"), e.ordered("4", "k"))
	recall := func(id queue.ID) queue.Claimed {
		e.Helper()
		c := e.claimOne(id)
		e.must(e.store.Cancel(e.Context(), id, dest), "cancel")
		return c
	}
	// until its holder settles it,
	c := recall(ids[0])
	later := e.put(e.ordered("5", "k"))[0]
	e.idle()
	e.quiet()
	e.wantLost(queue.Settlement{Lease: c.Lease, State: queue.StatePending})
	e.woken(dest)
	// or its lease ends,
	c = recall(ids[1])
	if claimed, next := e.claimAll(dest, 10); len(claimed) != 0 || !next.Equal(c.Lease.Until) {
		e.Fatalf("claimed %v, next %v, want none and %v", idsOf(claimed), next, c.Lease.Until)
	}
	e.clock.Advance(leaseTime)
	third := e.claimOne(ids[2])
	e.wantLost(e.outcome(c, queue.StateDelivered, 200, "")) // late, and it frees nothing
	e.idle()
	// or it is put back itself.
	e.must(e.store.Cancel(e.Context(), ids[2], dest), "cancel")
	e.must(e.store.Replay(e.Context(), ids[2], dest, "k"), "replay")
	again := e.claimOne(ids[2])
	e.wantLost(e.outcome(third, queue.StateDelivered, 200, ""))
	e.idle()
	e.deliver(again)
	// One that stepped aside keeps it taken too.
	e.park(e.claimOne(ids[3]), time.Second)
	e.deliver(e.claimOne(later))
	e.clock.Advance(time.Second)
	c = recall(ids[3])
	last := e.put(e.ordered("6", "k"))[0]
	e.idle()
	e.wantLost(e.outcome(c, queue.StateDelivered, 200, ""))
	e.deliver(e.claimOne(last))
	e.idle()
}

// cancelledBeforeClosing does so before a restart, which ends all attempts.
func cancelledBeforeClosing(e *env) {
	ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"))
	c := e.claimOne(ids[0])
	e.must(e.store.Cancel(e.Context(), ids[0], dest), "cancel")
	e.reopen()
	second := e.claimOne(ids[1])
	e.wantLost(e.outcome(c, queue.StateDelivered, 200, ""))
	e.deliver(second)
	e.idle()
}
