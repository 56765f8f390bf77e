package queuetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

var reopenTests = []test{
	{"EmptyStore", func(e *env) {
		for range 3 {
			e.reopen()
			e.idle()
		}
		e.put(e.event("1", dest))
	}},
	{"PendingOnesAreThere", func(e *env) {
		ids := e.fill("a", 500)
		e.reopen()
		e.wantIDs(e.claim(1000), ids...)
	}},
	{"EventIsKeptAsItCame", func(e *env) {
		n := e.fullEvent()
		want := n.Event
		want.Header = n.Header.Clone()
		want.Body = slices.Clone(n.Body)
		want.ID = e.put(n)[0]
		e.reopen()
		e.sameEvent(e.claimOne(want.ID).Event, &want)
	}},
	{"IDsGoOn", func(e *env) {
		last := queue.ID(0)
		for round := range 4 {
			id := e.put(e.event(fmt.Sprint(round), dest))[0]
			if id <= last {
				e.Fatalf("id %d after %d", id, last)
			}
			last = id
			e.reopen()
		}
	}},
	{"IDsGoOnWhenAllIsPruned", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		e.deliver(e.claimOne(id))
		e.clock.Advance(48 * time.Hour)
		e.prunes(1, queue.Retention{Delivered: time.Hour})
		e.reopen()
		e.gone(id)
		if next := e.put(e.event("2", dest))[0]; next <= id {
			e.Errorf("id %d was given again as %d", id, next)
		}
	}},
	{"OrderOfOldIsKept", func(e *env) { drainShuffled(e, e.reopen) }},
	{"LeasesEnd", leasesEnd},
	{"DedupGoesOn", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		e.deliver(e.claimOne(id))
		for range 7 {
			e.reopen()
			e.wantDuplicate(id, e.event("1", dest))
			e.clock.Advance(10 * time.Hour)
		}
		e.clock.Advance(3 * time.Hour)
		e.reopen()
		e.put(e.event("1", dest))
	}},
	{"SettledStaysSettled", func(e *env) {
		ids := e.fill("a", 300)
		claimed := e.claim(300)
		e.deliver(claimed[:100]...)
		for _, c := range claimed[100:110] {
			e.die(c)
		}
		for _, id := range ids[110:120] {
			e.must(e.store.Cancel(e.Context(), id, dest), "cancel")
		}
		e.reopen()
		e.wantSet(e.claim(1000), ids[120:]...)
	}},
	{"CancelledWhileLeased", cancelledBeforeClosing},
	{"RetriesKeepTheirTime", func(e *env) {
		ids := e.fill("a", 4)
		first := e.clock.Now()
		for i, c := range e.claim(4) {
			e.retry(c, time.Duration(i+1)*time.Hour)
		}
		for i, id := range ids {
			e.reopen()
			claimed, next := e.claimAll(dest, 10)
			if want := first.Add(time.Duration(i+1) * time.Hour); len(claimed) != 0 || !next.Equal(want) {
				e.Fatalf("claimed %v, next %v, want none and %v", idsOf(claimed), next, want)
			}
			e.clock.Advance(time.Hour)
			c := e.claimOne(id)
			if d := c.Delivery; d.Attempts != 1 || d.SeriesTries != 1 || d.LastStatus != 502 || d.LastError != "status" || !d.FirstTry.Equal(first) {
				e.Errorf("%+v", d)
			}
			e.deliver(c)
		}
	}},
	{"RetryThatCameDueMeanwhile", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		e.retry(e.claimOne(id), time.Minute)
		fresh := e.put(e.event("2", dest))[0]
		e.must(e.store.Close(), "close")
		e.clock.Advance(time.Hour)
		e.reopen()
		e.wantSet(e.claim(10), id, fresh)
	}},
	{"OrderIsKept", orderIsKept},
	{"AsideStaysAside", func(e *env) {
		ids := e.put(e.ordered("1", "k"), e.ordered("2", "k"), e.ordered("3", "k"))
		e.park(e.claimOne(ids[0]), time.Hour)
		e.claimOne(ids[1])
		e.reopen()
		if got := e.drain(dest, 10); !slices.Equal(got, ids[1:]) {
			e.Errorf("drained %v, want %v", got, ids[1:])
		}
		e.clock.Advance(time.Hour)
		e.deliver(e.claimOne(ids[0]))
	}},
	{"ReplaysAreKept", func(e *env) {
		ids := e.put(e.event("1", dest), e.event("2", dest))
		e.deliver(e.claim(2)...)
		e.must(e.store.Replay(e.Context(), ids[0], dest, ""), "replay")
		e.must(e.store.Replay(e.Context(), ids[1], "new", "k"), "replay")
		e.reopen()
		c := e.claimOne(ids[0])
		if d := c.Delivery; !d.Replayed || d.Attempts != 1 || d.SeriesTries != 0 {
			e.Errorf("replayed: %+v", d)
		}
		e.deliver(c)
		claimed := e.claimFrom("new", 10)
		e.wantIDs(claimed, ids[1])
		if d := claimed[0].Delivery; !d.Replayed || d.OrderKey != "k" {
			e.Errorf("made by a replay: %+v", d)
		}
	}},
	{"HistoryIsKept", historyIsKept},
	{"CountersAreKept", countersAreKept},
	{"PrunedStaysPruned", func(e *env) {
		ids := e.fill("a", 50)
		e.deliver(e.claim(40)...)
		e.clock.Advance(48 * time.Hour)
		e.prunes(40, queue.Retention{Delivered: time.Hour})
		e.reopen()
		for _, id := range ids[:40] {
			e.gone(id)
		}
		e.wantSet(e.claim(100), ids[40:]...)
		e.reopen()
		e.prunes(0, queue.Retention{Delivered: time.Hour})
		e.deliver(e.claim(100)...)
		e.clock.Advance(48 * time.Hour)
		e.reopen()
		e.prunes(10, queue.Retention{Delivered: time.Hour})
	}},
	{"MetadataIsKept", func(e *env) {
		m := optional[queue.Metadata](e)
		e.must(m.PutMeta(e.Context(), "kept", []byte("kept")), "put")
		e.must(m.PutMeta(e.Context(), "deleted", []byte("deleted")), "put")
		e.must(m.PutMeta(e.Context(), "deleted", nil), "delete")
		e.reopen()
		e.wantMeta("", "", 10, "kept")
	}},
	{"ManyGenerations", manyGenerations},
}

