package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// enqueueFor enqueues events for a destination and returns their numbers.
func enqueueFor(t testing.TB, s *Store, destination string, n int) (ids []queue.ID) {
	t.Helper()
	for i := range n {
		receipts, err := s.Enqueue(t.Context(), []queue.NewEvent{newEvent(fmt.Sprint(destination, i), 4<<10, s.clock(), destination)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, receipts[0].ID)
	}
	return ids
}

// TestBrokenFileBesideOneThatIsGone has the garbage of a file that was collected counted as more than that of one which is broken: that one is next, and it must stay.
func TestBrokenFileBesideOneThatIsGone(t *testing.T) {
	t.Parallel()
	clock, dir, o := queuetest.NewClock(), t.TempDir(), small()
	o.Clock, o.manual = clock.Now, true
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	enqueue(t, s, "e", 60, 4<<10)
	if err := s.flush(t.Context()); err != nil { // the order within one transaction is Badger's
		t.Fatal(err)
	}
	kept := enqueueFor(t, s, "other", 10)
	mustClose(t, s)
	broken := filepath.Join(dir, "db", "000001.vlog")
	content, err := os.ReadFile(broken)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, flipAt(content, 20<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, o); err != nil {
		t.Fatal(err)
	}
	defer func() { mustClose(t, s) }()
	keep := queue.Retention{Delivered: time.Hour, Dead: time.Hour}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	deliver := func(prefix string, n int) {
		t.Helper()
		enqueue(t, s, prefix, n, 4<<10)
		settleAll(t, s, queue.StateDelivered)
	}
	table := func() {
		t.Helper()
		must(errors.Join(s.fillMemtable(t.Context()), s.awaitTables(t.Context())))
	}
	deliver("a", 370)
	clock.Advance(30 * time.Minute)
	deliver("b", 100)
	enqueue(t, s, "c", 300, 4<<10)
	must(s.compact(t.Context(), false))
	clock.Advance(40 * time.Minute)
	maintain(t, s, keep) // prunes e and a
	table()
	clock.Advance(30 * time.Minute)
	maintain(t, s, keep) // prunes b, whose deletions are in a table only after the next compaction
	must(s.db.Flatten(1))
	table()
	maintain(t, s, keep)  // collects a file that is sound
	must(s.db.Flatten(1)) // counts garbage of that one
	maintain(t, s, keep)
	for _, id := range kept {
		if e, err := s.Event(t.Context(), id); err != nil || len(e.Body) != 4<<10 {
			t.Errorf("event %s: %v", id, err)
		}
	}
}

// TestClaimsWhileCollecting leases deliveries one by one while the file that their events are in is rewritten: none of them is damaged.
func TestClaimsWhileCollecting(t *testing.T) {
	if testing.Short() {
		t.Skip("short runs are those with the race detector, which finds Badger's own collection and writes beside each other now and then")
	}
	t.Parallel()
	const rounds, destinations = 10, 4
	for range rounds {
		clock, o := queuetest.NewClock(), small()
		o.Clock, o.manual = clock.Now, true
		s, err := Open(t.TempDir(), o)
		if err != nil {
			t.Fatal(err)
		}
		enqueue(t, s, "e", 300, 4<<10)
		for d := range destinations {
			enqueueFor(t, s, fmt.Sprint("other", d), 10)
		}
		mustClose(t, s)
		if s, err = Open(s.dir, o); err != nil {
			t.Fatal(err)
		}
		settleAll(t, s, queue.StateDelivered)
		clock.Advance(time.Hour)
		maintain(t, s, queue.Retention{Delivered: time.Minute, Dead: time.Minute})
		if err := s.compact(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		collected := make(chan struct{})
		var wg, begun sync.WaitGroup
		for d := range destinations {
			begun.Add(1)
			wg.Go(func() {
				leaseUntil(t, s, fmt.Sprint("other", d), begun.Done, collected)
			})
		}
		begun.Wait()
		if err := s.collectFile(); err != nil {
			t.Errorf("nothing was collected: %v", err)
		}
		close(collected)
		wg.Wait()
		if n := s.Damaged(); n > 0 {
			t.Errorf("%d events that are sound count as damaged", n)
		}
		mustClose(t, s)
	}
}

// leaseUntil leases deliveries of a destination and puts them back until something has ended. It says when it has begun.
func leaseUntil(t testing.TB, s *Store, destination string, begun func(), end <-chan struct{}) {
	now := s.clock()
	for n := 0; ; n++ {
		if n == 20 {
			begun()
		}
		select {
		case <-end:
			if n > 20 {
				return
			}
		default:
		}
		claimed, _, err := s.Claim(t.Context(), queue.ClaimRequest{Destination: destination, Limit: 1, Now: now, Lease: time.Minute})
		if err != nil {
			t.Error(err)
		}
		for _, c := range claimed {
			if _, err := s.Settle(t.Context(), []queue.Settlement{{Lease: c.Lease, State: queue.StatePending, Due: now}}); err != nil {
				t.Error(err)
			}
		}
	}
}
