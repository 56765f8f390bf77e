package badgerstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// TestFiltersOverRestarts ends a store with several buckets of claims in several ways and looks which filters are taken from their rows when it is opened again: those, and
// only those, that have all claims of their bucket. Whichever way, events from before are duplicates and others are not.
func TestFiltersOverRestarts(t *testing.T) {
	const each, events = 100, 450
	for _, c := range []struct {
		name  string
		end   func(t *testing.T, s *Store, dir string) (next string) // the directory to open
		more  int                                                    // events that end has stored
		taken bool                                                   // the filters of all buckets but the newest are good; that has none
	}{
		{"closed", func(t *testing.T, s *Store, dir string) string { mustClose(t, s); return dir }, 0, true},
		{"killed", func(t *testing.T, _ *Store, dir string) string { return copyDir(t, dir) }, 0, false},
		{"killed after maintenance", func(t *testing.T, s *Store, dir string) string {
			maintain(t, s, queue.Retention{})
			return copyDir(t, dir)
		}, 0, true},
		{"killed after one more event", func(t *testing.T, s *Store, dir string) string {
			mustClose(t, s)
			s = openBuckets(t, dir, each)
			defer mustClose(t, s)
			enqueue(t, s, "more", 1, 10)
			return copyDir(t, dir)
		}, 1, true},
		{"killed without one more event", func(t *testing.T, s *Store, dir string) string {
			mustClose(t, s)
			s = openBuckets(t, dir, each)
			defer mustClose(t, s)
			return copyDir(t, dir)
		}, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openBuckets(t, dir, each)
			first := s
			fillBuckets(t, s, "e", events)
			if err := s.flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			s = openBuckets(t, c.end(t, s, dir), each)
			buckets, seq := s.buckets.all(), s.applier.appliedSeq()
			if len(buckets) < 3 {
				t.Fatalf("%d buckets, want several", len(buckets))
			}
			for i, b := range buckets {
				if newest := i == 0; (b.log != nil) != newest || (b.pages == 0) != newest {
					t.Fatalf("bucket %d of %d: %+v", i, len(buckets), b)
				}
				if i == 0 {
					continue
				}
				if got := s.loadFilter(b, seq); got != c.taken {
					t.Errorf("bucket %d of %d: its filter is taken: %t, want %t", i, len(buckets), got, c.taken)
				}
			}
			for _, filled := range []bool{false, true} {
				if filled {
					s.wg.Add(1)
					s.fillFilters(buckets, seq)
				}
				expectDuplicates(t, s, "e", events, true)
				expectDuplicates(t, s, "more", c.more, true)
				expectDuplicates(t, s, fmt.Sprint("new", filled), 5, false)
			}
			mustClose(t, s)
			mustClose(t, first)
		})
	}
}

// openBuckets opens a store whose buckets are to have a number of claims.
func openBuckets(t testing.TB, dir string, claims int64) *Store {
	t.Helper()
	s := openSmall(t, dir, queuetest.NewClock())
	s.buckets.most = claims
	return s
}

func expectDuplicates(t testing.TB, s *Store, prefix string, n int, want bool) {
	t.Helper()
	for i := range n {
		receipts, err := s.Enqueue(t.Context(), []queue.NewEvent{newEvent(fmt.Sprint(prefix, i), 10, s.clock(), app)})
		if err != nil {
			t.Fatal(err)
		}
		if receipts[0].Duplicate != want {
			t.Fatalf("event %s%d is a duplicate: %t, want %t", prefix, i, receipts[0].Duplicate, want)
		}
	}
}

// TestDamagedFilters breaks the rows of a filter: it is made anew.
func TestDamagedFilters(t *testing.T) {
	const each, events = 100, 150
	other := encodeBits(1, make([]uint64, firstFilter/8))
	for name, change := range map[string]func(o *op, bucket uint32){
		"bits are missing":            func(o *op, bucket uint32) { o.del(filterBitsKey(bucket, 0)) },
		"bits are of another time":    func(o *op, bucket uint32) { o.put(filterBitsKey(bucket, 0), other) },
		"bits are broken":             func(o *op, bucket uint32) { o.muts = append(o.muts, mut{filterBitsKey(bucket, 0), other}) },
		"what describes it is broken": func(o *op, bucket uint32) { o.put(filterPrefix(bucket), []byte{1, 2, 3}) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openBuckets(t, dir, each)
			fillBuckets(t, s, "e", events)
			mustClose(t, s)
			s = openBuckets(t, dir, each)
			sealed, seq := s.buckets.all()[1], s.applier.appliedSeq()
			o := &op{}
			change(o, sealed.number)
			if err := s.apply(o); err != nil {
				t.Fatal(err)
			}
			if s.loadFilter(sealed, seq) {
				t.Error("the filter is taken")
			}
			crashed := openBuckets(t, copyDir(t, dir), each)
			crashed.wg.Add(1)
			crashed.fillFilters(crashed.buckets.all(), seq)
			expectDuplicates(t, crashed, "e", events, true)
			expectDuplicates(t, crashed, "new", 5, false)
			mustClose(t, crashed)
			mustClose(t, s)
		})
	}
}

