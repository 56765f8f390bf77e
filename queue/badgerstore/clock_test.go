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
