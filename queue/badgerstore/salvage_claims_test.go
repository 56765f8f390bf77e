package badgerstore

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// TestSalvageOfManyBuckets wants each claim once in the new store, those of history too, whichever buckets they were in.
func TestSalvageOfManyBuckets(t *testing.T) {
	const each, old, events = 100, 150, 250
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "new")
	s := openBuckets(t, dir, each)
	enqueue(t, s, "old", old, 10)
	if got := settleAll(t, s, queue.StateDelivered); got != old {
		t.Fatalf("%d settled", got)
	}
	now := s.clock().Add(2 * time.Hour)
	if n, err := s.Maintain(t.Context(), now, queue.Retention{Delivered: time.Hour}); err != nil || n != old {
		t.Fatalf("%d pruned, %v", n, err)
	}
	fillBuckets(t, s, "e", events)
	if n := len(s.buckets.all()); n < 3 {
		t.Fatalf("%d buckets", n)
	}
	clock := s.o.Clock
	mustClose(t, s)

	o := small()
	o.Clock = clock
	report, err := Salvage(t.Context(), dir, to, nil, o)
	if err != nil || report.Events != events || report.Claims != old+events {
		t.Fatalf("%+v, %v", report, err)
	}
	s, err = Open(to, o)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	check, err := s.Check(t.Context())
	if err != nil || len(check.Findings) > 0 || check.Claims != old+events {
		t.Errorf("%d claims in the new store, want %d; %+v, %v", check.Claims, old+events, check.Findings, err)
	}
	expectDuplicates(t, s, "old", old, true)
	expectDuplicates(t, s, "e", events, true)
	expectDuplicates(t, s, "new", 5, false)
}

// TestSalvagedClaimsFillBuckets wants the claims of events in buckets of the usual size, the newest one of a day that is not the first too.
func TestSalvagedClaimsFillBuckets(t *testing.T) {
	const each, days = 100, 2
	dir, clock := t.TempDir(), queuetest.NewClock()
	o := small()
	o.Clock = clock.Now
	if err := o.setDefaults(); err != nil {
		t.Fatal(err)
	}
	lock, err := claimDir(t.Context(), dir, &o)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.release(false)
	c, err := newCarrier(dir, lock, o, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.s.buckets.most = each
	seq := uint64(1000)
	for day := range days {
		for i := range 2*each + 50 {
			n := newEvent(fmt.Sprint("e", day, " ", i), 10, clock.Now(), app)
			at := clock.Now().Add(time.Duration(day) * 24 * time.Hour)
			rec := encodeEvent(nil, &n, at.UnixNano(), dedupClaim{hash: claimHash(n.Source, n.DedupKey), until: at.Add(time.Hour).UnixNano()})
			sealEvent(rec, seq)
			if _, err := c.event(seq, rec, nil); err != nil {
				t.Fatal(err)
			}
			seq++
		}
	}
	today := firstBucket(dayOf(clock.Now().UnixNano()))
	tomorrow := today + 1<<bucketBits
	got := slices.Sorted(maps.Keys(c.a.state.buckets))
	if want := []uint32{today, today + 1, today + 2, tomorrow, tomorrow + 1, tomorrow + 2}; !slices.Equal(got, want) {
		t.Errorf("claims are in buckets %v, want %v", got, want)
	}
	if err := c.finish(seq); err != nil {
		t.Fatal(err)
	}
}
