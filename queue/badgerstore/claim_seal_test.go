package badgerstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// claimEvents enqueues events with claims, many at a time.
func claimEvents(t testing.TB, s *Store, prefix string, n int) {
	t.Helper()
	enqueueMany(t, s, prefix, n, func(_ int, ev *queue.NewEvent) { ev.DedupKey, ev.DedupWindow = ev.EventID, 72*time.Hour })
}

// expectClaims looks whether events are duplicates, many at a time.
func expectClaims(t testing.TB, s *Store, prefix string, n int, want bool) {
	t.Helper()
	for from := 0; from < n; from += 500 {
		var events []queue.NewEvent
		for i := from; i < min(n, from+500); i++ {
			ev := newEvent(fmt.Sprint(prefix, i), 10, s.clock())
			ev.DedupWindow = 72 * time.Hour
			events = append(events, ev)
		}
		receipts, err := s.Enqueue(t.Context(), events)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range receipts {
			if r.Duplicate != want {
				t.Fatalf("event %s%d is a duplicate: %t, want %t", prefix, from+i, r.Duplicate, want)
			}
		}
	}
}

// TestSealingCutShort crashes at each operation of the sorting of a bucket. Whatever is there then, the claims of all events are known after it, and a check finds nothing.
func TestSealingCutShort(t *testing.T) {
	t.Parallel()
	const events = 2*pagesInOp*claimsOnPage + 100 // three operations with pages, one with deletions
	clock, dir := queuetest.NewClock(), t.TempDir()
	open := func(dir string) *Store {
		s, err := openWith(t, dir, clock, func(o *Options) { o.manual, o.NoSync, o.MemTableSize = true, true, 16<<20 }) // no table is written while it is copied
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open(dir)
	s.buckets.most = events
	claimEvents(t, s, "e", events)
	claimEvents(t, s, "next", 10)
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, ok := s.buckets.unsealed()
	if !ok {
		t.Fatal("no bucket is to be sealed")
	}
	crash := errors.New("the machine crashes here")
	check := func(at int, crashed string) {
		t.Helper()
		s := open(crashed)
		defer mustClose(t, s)
		report, err := s.Check(t.Context())
		if err != nil || len(report.Findings) > 0 || report.Claims != events+10 {
			t.Errorf("crash at operation %d: %+v, %v", at, report, err)
		}
		for range 2 { // as the crash has left it, and sealed
			expectClaims(t, s, "e", events, true)
			expectClaims(t, s, "next", 10, true)
			sealAll(t, s)
			if err := s.dropSealedLogs(); err != nil {
				t.Fatal(err)
			}
		}
		expectClaims(t, s, fmt.Sprint("new", at), 10, false)
		if n := rowsOf(t, s, "L"); n != 2 { // of the newest bucket
			t.Errorf("%d rows of logs are left", n)
		}
	}
	ops := 0
	for ; ; ops++ {
		n := 0
		err := s.seal(b, func(o *op) error {
			if n == ops {
				return crash
			}
			n++
			return s.apply(o)
		})
		if err != nil && !errors.Is(err, crash) {
			t.Fatal(err)
		}
		check(ops, copyDir(t, dir))
		if n > 3 || err == nil {
			break // the log is gone, or about to go
		}
	}
	if ops < 3 {
		t.Errorf("sealing took %d operations", ops)
	}
	mustClose(t, s)
}

// TestDuplicatesWhileSealing asks for events of all buckets, those that are being sorted too: each is a duplicate at any moment.
func TestDuplicatesWhileSealing(t *testing.T) {
	t.Parallel()
	const each, events, askers = 300, 3000, 3
	s := openBuckets(t, t.TempDir(), each)
	defer mustClose(t, s)
	stored := make(chan int, events)
	var wg sync.WaitGroup
	for a := range uint64(askers) {
		wg.Go(func() {
			random, have := rand.New(rand.NewPCG(a, 0)), 0
			for n := range stored {
				have = max(have, n)
				id := fmt.Sprint("e", random.IntN(have))
				ev := newEvent(id, 10, s.clock(), app)
				receipts, err := s.Enqueue(t.Context(), []queue.NewEvent{ev})
				if err != nil || !receipts[0].Duplicate {
					t.Errorf("event %s of %d: %+v, %v", id, have, receipts, err)
				}
				if _, err := s.Original(t.Context(), ev.Source, ev.DedupKey); err != nil {
					t.Errorf("event %s of %d: %v", id, have, err)
				}
			}
		})
	}
	for i := range events {
		if _, err := s.Enqueue(t.Context(), []queue.NewEvent{newEvent(fmt.Sprint("e", i), 10, s.clock(), app)}); err != nil {
			t.Fatal(err)
		}
		stored <- i + 1
	}
	close(stored)
	wg.Wait()
	sealAll(t, s)
	if n := len(s.buckets.all()); n < 3 {
		t.Errorf("%d buckets", n)
	}
	expectDuplicates(t, s, "e", events, true)
	wantSound(t, s)
}

// TestClaimsWithoutMemory has claims come while there is no memory for another bucket: they have a row each, and are known before a restart and after.
func TestClaimsWithoutMemory(t *testing.T) {
	t.Parallel()
	const events = 50
	dir := t.TempDir()
	s := openBuckets(t, dir, 10)
	s.buckets.filters.Store(filterLimit)
	enqueue(t, s, "e", events, 10)
	expectDuplicates(t, s, "e", events, true)
	if logs, rows := rowsOf(t, s, "L"), rowsOf(t, s, "X"); logs != 0 || rows != events {
		t.Errorf("%d rows of logs and %d of their own, want %d", logs, rows, events)
	}
	s.buckets.filters.Store(0)
	mustClose(t, s)
	s = openBuckets(t, dir, 10)
	defer mustClose(t, s)
	expectDuplicates(t, s, "e", events, true)
	enqueue(t, s, "more", events, 10)
	expectDuplicates(t, s, "more", events, true)
	if n := rowsOf(t, s, "X"); n != events {
		t.Errorf("%d rows, want %d: there is memory again", n, events)
	}
	wantSound(t, s)
}

// TestLogRowsAreFilled has one event after the other, each in a transaction of its own: their claims share rows.
func TestLogRowsAreFilled(t *testing.T) {
	t.Parallel()
	const events = 2*claimsInRow + 1
	dir, clock := t.TempDir(), queuetest.NewClock()
	s := openManual(t, dir, clock)
	for i := range events {
		enqueue(t, s, fmt.Sprint("e", i, "-"), 1, 10)
		if err := s.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := rowsOf(t, s, "L"); n != 3 {
		t.Errorf("%d claims are in %d rows, want 3", events, n)
	}
	crashed := openManual(t, copyDir(t, dir), clock)
	enqueue(t, crashed, "new", 1, 10) // in a row of its own
	for i := range events {
		expectDuplicates(t, crashed, fmt.Sprint("e", i, "-"), 1, true)
	}
	expectDuplicates(t, crashed, "new", 1, true)
	mustClose(t, crashed)
	mustClose(t, s)
}

// TestPages sorts claims, of which many are on one page, and finds each.
func TestPages(t *testing.T) {
	t.Parallel()
	const bucket = 7
	s := openManual(t, t.TempDir(), queuetest.NewClock())
	defer mustClose(t, s)
	random := rand.New(rand.NewPCG(1, 1))
	var claims []loggedClaim
	for i := range uint64(5000) {
		c := loggedClaim{hash: randomHash(random), seq: random.Uint64N(1<<50) + 1, until: random.Int64()}
		if i < 3*claimsInRow {
			c.hash[0], c.hash[1] = 0, 0 // all on the first page
		}
		claims = append(claims, c)
	}
	older := claims[100]
	older.seq--
	sorted := sortClaims(append(slices.Clone(claims), older))
	if len(sorted) != len(claims) {
		t.Errorf("%d claims of %d, one of them twice", len(sorted), len(claims))
	}
	o := &op{apart: true}
	b := claimBucket{number: bucket, pages: 300}
	if err := eachPageRow(bucket, sorted, b.pages, func(key, value []byte) error { o.put(key, value); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, m := range o.muts {
		if len(m.value) >= 1<<10 { // what Options say
			t.Errorf("a row of %d bytes goes to the value log", len(m.value))
		}
	}
	if err := s.apply(o); err != nil {
		t.Fatal(err)
	}
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	for _, c := range claims {
		if got, err := sn.claim(&b, &c.hash); err != nil || got != c {
			t.Fatalf("%+v, %v, want %+v", got, err, c)
		}
		c.hash[15]++
		if got, err := sn.claim(&b, &c.hash); !errors.Is(err, queue.ErrNotFound) {
			t.Fatalf("%+v, %v of a claim that is not there", got, err)
		}
	}
}

// TestDamagedClaims breaks a row of a log and one of a page: their events count as new, the others are known, and a check says so.
func TestDamagedClaims(t *testing.T) {
	t.Parallel()
	const each = 4 * claimsInRow
	dir := t.TempDir()
	s := openBuckets(t, dir, each)
	fillBuckets(t, s, "paged", each)
	fillBuckets(t, s, "logged", each)
	newest, sealed := s.buckets.all()[0], s.buckets.all()[1]
	hash := claimHash("src", "paged0")
	o := &op{}
	for _, key := range [][]byte{claimLogKey(newest.number, 1), claimPageKey(sealed.number, pageOf(&hash, sealed.pages), 0)} {
		o.muts = append(o.muts, mut{key, []byte("not a row")})
	}
	if err := errors.Join(s.flush(t.Context()), s.apply(o)); err != nil { // not in one transaction: rows of logs are written at its end
		t.Fatal(err)
	}
	report, err := s.Check(t.Context())
	if err != nil || len(report.Findings) != 2 {
		t.Errorf("%+v, %v", report.Findings, err)
	}
	mustClose(t, s)
	s = openBuckets(t, dir, each)
	defer mustClose(t, s)
	again := func(prefix string) (duplicates int) {
		for i := range each {
			receipts, err := s.Enqueue(t.Context(), []queue.NewEvent{newEvent(fmt.Sprint(prefix, i), 10, s.clock(), app)})
			if err != nil {
				t.Fatal(err)
			}
			if receipts[0].Duplicate {
				duplicates++
			}
		}
		return duplicates
	}
	if n := again("logged"); n != each-claimsInRow {
		t.Errorf("%d of %d events of the log are known, want all but those of a row", n, each)
	}
	if n := again("paged"); n >= each || n < each/2 {
		t.Errorf("%d of %d events of the pages are known, want all but those of a page", n, each)
	}
}
