package badgerstore

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// wrongClock may also go back.
type wrongClock struct{ now time.Time }

func (c *wrongClock) Now() time.Time { return c.now }

// An event that came while the clock was ahead holds up nobody's pruning.
func TestPruneAfterTheClockWasAhead(t *testing.T) {
	const day, keep = 24 * time.Hour, 7 * 24 * time.Hour
	clock := &wrongClock{time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)}
	o, disk := small(), newFakeDisk()
	o.Clock, o.manual, o.diskSpace = clock.Now, true, disk.space
	s, err := Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	clock.now = clock.now.Add(365 * day)
	enqueue(t, s, "ahead", 1, 100)
	settleAll(t, s, queue.StateDelivered)
	clock.now = clock.now.Add(-365 * day)
	for i := range 30 {
		enqueue(t, s, fmt.Sprint("day ", i, " "), 10, 100)
		settleAll(t, s, queue.StateDelivered)
		clock.now = clock.now.Add(day)
		maintain(t, s, queue.Retention{Delivered: keep, Dead: keep})
	}
	stats, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if stats.Events != 7*10+1 {
		t.Errorf("%d events are left of 30 days with 10 each and one that was ahead, want those of 7 days and that one", stats.Events)
	}
	disk.fill(t, s, s.disk.reserve.Load()-1)
	maintain(t, s, queue.Retention{Delivered: keep, Dead: keep})
	if stats, err = s.Stats(t.Context()); err != nil || stats.Events != 0 {
		t.Errorf("where room is short, %d events are left (%v), want none", stats.Events, err)
	}
}

// The path of a store may have letters that mean something in a pattern.
func TestPathThatLooksLikeAPattern(t *testing.T) {
	clock := &wrongClock{time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)}
	o := small()
	o.Clock, o.manual = clock.Now, true
	in := func(name string) string {
		dir := t.TempDir() + "/[a]*?" + name
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	s, err := Open(in("one"), o)
	if err != nil {
		t.Fatal(err)
	}
	ids := enqueue(t, s, "a", 50, 600)
	killed := in("killed") // with events that are in the journal only
	if err := os.CopyFS(killed, os.DirFS(s.Dir())); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	dir := s.Dir()
	for _, d := range []string{dir, killed} {
		report, err := CheckDir(t.Context(), d, o)
		if err != nil || report.Damage != 0 {
			t.Errorf("check: %v, %+v", err, report)
		}
		salvaged, err := Salvage(t.Context(), d, d+" new", nil, o)
		if err != nil || salvaged.Events != uint64(len(ids)) {
			t.Errorf("salvage: %v, %+v, want %d events", err, salvaged, len(ids))
		}
		if s, err = Open(d, o); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if _, err := s.Event(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, s)
	}
}

// A claim that was made while the clock was ahead swallows nothing that comes afterwards.
func TestDedupAfterTheClockWasAhead(t *testing.T) {
	const ahead = 10 * 24 * time.Hour
	for name, then := range map[string]func(*testing.T, *Store) *Store{
		"in memory": func(_ *testing.T, s *Store) *Store { return s },
		"on disk": func(t *testing.T, s *Store) *Store {
			mustClose(t, s)
			reopened, err := Open(s.Dir(), s.o)
			if err != nil {
				t.Fatal(err)
			}
			return reopened
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, clock := openWithClock(t)
			post := func(window time.Duration, want bool) {
				t.Helper()
				ev := newEvent("same", 10, clock.now, app)
				ev.DedupWindow = window
				receipts, err := s.Enqueue(t.Context(), []queue.NewEvent{ev})
				if err != nil {
					t.Fatal(err)
				}
				if receipts[0].Duplicate != want {
					t.Errorf("at %s: duplicate %t, want %t", clock.now, receipts[0].Duplicate, want)
				}
				s = then(t, s)
			}
			clock.now = clock.now.Add(ahead)
			post(5*time.Minute, false)
			clock.now = clock.now.Add(-ahead)
			for range 3 {
				post(5*time.Minute, false)
				clock.now = clock.now.Add(time.Minute)
				post(5*time.Minute, true)
				clock.now = clock.now.Add(time.Hour)
			}
			post(72*time.Hour, false)
			clock.now = clock.now.Add(time.Hour)
			post(5*time.Minute, true) // what was claimed for longer stays claimed
			mustClose(t, s)
		})
	}
}

// openWithClock opens a new store whose clock the test sets.
func openWithClock(t *testing.T) (*Store, *wrongClock) {
	t.Helper()
	clock := &wrongClock{time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)}
	o := small()
	o.Clock, o.manual = clock.Now, true
	s, err := Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s, clock
}

// What was scheduled while the clock was ahead waits for as long as it was to wait.
func TestScheduleAfterTheClockWasAhead(t *testing.T) {
	for name, reopen := range map[string]bool{"open": false, "reopened": true} {
		t.Run(name, func(t *testing.T) { scheduleAfterTheClockWasAhead(t, reopen) })
	}
}

