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
		s.buckets.most = each
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
			if _, behind := s.buckets.unsealed(); behind {
				sealAll(t, s)
			}
		}
	}
	again(false)
	if n := len(s.buckets.all()); n < events/each-1 || n > events/each+1 {
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
			s.fillFilters(s.buckets.all(), s.applier.appliedSeq())
		}
		before := len(s.buckets.all())
		again(true)
		fillBuckets(t, s, fmt.Sprint("more", filled), each+1)
		if n := len(s.buckets.all()); filled && n <= before {
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
	for _, d := range s.buckets.all() {
		if d.number>>bucketBits != dayOf(clock.Now().UnixNano()) {
			t.Errorf("bucket %d is still there", d.number)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBucketBesideALookUp has an event come into a new bucket while somebody looks in those that were there before: the look-up must not say that it knows of that event.
func TestBucketBesideALookUp(t *testing.T) {
	clock := queuetest.NewClock()
	s, err := openWith(t, t.TempDir(), clock, func(o *Options) { o.manual = true })
	if err != nil {
		t.Fatal(err)
	}
	s.buckets.most = 1
	first := enqueue(t, s, "early", 1, 10)[0]
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, asOf := s.buckets.all(), s.applier.appliedSeq()
	late := enqueue(t, s, "late", 1, 10)[0]
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.buckets.all()) != len(before)+1 {
		t.Fatalf("%d buckets after %d, want one more", len(s.buckets.all()), len(before))
	}
	look := func(id string) sighting {
		t.Helper()
		seen, err := s.lookUpIn(before, asOf, &pending{claim: dedupClaim{hash: claimHash("src", id)}}, clock.Now().UnixNano())
		if err != nil {
			t.Fatal(err)
		}
		return seen
	}
	if seen := look("late0"); seen.seq != 0 || seen.asOf >= uint64(late) {
		t.Errorf("%+v of an event %d that was not there", seen, late)
	}
	if seen := look("early0"); seen.seq != uint64(first) {
		t.Errorf("%+v, want %d", seen, first)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestClaimsOfEarlierVersions opens a store whose claims are in one bucket for a day, with the day's number.
func TestClaimsOfEarlierVersions(t *testing.T) {
	dir, clock := t.TempDir(), queuetest.NewClock()
	s := openSmall(t, dir, clock)
	putOldClaims(t, s, dayOf(clock.Now().UnixNano()), "e", 10)
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
	if left := s.buckets.all(); len(left) != 0 {
		t.Errorf("%d buckets are still there", len(left))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestClaimBucketsEndTheSameDay has a day with more claims than a bucket is to have, and a short window: what has ended does not stay until the day is over.
func TestClaimBucketsEndTheSameDay(t *testing.T) {
	const each, events = 100, 350
	clock := queuetest.NewClock()
	s := openSmall(t, t.TempDir(), clock)
	defer mustClose(t, s)
	s.buckets.most = each
	fillBuckets(t, s, "e", events)
	newest := s.buckets.all()[0].number
	drop := func() {
		t.Helper()
		for range events / each {
			if err := s.dropClaims(t.Context(), clock.Now()); err != nil {
				t.Fatal(err)
			}
		}
	}
	clock.Advance(59 * time.Minute) // the window is an hour
	drop()
	expectDuplicates(t, s, "e", events, true)
	clock.Advance(122 * time.Minute)
	drop()
	if left := s.buckets.all(); len(left) != 1 || left[0].number != newest {
		t.Errorf("%d buckets are left, want the newest one", len(left))
	}
	expectDuplicates(t, s, "e", events, false)
	expectDuplicates(t, s, "e", events, true)
	wantSound(t, s)
}
