package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// manyDestinations take more rows than fit one transaction of a small store: two each, or three.
const manyDestinations = 900

// wide are the names of many destinations.
func wide(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("to", i)
	}
	return names
}

// An event may have more destinations than one transaction takes.
func TestManyDestinations(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*queue.NewDelivery){
		"at once": func(*queue.NewDelivery) {},
		"ordered": func(d *queue.NewDelivery) { d.OrderKey = "k" },
		"later":   func(d *queue.NewDelivery) { d.NotBefore = queuetest.NewClock().Now().Add(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := queuetest.NewClock()
			dir, names := t.TempDir(), wide(manyDestinations)
			s := openManual(t, dir, clock)
			moreThanFits(t, s, 2*len(names))
			for i := range 2 {
				ev := newEvent(fmt.Sprint("e", i), 2000, clock.Now(), names...)
				for i := range ev.Deliveries {
					edit(&ev.Deliveries[i])
				}
				if _, err := s.Enqueue(t.Context(), []queue.NewEvent{ev}); err != nil {
					t.Fatal(err)
				}
			}
			killed := image(t, dir) // with what is in the journal only
			wantSound(t, s)
			mustClose(t, s)
			for _, dir := range []string{dir, killed} {
				s := openManual(t, dir, clock)
				wantSound(t, s)
				mustClose(t, s)
			}
			salvaged := filepath.Join(t.TempDir(), "salvaged")
			o := small()
			o.Clock, o.manual = clock.Now, true
			if r, err := Salvage(t.Context(), killed, salvaged, nil, o); err != nil || r.Events != 2 {
				t.Fatalf("salvage: %v, %+v", err, r)
			}
			clock.Advance(2 * time.Minute)
			s = openManual(t, salvaged, clock)
			defer mustClose(t, s)
			n := 0
			for range 2 { // one at a time where they have an order
				n += settleAt(t, s, names, queue.Settlement{State: queue.StateDelivered})
			}
			if n != 2*len(names) {
				t.Errorf("%d deliveries, want %d", n, 2*len(names))
			}
			wantSound(t, s)
		})
	}
}

// halfApplied makes a store that was killed in the middle of writing an event to many destinations into the database, half of them for later.
func halfApplied(t *testing.T, clock *queuetest.Clock, names []string) (dir string) {
	t.Helper()
	s := openManual(t, t.TempDir(), clock)
	enqueue(t, s, "before", 1, 10)
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, parts := stopApplier(t, s), 0
	ev := newEvent("wide", 2000, clock.Now(), names...)
	for i := range ev.Deliveries {
		if i%2 == 0 {
			ev.Deliveries[i].NotBefore = clock.Now().Add(time.Minute)
		}
	}
	if _, err := s.Enqueue(t.Context(), []queue.NewEvent{ev}); err != nil {
		t.Fatal(err)
	}
	a.tx = a.begin()
	s.tail.mu.Lock()
	p := s.tail.pends[0]
	s.tail.mu.Unlock()
	for i := range p.deliveries {
		d := &p.deliveries[i]
		if !a.tx.takes(a.deliveryCost(p, d)) {
			parts++
		}
		if err := errors.Join(a.part(a.deliveryCost(p, d)), a.addDelivery(p, d)); err != nil {
			t.Fatal(err)
		}
	}
	a.tx.discard()
	if parts != 1 {
		t.Fatalf("%d parts are written", parts)
	}
	return image(t, s.Dir())
}

func TestKilledInTheMiddleOfManyDestinations(t *testing.T) {
	t.Parallel()
	clock, names := queuetest.NewClock(), wide(manyDestinations)
	dir := halfApplied(t, clock, names)
	s := openManual(t, dir, clock)
	defer mustClose(t, s)
	wantSound(t, s)
	clock.Advance(2 * time.Minute)
	if n := settleAt(t, s, append(names, app), queue.Settlement{State: queue.StateDelivered}); n != len(names)+1 {
		t.Errorf("%d deliveries, want %d", n, len(names)+1)
	}
	wantSound(t, s)
}

