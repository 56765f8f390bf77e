package badgerstore

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// rowsOf counts the rows of some tables.
func rowsOf(t *testing.T, s *Store, tables string) (n int) {
	t.Helper()
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	for _, table := range []byte(tables) {
		sn.scan([]byte{table}, []byte{table}, func([]byte, *badger.Item) bool { n++; return true })
	}
	return n
}

// eventTables have nothing but what belongs to an event.
const eventTables = "EQRKHAPDS"

// settleAt settles all deliveries that are due at some destinations, and returns how many there were.
func settleAt(t *testing.T, s *Store, destinations []string, as queue.Settlement) (n int) {
	t.Helper()
	for _, d := range destinations {
		claimed, _, err := s.Claim(t.Context(), queue.ClaimRequest{Destination: d, Limit: 1000, Now: s.clock(), Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range claimed {
			as.Lease = c.Lease
			if lost, err := s.Settle(t.Context(), []queue.Settlement{as}); err != nil || lost[0] != nil {
				t.Fatal(err, lost)
			}
			n++
		}
	}
	return n
}

// moreThanFits fails the test if so many rows fit one transaction: then it is about nothing.
func moreThanFits(t *testing.T, s *Store, rows int) {
	t.Helper()
	if int64(rows) <= s.db.MaxBatchCount() {
		t.Fatalf("%d rows fit into one transaction, which takes %d", rows, s.db.MaxBatchCount())
	}
}

func TestPruneWhatDoesNotFitATransaction(t *testing.T) {
	t.Parallel()
	const keep = time.Hour
	failed := queue.Attempt{Status: 500, Class: "status", Error: strings.Repeat("e", 100)}
	for name, test := range map[string]struct{ events, destinations, attempts int }{
		"attempts":            {30, 1, 60},
		"attempts of one":     {1, 1, 2000},
		"destinations":        {90, 20, 1},
		"destinations of one": {1, manyDestinations, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := queuetest.NewClock()
			s := openManual(t, t.TempDir(), clock)
			defer mustClose(t, s)
			names := wide(test.destinations)
			moreThanFits(t, s, test.events*test.destinations*test.attempts)
			enqueueMany(t, s, "e", test.events, nil, names...)
			for i := range test.attempts {
				a := failed
				a.At = clock.Now()
				as := queue.Settlement{State: queue.StatePending, Due: clock.Now().Add(time.Second), Attempt: &a}
				if i == test.attempts-1 {
					as.State, as.Due = queue.StateDead, time.Time{}
				}
				if n := settleAt(t, s, names, as); n != test.events*test.destinations {
					t.Fatalf("%d deliveries are due at attempt %d", n, i)
				}
				clock.Advance(time.Second)
			}
			clock.Advance(2 * keep)
			if n := maintain(t, s, queue.Retention{Delivered: keep, Dead: keep}); n != test.events {
				t.Errorf("%d events are pruned, want %d", n, test.events)
			}
			if n := rowsOf(t, s, eventTables); n != 0 {
				t.Errorf("%d rows are left", n)
			}
			wantSound(t, s)
		})
	}
}

func TestDeleteWhatDoesNotFitATransaction(t *testing.T) {
	t.Parallel()
	const many = 2500
	clock := queuetest.NewClock()
	s := openManual(t, t.TempDir(), clock)
	defer mustClose(t, s)
	moreThanFits(t, s, many)
	apply := func(o *op) {
		t.Helper()
		if err := s.applier.pushAll([]*op{o}); err != nil {
			t.Fatal(err)
		}
	}
	empty := func(tables string) {
		t.Helper()
		if n := rowsOf(t, s, tables); n != 0 {
			t.Errorf("%d rows are left in %s", n, tables)
		}
	}
	t.Run("claims", func(t *testing.T) {
		const events = many * claimsOnPage
		s.buckets.most = events
		enqueueMany(t, s, "claim", events, func(_ int, ev *queue.NewEvent) { ev.DedupKey = ev.EventID })
		enqueue(t, s, "next", 1, 10)
		sealAll(t, s)
		if n := rowsOf(t, s, "C"); n < many {
			t.Fatalf("%d rows of pages", n)
		}
		clock.Advance(72 * time.Hour)
		for range 2 {
			maintain(t, s, queue.Retention{})
		}
		empty("CL")
	})
	t.Run("rows of zones of an older version", func(t *testing.T) {
		o := &op{apart: true}
		for i := range many {
			o.put(zoneKey(uint64(i)), (&zone{}).encode())
		}
		apply(o)
		s.zones.ready.Store(false)
		for b := (&zoneBuilder{s: s}); !s.zones.ready.Load(); {
			if err := b.clear(); err != nil {
				t.Fatal(err)
			}
		}
		empty("Z")
	})
	t.Run("rows of zones that are over", func(t *testing.T) {
		o := &op{apart: true}
		for i := range uint64(many / zoneParts) {
			newZoneDraft().put(o, i)
			o.put(zoneNoteKey(zoneAdded, i, 1), nil)
		}
		e := encoder{}
		e.fixed(many << zoneBits)
		o.put(keyPruner, e.b)
		apply(o)
		if err := s.dropZones(t.Context()); err != nil {
			t.Fatal(err)
		}
		empty("Z")
	})
	t.Run("events that came back", func(t *testing.T) {
		o := &op{apart: true}
		for i := range uint64(many) {
			o.put(eventKey(i), nil)
		}
		apply(o)
		if err := s.sweepEvents(t.Context()); err != nil {
			t.Fatal(err)
		}
		sn := s.snaps.get()
		defer s.snaps.put(sn)
		sn.scan([]byte{tabEvent}, eventKey(0), func(key []byte, _ *badger.Item) bool {
			if be.Uint64(key[1:]) < many {
				t.Errorf("event %d is still there", be.Uint64(key[1:]))
			}
			return false
		})
	})
}

// An event with many deliveries is pruned in steps; a crash after any of them leaves what can be gone on from.
func TestKilledInTheMiddleOfPruning(t *testing.T) {
	t.Parallel()
	const keep = time.Hour
	clock, names := queuetest.NewClock(), wide(200)
	for _, state := range []queue.State{queue.StateDead, queue.StateDelivered} {
		dir := t.TempDir()
		s := openManual(t, dir, clock)
		enqueueMany(t, s, "e", 1, nil, names...)
		for i, as := range []queue.Settlement{{State: queue.StatePending}, {State: state}} {
			as.Attempt = &queue.Attempt{At: clock.Now(), Status: 500 + i, Class: "status"}
			if n := settleAt(t, s, names, as); n != len(names) {
				t.Fatalf("%d deliveries", n)
			}
		}
		mustClose(t, s)
		clock.Advance(2 * keep)
		for steps := 0; ; steps++ {
			s := openManual(t, image(t, dir), clock)
			if err := s.loadPruner(); err != nil {
				t.Fatal(err)
			}
			sn := s.snaps.get()
			x, err := s.examine(sn, sn.seq, clock.Now(), queue.Retention{Delivered: keep, Dead: keep})
			if err != nil || x.verdict != expired {
				t.Fatal(err, x.verdict)
			}
			ops := s.pruneOne(sn, &x, true)
			s.snaps.put(sn)
			if len(ops) < 4 {
				t.Fatalf("%d steps", len(ops))
			}
			if err := s.applier.pushAll(ops[:min(steps, len(ops))]); err != nil {
				t.Fatal(err)
			}
			mustClose(t, s)
			s = openManual(t, s.Dir(), clock)
			maintain(t, s, queue.Retention{Delivered: keep, Dead: keep})
			if n := rowsOf(t, s, eventTables); n != 0 {
				t.Errorf("%s, killed after %d of %d steps: %d rows are left", state, steps, len(ops), n)
			}
			wantSound(t, s)
			mustClose(t, s)
			if steps == len(ops) {
				break
			}
		}
	}
}

// A name that is too long for a key of the database is refused before anything is promised.
func TestNamesThatAreTooLong(t *testing.T) {
	t.Parallel()
	s := openManual(t, t.TempDir(), queuetest.NewClock())
	defer mustClose(t, s)
	long := strings.Repeat("n", maxName+1)
	source, destination := newEvent("a", 10, s.clock(), app), newEvent("b", 10, s.clock(), long)
	source.Source = long
	for _, ev := range []queue.NewEvent{source, destination} {
		if _, err := s.Enqueue(t.Context(), []queue.NewEvent{ev}); err == nil {
			t.Errorf("%s is accepted", ev.EventID)
		}
	}
	if n := rowsOf(t, s, eventTables); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestSalvageOfManyAttempts(t *testing.T) {
	t.Parallel()
	const attempts = 400
	clock := queuetest.NewClock()
	s := openManual(t, t.TempDir(), clock)
	id := enqueueMany(t, s, "e", 1, nil, app)[0]
	for range attempts {
		a := queue.Attempt{At: clock.Now(), Status: 500, Class: "status", Response: bodyOf("response", 400)}
		settleOne(t, s, queue.Settlement{State: queue.StatePending, Due: clock.Now().Add(time.Second), Attempt: &a})
		clock.Advance(time.Second)
	}
	if size := attempts * int64(400); size < s.db.MaxBatchSize() {
		t.Fatalf("%d bytes fit into one transaction", size)
	}
	mustClose(t, s)
	o := small()
	o.Clock, o.manual = clock.Now, true
	dir := filepath.Join(t.TempDir(), "salvaged")
	if r, err := Salvage(t.Context(), s.Dir(), dir, nil, o); err != nil || r.Events != 1 {
		t.Fatalf("%v, %+v", err, r)
	}
	s = openManual(t, dir, clock)
	defer mustClose(t, s)
	if rows, err := s.Attempts(t.Context(), id, app); err != nil || len(rows) != attempts {
		t.Errorf("%d attempts (%v), want %d", len(rows), err, attempts)
	}
	wantSound(t, s)
}

// What a transaction takes is computed from the largest that rows become.
func TestRowsAreNotLargerThanTheyMayBe(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("n", maxName)
	lowest, highest := int64(math.MinInt64), uint64(math.MaxUint64)
	lane := laneRow{name, counts{lowest, lowest, lowest, lowest, lowest}, highest, lowest, highest}
	full := block{since: lowest}
	for i := range uint64(64) {
		full.add(i, highest, lowest, lowest)
	}
	applied := encoder{}
	applied.fixed(highest)
	applied.fixed(highest)
	applied.int(lowest)
	applied.byte(255)
	applied.int(lowest)
	e := entry{due: lowest, seq: highest, hash: highest, at: lowest, once: true}
	src := sourceRow{highest, lowest}
	for what, row := range map[string]struct {
		key, value []byte
		want       cost
	}{
		"destination": {destKey(1), lane.encode(), laneCost(name)},
		"source":      {sourceKey(name), src.encode(), sourceCost(name)},
		"block":       {fifoKey(1, 1), full.encode(), blockCost(&full)},
		"empty block": {fifoKey(1, 1), (&block{since: lowest}).encode(), blockCost(&block{})},
		"schedule":    {scheduledKey(1, lowest, highest), scheduledValue(e), rowOf(smallRowMost)},
		"open":        {openKey(1, 1), nil, rowOf(smallRowMost)},
		"claim":       {claimKey(1, [16]byte{}), encodeClaim(highest, lowest), rowOf(smallRowMost)},
		"applied":     {keyApplied, applied.b, rowOf(smallRowMost)},
	} {
		if got := rowOf(len(row.key) + len(seal(row.key, row.value))); got.bytes > row.want.bytes {
			t.Errorf("%s: %+v, and %+v is expected", what, got, row.want)
		}
	}
}