// leasesEnd checks that what was leased at the close is due at once, and that no lease of before can settle it afterwards,
// whatever tokens the store gives now.
func leasesEnd(e *env) {
	ids := e.fill("a", 20)
	before := e.claim(20)
	e.wantIDs(before, ids...)
	e.reopen()
	after := e.claim(20)
	e.wantSet(after, ids...)
	for _, c := range before {
		e.wantLost(e.outcome(c, queue.StateDelivered, 200, ""))
	}
	for _, c := range after {
		if c.Delivery.Attempts != 0 {
			e.Errorf("%d attempts after a lease that ended with the store", c.Delivery.Attempts)
		}
	}
	e.deliver(after...)
	e.reopen()
	e.idle()
}

func orderIsKept(e *env) {
	const keys, each = 30, 4
	var ids []queue.ID
	for i := range keys * each {
		ids = append(ids, e.put(e.ordered(fmt.Sprint(i), fmt.Sprint("k", i%keys)))...)
	}
	for round := range each {
		claimed := e.claim(keys / 2)
		e.deliver(claimed[:len(claimed)/2]...)
		// Open leases, and lines of which some have moved on.
		e.reopen()
		rest := e.claim(10 * keys)
		seen := map[string]bool{}
		for _, c := range rest {
			if seen[c.Delivery.OrderKey] {
				e.Fatalf("two of %s are leased", c.Delivery.OrderKey)
			}
			seen[c.Delivery.OrderKey] = true
		}
		// Those that did not move on in this round do now; the others hold their next one.
		for _, c := range rest {
			if slices.Contains(ids[round*keys:(round+1)*keys], c.Event.ID) {
				e.deliver(c)
			} else {
				e.giveBack(c)
			}
		}
	}
	e.reopen()
	if got := e.drain(dest, 100); len(got) != 0 {
		e.Errorf("%d were left after each round delivered one of each key", len(got))
	}
}

func historyIsKept(e *env) {
	inspector := e.inspector()
	ids := e.put(e.event("1", dest), e.event("2", dest), e.event("3", "other"))
	claimed := e.claim(2)
	e.retry(claimed[0], 0)
	e.die(e.claimOne(ids[0]))
	e.deliver(claimed[1])
	rows, err := inspector.Deliveries(e.Context(), ids[0])
	e.must(err, "deliveries")
	attempts, err := inspector.Attempts(e.Context(), ids[0], dest)
	e.must(err, "attempts")
	e.reopen()
	got, err := e.inspector().Attempts(e.Context(), ids[0], dest)
	e.must(err, "attempts")
	e.sameAttempts(got, attempts)
	d := e.delivery(ids[0], dest)
	if w := rows[0]; d.State != w.State || d.Attempts != 2 || d.LastStatus != w.LastStatus || d.LastError != w.LastError ||
		!d.SettledAt.Equal(w.SettledAt) || !d.FirstTry.Equal(w.FirstTry) {
		e.Errorf("%+v, before %+v", d, w)
	}
	e.wantEvents(queue.Filter{}, ids[2], ids[1], ids[0])
	e.wantEvents(queue.Filter{States: []queue.State{queue.StateDead}}, ids[0])
}

func countersAreKept(e *env) {
	ids := e.fill("a", 20)
	claimed := e.claim(12)
	e.deliver(claimed[:5]...)
	e.die(claimed[5])
	e.retry(claimed[6], time.Hour)
	e.must(e.store.Cancel(e.Context(), ids[19], dest), "cancel")
	due := e.clock.Now().Add(time.Hour)
	for range 3 {
		e.reopen()
		s := e.stats()
		d := s.Destinations[dest]
		if d.Pending != 13 || d.Delivering != 0 || d.Delivered != 5 || d.Dead != 1 || d.Cancelled != 1 || !d.NextDue.Equal(due) ||
			!d.OldestPending.Equal(e.clock.Now()) {
			e.Errorf("%+v", d)
		}
		if src := s.Sources["src"]; src.Accepted != 20 || !src.LastEvent.Equal(e.clock.Now()) || s.Events != 20 {
			e.Errorf("source %+v, %d events", src, s.Events)
		}
	}
}
