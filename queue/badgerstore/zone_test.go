package badgerstore

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

func TestZonesPassOverHistory(t *testing.T) {
	clock := queuetest.NewClock()
	dir := t.TempDir()
	s := openManual(t, dir, clock)
	ids := history(t, s, 14_000)
	if rows := zoneRows(t, s); len(rows) > 0 {
		t.Fatalf("rows that nobody has made: %v", rows)
	}
	_, looked := everyPage(t, s, queue.Filter{Source: "rare"})
	if looked != len(ids) {
		t.Errorf("without rows %d events were read, want all of them", looked)
	}
	b := &zoneBuilder{s: s}
	for range zoneParts + 7 { // one zone, and a part of the next
		if _, err := b.step(); err != nil {
			t.Fatal(err)
		}
	}
	if rows := zoneRows(t, s); rows[zoneSummary] != 1 || rows[zoneIDs] != zoneParts {
		t.Errorf("rows after one zone: %v", rows)
	}
	wantAll(t, s, queue.Filter{Source: "rare"}, len(ids)-1<<zoneBits, ids[rareAt])
	mustClose(t, s)

	s = openManual(t, dir, clock)
	defer func() { mustClose(t, s) }()
	makeZones(t, s)
	zones := int(zoneOf(uint64(ids[len(ids)-1])+1) - zoneOf(uint64(ids[0])))
	if rows := zoneRows(t, s); rows[zoneSummary] != zones || rows[zoneIDs] != zones*zoneParts {
		t.Errorf("rows: %v, want those of %d zones", rows, zones)
	}
	wantRare(t, s, ids)
	more := enqueueMany(t, s, "more", 5000, nil, app)
	makeZones(t, s)
	wantRare(t, s, append(ids, more...))
	wantSound(t, s)
}

// wantSound checks the whole store and returns the notes.
func wantSound(t *testing.T, s *Store) (notes []Finding) {
	t.Helper()
	report, err := s.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if f.Level != LevelNote {
			t.Errorf("finding: %+v", f)
		}
	}
	return report.Findings
}

