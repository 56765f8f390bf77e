package badgerstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// TestClaimBuckets makes more claims on a day than a bucket is to have. Whichever bucket a claim is in, its event is a duplicate, before a restart and
// after; a bucket is dropped when its own claims have ended.
func TestClaimBuckets(t *testing.T) {
	const each, events = 100, 450
	dir, clock := t.TempDir(), queuetest.NewClock()
	open := func() *Store {
		s := openSmall(t, dir, clock)
		s.days.most = each
		return s
	}
	s := open()
	again := func(duplicates bool) {
		t.Helper()
		for i := range events {
			receipts, err := s.Enqueue(t.Context(), []queue.NewEvent{newEvent(fmt.Sprint("e", i), 10, clock.Now(), app)})
			if err != nil {
				t.Fatal(err)
			}
			if receipts[0].Duplicate != duplicates {
				t.Fatalf("event %d is a duplicate: %t, want %t", i, receipts[0].Duplicate, duplicates)
			}
		}
	}
	again(false)
	if n := len(s.days.all()); n < events/each-1 || n > events/each+1 {
		t.Errorf("%d claims are in %d buckets of about %d", events, n, each)
	}
	again(true)
	for _, filled := range []bool{false, true} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open()
		if filled {
			s.wg.Add(1)
			s.fillFilters(s.days.all())
		}
		before := len(s.days.all())
		again(true)
		enqueue(t, s, fmt.Sprint("more", filled), each+1, 10)
		if n := len(s.days.all()); filled && n <= before {
			t.Errorf("%d buckets, of which the last is full, and no new one", n)
		}
	}
	clock.Advance(50 * time.Hour)
	again(false)
	for range 2 * events / each {
		if err := s.dropClaims(t.Context(), clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range s.days.all() {
		if d.day>>bucketBits != dayOf(clock.Now().UnixNano()) {
			t.Errorf("bucket %d is still there", d.day)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestClaimsOfEarlierVersions opens a store whose claims are in one bucket for a day, with the day's number.
func TestClaimsOfEarlierVersions(t *testing.T) {
	dir, clock := t.TempDir(), queuetest.NewClock()
	s := openSmall(t, dir, clock)
	until := clock.Now().Add(72 * time.Hour).UnixNano()
	old := dayOf(clock.Now().UnixNano())
	o := &op{done: make(chan error, 1)}
	e := encoder{}
	e.int(roundUntil(until))
	o.put(dayKey(old), e.b)
	for i := range 10 {
		o.put(claimKey(old, claimHash("src", fmt.Sprint("e", i))), encodeClaim(uint64(i+1), until))
	}
	s.applier.push(o)
	if err := <-o.done; err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openSmall(t, dir, clock)
	for i := range 20 {
		receipts, err := s.Enqueue(t.Context(), []queue.NewEvent{newEvent(fmt.Sprint("e", i), 10, clock.Now(), app)})
		if err != nil {
			t.Fatal(err)
		}
		if want := i < 10; receipts[0].Duplicate != want || want && receipts[0].ID != queue.ID(i+1) {
			t.Errorf("event %d: %+v", i, receipts[0])
		}
	}
	clock.Advance((72 + 24 + 2) * time.Hour) // they end, a day passes, and ends are rounded up
	for range 3 {
		if err := s.dropClaims(t.Context(), clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if left := s.days.all(); len(left) != 0 {
		t.Errorf("%d buckets are still there", len(left))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