// TestFinalBuckets holds that a bucket whose filter is final gets no more claims, whatever the clock says, and that claims which only the journal has go elsewhere.
func TestFinalBuckets(t *testing.T) {
	dir, clock := t.TempDir(), queuetest.NewClock()
	s := openSmall(t, dir, clock)
	enqueueMany(t, s, "today", 10, func(_ int, ev *queue.NewEvent) { ev.DedupKey, ev.DedupWindow = ev.EventID, 72*time.Hour }, app)
	today := s.buckets.all()[0].number
	clock.Advance(24 * time.Hour)
	enqueue(t, s, "tomorrow", 10, 10)
	newest := s.buckets.all()[0].number
	sealAll(t, s)
	maintain(t, s, queue.Retention{})
	if got := s.buckets.bucketFor(today >> bucketBits); got != newest {
		t.Errorf("claims of the day before go to bucket %d, want the newest one, %d", got, newest)
	}
	for _, c := range []struct {
		buckets map[uint32]bucketRow
		want    uint32
	}{{nil, 0}, {map[uint32]bucketRow{today: {form: formPages, pages: 1}}, today + 1}, {map[uint32]bucketRow{today: {form: formPages, pages: 1}, newest: {form: formLog}}, newest}} {
		got, err := (&applier{s: s, state: appliedState{buckets: c.buckets, kept: keptFilters}}).replayBucket()
		if err != nil || got != c.want {
			t.Errorf("claims of the journal go to bucket %d beside %v, %v, want %d", got, c.buckets, err, c.want)
		}
	}
	o := &op{endBucket: newest, done: make(chan error, 1)}
	s.applier.push(o)
	if err := <-o.done; err != nil {
		t.Fatal(err)
	}
	s.buckets.remove(newest)
	for range 2 { // before a restart and right after it
		if got := s.buckets.bucketFor(today >> bucketBits); got != today+1 {
			t.Errorf("with a final bucket %d as the newest one, claims go to %d", today, got)
		}
		mustClose(t, s)
		s = openSmall(t, dir, clock)
	}
	mustClose(t, s)
}

// TestFiltersOfAnOlderVersion has claims in a bucket with a final filter, from a version that knows nothing of filters: the filter is not believed.
func TestFiltersOfAnOlderVersion(t *testing.T) {
	const events = 50
	dir, clock := t.TempDir(), queuetest.NewClock()
	s := openSmall(t, dir, clock)
	putOldClaims(t, s, firstBucket(dayOf(clock.Now().UnixNano())), "e", events)
	mustClose(t, s)
	s = openSmall(t, dir, clock)
	s.wg.Add(1)
	s.fillFilters(s.buckets.all(), s.applier.appliedSeq())
	mustClose(t, s) // its filter is written down
	s = openSmall(t, dir, clock)
	old := s.buckets.all()[0]
	if !s.loadFilter(old, s.applier.appliedSeq()) {
		t.Fatal("there is no filter")
	}
	s.applier.mu.Lock() // it is idle
	s.applier.state.kept &^= keptFilters
	s.applier.mu.Unlock()
	putOldClaims(t, s, old.number, "old", 1)
	mustClose(t, s)
	for _, believed := range []bool{false, true} {
		s = openSmall(t, dir, clock)
		buckets, seq := s.buckets.all(), s.applier.appliedSeq()
		if got := s.loadFilter(buckets[len(buckets)-1], seq); got != believed {
			t.Errorf("the filter is taken: %t, want %t", got, believed)
		}
		s.wg.Add(1)
		s.fillFilters(buckets, seq)
		expectDuplicates(t, s, "e", events, true)
		expectDuplicates(t, s, "old", 1, true)
		mustClose(t, s)
	}
}

// putOldClaims makes a bucket as earlier versions have it, with a row for each claim.
func putOldClaims(t testing.TB, s *Store, bucket uint32, prefix string, n int) {
	t.Helper()
	until := s.clock().Add(72 * time.Hour).UnixNano()
	o := &op{}
	o.put(bucketKey(bucket), bucketRow{until: roundUntil(until)}.encode())
	for i := range n {
		o.put(claimKey(bucket, claimHash("src", fmt.Sprint(prefix, i))), encodeClaim(uint64(i+1), until))
	}
	if err := s.apply(o); err != nil {
		t.Fatal(err)
	}
}