// TestZonesOfAnOlderVersion has rows that somebody left who did not keep them right.
func TestZonesOfAnOlderVersion(t *testing.T) {
	clock := queuetest.NewClock()
	dir := t.TempDir()
	s := openManual(t, dir, clock)
	ids := history(t, s, 9000)
	stale := &op{done: make(chan error, 1)}
	for n := zoneOf(uint64(ids[0])); n < zoneOf(uint64(ids[len(ids)-1])); n++ {
		stale.put(zoneKey(n), (&zone{}).encode())
		stale.put(zoneNoteKey(zoneAdded, n, 0), nil)
	}
	s.applier.push(stale)
	if err := <-stale.done; err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = openManual(t, dir, clock)
	defer func() { mustClose(t, s) }()
	wantAll(t, s, queue.Filter{Source: "rare"}, len(ids), ids[rareAt])
	makeZones(t, s)
	if rows := zoneRows(t, s); rows[zoneAdded] != 0 {
		t.Errorf("rows: %v, want none of those that were there", rows)
	}
	wantRare(t, s, ids)
	if err := s.PutMeta(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = openManual(t, dir, clock)
	wantRare(t, s, ids) // they are known to be right
}

func TestZonesAreMended(t *testing.T) {
	clock := queuetest.NewClock()
	s := openManual(t, t.TempDir(), clock)
	defer mustClose(t, s)
	ids := history(t, s, 14_000)
	makeZones(t, s)
	number := zoneOf(uint64(ids[rareAt])) + 1
	damage := &op{done: make(chan error, 1)}
	damage.muts = append(damage.muts, mut{zoneKey(number), []byte("no such row")}, mut{zoneIDsKey(number+1, 3), []byte{1, 2}})
	damage.del(zoneIDsKey(number+1, 4))
	s.applier.push(damage)
	if err := <-damage.done; err != nil {
		t.Fatal(err)
	}
	if notes := wantSound(t, s); len(notes) != 1 {
		t.Errorf("notes: %+v", notes)
	}
	wantAll(t, s, queue.Filter{Source: "rare"}, unzoned(ids)+2<<zoneBits, ids[rareAt])
	wantAll(t, s, queue.Filter{EventID: "rare id"}, unzoned(ids)+1<<zoneBits+2*partEvents+8, ids[rareAt])
	makeZones(t, s)
	wantRare(t, s, ids)
	if notes := wantSound(t, s); len(notes) != 0 {
		t.Errorf("notes: %+v", notes)
	}
}

func TestZonesAreDropped(t *testing.T) {
	clock := queuetest.NewClock()
	s := openManual(t, t.TempDir(), clock)
	defer mustClose(t, s)
	ids := history(t, s, 14_000)
	makeZones(t, s)
	clock.Advance(2 * time.Hour)
	if n := maintain(t, s, queue.Retention{Delivered: time.Hour, Dead: time.Hour}); n != len(ids)-1 {
		t.Fatalf("%d pruned", n)
	}
	if rows := zoneRows(t, s); rows[zoneSummary] != 1 || rows[zoneIDs] != zoneParts {
		t.Errorf("rows: %v, want those of the zone that still has an event", rows)
	}
	wantAll(t, s, queue.Filter{Source: "rare"}, 1, ids[rareAt])
	if err := s.Cancel(t.Context(), ids[rareAt], "elsewhere"); err != nil {
		t.Fatal(err)
	}
	clock.Advance(2 * time.Hour)
	if n := maintain(t, s, queue.Retention{Delivered: time.Hour, Dead: time.Hour}); n != 1 {
		t.Fatalf("%d pruned", n)
	}
	if rows := zoneRows(t, s); len(rows) != 0 {
		t.Errorf("rows: %v, want none", rows)
	}
	wantSound(t, s)
}

// TestZonesKnowLaterDeliveries replays events to destinations that they were not meant for, before and after their zones have rows.
func TestZonesKnowLaterDeliveries(t *testing.T) {
	clock := queuetest.NewClock()
	dir := t.TempDir()
	s := openManual(t, dir, clock)
	defer func() { mustClose(t, s) }()
	ids := history(t, s, 14_000)
	replay := func(id queue.ID, destination string) {
		t.Helper()
		if err := s.Replay(t.Context(), id, destination, ""); err != nil {
			t.Fatal(err)
		}
	}
	replay(ids[10], "before")
	makeZones(t, s)
	replay(ids[11], "after")
	replay(ids[12], "after")
	replay(ids[13], app) // it was meant for that
	if rows := zoneRows(t, s); rows[zoneAdded] != 1 {
		t.Errorf("rows: %v, want one for a zone and a destination", rows)
	}
	check := func() {
		t.Helper()
		most := unzoned(ids) + 1<<zoneBits
		wantAll(t, s, queue.Filter{Destination: "before"}, most, ids[10])
		wantAll(t, s, queue.Filter{Destination: "after"}, most, ids[12], ids[11])
		wantAll(t, s, queue.Filter{Destinations: []string{"after", "before"}}, most, ids[12], ids[11], ids[10])
	}
	check()
	mustClose(t, s)
	s = openManual(t, dir, clock)
	makeZones(t, s)
	check()
	replay(ids[14], "after") // by somebody who does not remember that the row is there
	wantAll(t, s, queue.Filter{Destination: "after"}, unzoned(ids)+1<<zoneBits, ids[14], ids[12], ids[11])
	if rows := zoneRows(t, s); rows[zoneAdded] != 1 {
		t.Errorf("rows: %v", rows)
	}
}

// TestZonesKnowCancelledDeliveries cancels before and after the zones have rows, and asks for that and for what failed.
func TestZonesKnowCancelledDeliveries(t *testing.T) {
	clock := queuetest.NewClock()
	s := openManual(t, t.TempDir(), clock)
	defer mustClose(t, s)
	ids := history(t, s, 14_000)
	cancel := func(id queue.ID) {
		t.Helper()
		if err := s.Replay(t.Context(), id, app, ""); err != nil {
			t.Fatal(err)
		}
		if err := s.Cancel(t.Context(), id, app); err != nil {
			t.Fatal(err)
		}
	}
	cancel(ids[5])
	makeZones(t, s)
	cancelled := queue.Filter{States: []queue.State{queue.StateCancelled}}
	wantAll(t, s, cancelled, unzoned(ids)+1<<zoneBits, ids[5])
	cancel(ids[6])
	cancel(ids[7])
	cancel(ids[9000])
	wantAll(t, s, cancelled, unzoned(ids)+2<<zoneBits, ids[9000], ids[7], ids[6], ids[5])
	wantAll(t, s, queue.Filter{States: cancelled.States, Destination: "elsewhere"}, 0)
	wantAll(t, s, queue.Filter{Error: "timeout"}, unzoned(ids)+2<<zoneBits+1)
	if rows := zoneRows(t, s); rows[zoneCancelled] != 2 {
		t.Errorf("rows: %v, want one for each zone", rows)
	}
	wantSound(t, s)
}

// TestZonesAreNotBackedUp restores a store, which makes its rows itself. It is done in the background, as always outside of tests.
func TestZonesAreNotBackedUp(t *testing.T) {
	clock := queuetest.NewClock()
	s := openManual(t, t.TempDir(), clock)
	ids := history(t, s, 9000)
	makeZones(t, s)
	if err := s.Replay(t.Context(), ids[10], "later", ""); err != nil {
		t.Fatal(err)
	}
	var backup bytes.Buffer
	if _, err := s.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	before := zoneRows(t, s)
	mustClose(t, s)
	dir := filepath.Join(t.TempDir(), "restored")
	o := small()
	o.Clock = clock.Now
	if _, err := Restore(t.Context(), &backup, nil, dir, o); err != nil {
		t.Fatal(err)
	}
	s = openManual(t, dir, clock)
	if rows := zoneRows(t, s); len(rows) != 0 {
		t.Errorf("rows: %v, want none in a backup", rows)
	}
	mustClose(t, s)
	s = openSmall(t, dir, clock)
	defer mustClose(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for zoneRows(t, s)[zoneSummary] != before[zoneSummary] {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("rows were not made")
		}
	}
	wantAll(t, s, queue.Filter{Destination: "later"}, unzoned(ids)+1<<zoneBits, ids[10])
	wantAll(t, s, queue.Filter{EventID: "none"}, unzoned(ids)+8)
	wantSound(t, s)
}