func scheduleAfterTheClockWasAhead(t *testing.T, reopen bool) {
	const ahead, wait = 10 * 24 * time.Hour, 30 * time.Second
	s, clock := openWithClock(t)
	in := func(after time.Duration) func(int, *queue.NewEvent) {
		return func(_ int, ev *queue.NewEvent) { ev.Deliveries[0].NotBefore = clock.now.Add(after) }
	}
	ordered := func(_ int, ev *queue.NewEvent) { ev.Deliveries[0].OrderKey = "k" }
	claim := func() (ids []queue.ID, next time.Time) {
		t.Helper()
		claimed, next, err := s.Claim(t.Context(), queue.ClaimRequest{Destination: app, Limit: 10, Now: clock.now, Lease: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range claimed {
			ids = append(ids, c.Event.ID)
		}
		return ids, next
	}
	right := enqueueMany(t, s, "right", clockStep+100, in(2*ahead), app)
	due := clock.now.Add(2 * ahead)
	clock.now = clock.now.Add(ahead)
	want := enqueueMany(t, s, "later", 1, in(wait), app)
	for _, edit := range []func(int, *queue.NewEvent){nil, ordered} {
		want = append(want, enqueueMany(t, s, "retry", 1, edit, app)...)
		settleOne(t, s, queue.Settlement{
			State: queue.StatePending, Due: clock.now.Add(wait),
			Attempt: &queue.Attempt{At: clock.now.Add(-time.Second), Duration: time.Second, Status: 500},
		})
	}
	clock.now = clock.now.Add(-ahead)
	if reopen {
		mustClose(t, s)
		var err error
		if s, err = Open(s.Dir(), s.o); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { mustClose(t, s) }()
	latest := s.latest.Load()
	maintain(t, s, queue.Retention{})
	s.noteTime(latest) // as after a crash that came before it was known that all is moved
	maintain(t, s, queue.Retention{})
	wantSound(t, s)
	if ids, next := claim(); len(ids) != 0 || next.Sub(clock.now) != wait {
		t.Errorf("%v are due, the next ones in %s; want them in %s", ids, next.Sub(clock.now), wait)
	}
	clock.now = clock.now.Add(wait)
	if ids, _ := claim(); fmt.Sprint(ids) != fmt.Sprint(want) {
		t.Errorf("%v are due, want %v", ids, want)
	}
	for _, id := range []queue.ID{right[0], right[len(right)-1]} {
		rows, err := s.Deliveries(t.Context(), id)
		if err != nil || len(rows) != 1 || !rows[0].Due.Equal(due) {
			t.Errorf("what a right clock has scheduled: %+v %v, want %s", rows, err, due)
		}
	}
}

// What only the journal has of a clock that was ahead is scheduled anew too, and so is what has a place within its order key.
func TestNewDeliveriesAfterTheClockWasAhead(t *testing.T) {
	const ahead = 10 * 24 * time.Hour
	for name, edit := range map[string]func(*queue.NewDelivery, time.Time){
		"later":  func(d *queue.NewDelivery, now time.Time) { d.NotBefore = now.Add(30 * time.Second) },
		"placed": func(d *queue.NewDelivery, now time.Time) { d.OrderKey, d.OrderAt = "k", now.Add(-time.Hour) },
	} {
		for _, applied := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, applied %t", name, applied), func(t *testing.T) {
				s, clock := openWithClock(t)
				a := stopApplier(t, s)
				clock.now = clock.now.Add(ahead)
				enqueueMany(t, s, "e", 1, func(_ int, ev *queue.NewEvent) { edit(&ev.Deliveries[0], clock.now) }, app)
				if applied {
					a.applyBatch(a.queue)
				}
				clock.now = clock.now.Add(-ahead)
				var err error
				if s, err = Open(image(t, s.Dir()), s.o); err != nil {
					t.Fatal(err)
				}
				defer mustClose(t, s)
				maintain(t, s, queue.Retention{})
				wantSound(t, s)
				clock.now = clock.now.Add(30 * time.Second)
				if n := settleAt(t, s, []string{app}, queue.Settlement{State: queue.StateDelivered}); n != 1 {
					t.Errorf("%d deliveries are due, want 1", n)
				}
			})
		}
	}
}

// The time in which retries start does not begin in the future.
func TestFirstTryOfAClockThatWasAhead(t *testing.T) {
	now := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	clock := &wrongClock{now}
	o := small()
	o.Clock, o.manual = clock.Now, true
	s, err := Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	id := enqueueMany(t, s, "e", 1, nil, app)[0]
	for _, try := range []struct{ at, want time.Time }{
		{now.Add(24 * time.Hour), now.Add(24 * time.Hour)}, {now, now}, {now.Add(time.Hour), now},
	} {
		clock.now = try.at
		settleOne(t, s, queue.Settlement{State: queue.StatePending, Attempt: &queue.Attempt{At: clock.now, Status: 500}})
		rows, err := s.Deliveries(t.Context(), id)
		if err != nil || !rows[0].FirstTry.Equal(try.want) {
			t.Errorf("after an attempt at %s: %+v %v, want %s", try.at, rows, err, try.want)
		}
	}
}