// Without durability the journal may have lost what the database has a part of: no other event gets its deliveries.
func TestHalfAnEventIsNoOtherEvents(t *testing.T) {
	t.Parallel()
	clock, names := queuetest.NewClock(), wide(manyDestinations)
	dir := halfApplied(t, clock, names)
	segments, err := filepath.Glob(filepath.Join(dir, "journal", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatal(err, segments)
	}
	for _, path := range segments {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt(make([]byte, 1<<20), segmentHeader)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		s := openManual(t, dir, clock)
		enqueue(t, s, fmt.Sprint("after", clock.Now()), 1, 10)
		clock.Advance(2 * time.Minute)
		if n := settleAt(t, s, names, queue.Settlement{State: queue.StateDelivered}); n != 0 {
			t.Errorf("%d deliveries of an event that is lost, or of another one", n)
		}
		mustClose(t, s)
	}
}

// stopApplier leaves the applier's work to the test. The store is as one that was killed.
func stopApplier(t *testing.T, s *Store) *applier {
	t.Helper()
	s.applier.close()
	t.Cleanup(func() {
		killed := errors.New("killed")
		s.fail(killed)
		if err := s.Close(); !errors.Is(err, killed) {
			t.Error(err)
		}
	})
	return s.applier
}

// Who waits for what comes before an event in parts is told, even where that has written nothing.
func TestWaitBeforeManyDestinations(t *testing.T) {
	t.Parallel()
	s := openManual(t, t.TempDir(), queuetest.NewClock())
	a := stopApplier(t, s)
	done := a.flush()
	enqueueMany(t, s, "wide", 1, nil, wide(manyDestinations)...)
	a.applyBatch(a.queue)
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	default:
		t.Error("who waits is not told")
	}
}

// Destinations of all parts of an event leave what they have in memory to the disk.
func TestMemoryOfManyDestinations(t *testing.T) {
	t.Parallel()
	s := openManual(t, t.TempDir(), queuetest.NewClock())
	a := stopApplier(t, s)
	const body = 10_000
	enqueueMany(t, s, "wide", 20, func(_ int, ev *queue.NewEvent) { ev.Body = bodyOf("wide", body) }, wide(manyDestinations)...)
	a.applyBatch(a.queue)
	for _, l := range s.lanes.all() {
		if most := s.hotShare(); l.hotBytes > most {
			t.Fatalf("%s keeps %d bytes, want %d at most", l.name, l.hotBytes, most)
		}
	}
}

// A part of an event, which is in the journal as a whole, is no damage.
func TestCheckHalfAnEvent(t *testing.T) {
	t.Parallel()
	clock := queuetest.NewClock()
	o := small()
	o.Clock = clock.Now
	report, err := CheckDir(t.Context(), halfApplied(t, clock, wide(manyDestinations)), o)
	if err != nil || report.Damage != 0 {
		t.Errorf("%v, %d findings of damage: %+v", err, report.Damage, report.Findings[:min(3, len(report.Findings))])
	}
}

// A store may have had more sources than one transaction takes.
func TestSalvageOfManySources(t *testing.T) {
	t.Parallel()
	s := openManual(t, t.TempDir(), queuetest.NewClock())
	a := stopApplier(t, s)
	const many = 2000
	moreThanFits(t, s, many)
	a.tx = a.begin()
	c := &carrier{s: s, a: a}
	for i := range many {
		if err := c.source(fmt.Sprint("source", i), &sourceRow{accepted: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.commit(); err != nil {
		t.Fatal(err)
	}
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	state := newAppliedState()
	if err := state.load(sn); err != nil || len(state.sources) != many {
		t.Errorf("%d sources (%v), want %d", len(state.sources), err, many)
	}
}
