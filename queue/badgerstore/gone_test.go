package badgerstore

import (
	"errors"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// raw returns the value of a key as it is in the database; false if there is none.
func raw(t *testing.T, s *Store, key []byte) (value []byte, ok bool) {
	t.Helper()
	err := s.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if err == nil {
			value, err = item.ValueCopy(nil)
		}
		return err
	})
	if err != nil && !errors.Is(err, badger.ErrKeyNotFound) {
		t.Fatal(err)
	}
	return value, err == nil
}

// listed returns how many events the store shows.
func listed(t *testing.T, s *Store) int {
	t.Helper()
	page, err := s.Events(t.Context(), queue.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Events)
}

// TestPrunedEventComesBack does to the database what Badger's collector does when it rewrites a value whose deletion is then dropped.
func TestPrunedEventComesBack(t *testing.T) {
	t.Parallel()
	clock := queuetest.NewClock()
	s := openSmall(t, t.TempDir(), clock)
	defer mustClose(t, s)
	ids := enqueue(t, s, "a", 20, 2000)
	kept := map[queue.ID]bool{}
	before := map[queue.ID][]byte{}
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		value, ok := raw(t, s, eventKey(uint64(id)))
		if !ok {
			t.Fatalf("%s is not in the database", id)
		}
		before[id] = value
	}
	// Every second one is settled and pruned; the others become stragglers.
	claimed, _, err := s.Claim(t.Context(), queue.ClaimRequest{Destination: app, Limit: 20, Now: clock.Now(), Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range claimed {
		if i%2 == 0 {
			kept[c.Event.ID] = true
			continue
		}
		if _, err := s.Settle(t.Context(), []queue.Settlement{{Lease: c.Lease, State: queue.StateDelivered}}); err != nil {
			t.Fatal(err)
		}
	}
	clock.Advance(2 * time.Hour)
	if n := maintain(t, s, queue.Retention{Delivered: time.Hour}); n != 10 {
		t.Fatalf("pruned %d, want 10", n)
	}
	err = s.db.Update(func(txn *badger.Txn) error {
		for id, value := range before {
			if err := txn.Set(eventKey(uint64(id)), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	enqueue(t, s, "b", 1, 10) // so that there is a new snapshot
	look := func() {
		t.Helper()
		for _, id := range ids {
			_, err := s.Event(t.Context(), id)
			if kept[id] && err != nil || !kept[id] && !errors.Is(err, queue.ErrNotFound) {
				t.Errorf("%s, kept %t: %v", id, kept[id], err)
			}
		}
		if n := listed(t, s); n != 11 {
			t.Errorf("%d events are shown, want 11", n)
		}
	}
	look()
	if err := s.sweepEvents(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if _, ok := raw(t, s, eventKey(uint64(id))); ok != kept[id] {
			t.Errorf("%s is in the database: %t, want %t", id, ok, kept[id])
		}
	}
	look()
}

// TestPrunedBeforeItsTurn prunes dead letters while everything else is kept for ever, and then everything.
func TestPrunedBeforeItsTurn(t *testing.T) {
	t.Parallel()
	clock := queuetest.NewClock()
	s := openSmall(t, t.TempDir(), clock)
	defer mustClose(t, s)
	ids := enqueue(t, s, "dead", 5, 2000)
	settleAll(t, s, queue.StateDead)
	enqueue(t, s, "delivered", 5, 2000)
	settleAll(t, s, queue.StateDelivered)
	clock.Advance(2 * time.Hour)
	if n := maintain(t, s, queue.Retention{Dead: time.Hour}); n != 5 {
		t.Fatalf("pruned %d, want 5", n)
	}
	for _, id := range ids {
		if _, err := s.Event(t.Context(), id); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
		if value, _ := raw(t, s, eventKey(uint64(id))); !isTombstone(value) {
			t.Errorf("%s was deleted, and may come back", id)
		}
	}
	if n := listed(t, s); n != 5 {
		t.Errorf("%d events are shown, want 5", n)
	}
	if n := maintain(t, s, queue.Retention{Delivered: time.Hour, Dead: time.Hour}); n != 5 {
		t.Fatalf("pruned %d, want 5", n)
	}
	for _, id := range ids {
		if _, ok := raw(t, s, eventKey(uint64(id))); ok {
			t.Errorf("the tombstone of %s stays for ever", id)
		}
	}
	if n := listed(t, s); n != 0 {
		t.Errorf("%d events are shown, want none", n)
	}
}

// TestDeletedMetadata overwrites what is deleted, and deletes it when nothing is left that could come back.
func TestDeletedMetadata(t *testing.T) {
	t.Parallel()
	clock := queuetest.NewClock()
	dir := t.TempDir()
	s := openSmall(t, dir, clock)
	large := make([]byte, 4000)
	for range 3 {
		if err := s.PutMeta(t.Context(), "k", large); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutMeta(t.Context(), "k", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.PutMeta(t.Context(), "other", []byte{}); err != nil {
		t.Fatal(err)
	}
	look := func() {
		t.Helper()
		if _, err := s.Meta(t.Context(), "k"); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("deleted metadata: %v", err)
		}
		var keys []string
		err := s.ListMeta(t.Context(), "", "", func(key string, _ []byte) bool {
			keys = append(keys, key)
			return true
		})
		if err != nil || len(keys) != 1 || keys[0] != "other" {
			t.Errorf("listed %q, %v", keys, err)
		}
	}
	look()
	maintain(t, s, queue.Retention{})
	if _, ok := raw(t, s, userKey("k")); !ok {
		t.Error("metadata was deleted while an older version is left that could come back")
	}
	// Each close leaves a table behind, and some of them are compacted together.
	for range 20 {
		mustClose(t, s)
		s = openSmall(t, dir, clock)
		if err := s.PutMeta(t.Context(), "other", []byte{}); err != nil {
			t.Fatal(err)
		}
		if err := s.db.Flatten(1); err != nil {
			t.Fatal(err)
		}
		look()
		maintain(t, s, queue.Retention{})
		if _, ok := raw(t, s, userKey("k")); !ok {
			break
		}
	}
	defer func() { mustClose(t, s) }()
	if _, ok := raw(t, s, userKey("k")); ok {
		t.Error("the tombstone of metadata stays for ever")
	}
	look()
	if s.metaBuried.Load() {
		maintain(t, s, queue.Retention{})
	}
	if s.metaBuried.Load() {
		t.Error("tombstones of metadata are looked for when there are none")
	}
}

// A delivery that is dead because its event is lost stays for as long as others do.
func TestDeadLettersOfALostEvent(t *testing.T) {
	t.Parallel()
	clock := queuetest.NewClock()
	s := openManual(t, t.TempDir(), clock)
	id := enqueueMany(t, s, "e", 1, nil, app)[0]
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := &op{}
	o.del(eventKey(uint64(id)))
	if err := s.applier.pushAll([]*op{o}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = openManual(t, s.Dir(), clock) // has nothing of it in memory
	defer mustClose(t, s)
	if n := settleAt(t, s, []string{app}, queue.Settlement{State: queue.StateDelivered}); n != 0 {
		t.Fatalf("%d deliveries of an event that is lost", n)
	}
	const keep = 24 * time.Hour
	for want := int64(1); want >= 0; want-- {
		maintain(t, s, queue.Retention{Delivered: 1, Dead: keep})
		stats, err := s.Stats(t.Context())
		if got := stats.Destinations[app].Dead; err != nil || int64(got) != want {
			t.Errorf("%d dead letters (%v), want %d", got, err, want)
		}
		clock.Advance(2 * keep)
	}
	if n := rowsOf(t, s, "HDAS"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}
