package badgerstore

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
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
	enqueue(t, s, "e", events, 10)
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

// TestSalvagedClaimsFillBuckets wants the claims of events in buckets of the usual size.
func TestSalvagedClaimsFillBuckets(t *testing.T) {
	c := &carrier{}
	const first = 7 << bucketBits
	counts := map[uint32]int{}
	for range 2*bucketClaims + 5 {
		counts[c.bucketFor(first)]++
	}
	counts[c.bucketFor(first+1<<bucketBits)]++
	if len(counts) != 4 || counts[first] != bucketClaims || counts[first+1] != bucketClaims || counts[first+2] != 5 || counts[first+1<<bucketBits] != 1 {
		t.Errorf("claims by bucket: %v", counts)
	}
	c = &carrier{}
	for range 3 * filterLimit / bucketFilter * bucketClaims {
		c.bucketFor(first)
	}
	if most := uint32(bucketMemory / bucketFilter); c.bucket-first != most {
		t.Errorf("%d buckets after the first, want %d: there is no memory for more filters", c.bucket-first, most)
	}
}
