package badgerstore

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// openManual opens a store that makes rows about zones when a test says so.
func openManual(t testing.TB, dir string, clock *queuetest.Clock) *Store {
	t.Helper()
	o := small()
	o.Clock, o.manual, o.NoSync = clock.Now, true, true
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// makeZones makes all rows that are missing, as somebody does who has just opened the store.
func makeZones(t testing.TB, s *Store) {
	t.Helper()
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := &zoneBuilder{s: s}
	for busy := true; busy; {
		var err error
		if busy, err = b.step(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// everyPage follows the cursors and returns what was shown, and how many events were read for it.
func everyPage(t testing.TB, s *Store, f queue.Filter) (ids []queue.ID, looked int) {
	t.Helper()
	for {
		page := f
		p, err := s.list(t.Context(), &page)
		if err != nil {
			t.Fatal(err)
		}
		looked += p.looked
		for _, e := range p.page.Events {
			ids = append(ids, e.Event.ID)
		}
		if f.Cursor = p.page.Next; f.Cursor == "" {
			return ids, looked
		}
	}
}

// wantAll checks what a filter shows on all pages, and that no more events were read for it.
func wantAll(t *testing.T, s *Store, f queue.Filter, most int, want ...queue.ID) {
	t.Helper()
	got, looked := everyPage(t, s, f)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v: %v, want %v", f, got, want)
	}
	if looked > most {
		t.Errorf("%+v: %d events were read, want at most %d", f, looked, most)
	}
}

// unzoned is how many of the newest events belong to a zone that is not complete.
func unzoned(ids []queue.ID) int {
	newest := uint64(ids[len(ids)-1])
	return int(newest + 1 - zoneOf(newest+1)<<zoneBits)
}

// zoneRows counts the rows about zones by kind.
func zoneRows(t testing.TB, s *Store) map[byte]int {
	t.Helper()
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	rows := map[byte]int{}
	sn.scan([]byte{tabZone}, []byte{tabZone}, func(key []byte, _ *badger.Item) bool {
		rows[key[1]]++
		return true
	})
	return rows
}

const rareAt = 1500 // position of the event that is not like the others

// history stores n events that were delivered, and one among them that differs in everything.
func history(t testing.TB, s *Store, n int) []queue.ID {
	t.Helper()
	ids := enqueueMany(t, s, "e", n, func(i int, ev *queue.NewEvent) {
		ev.Type = []string{"invoice.paid", "charge.failed"}[i%2]
		if i == rareAt {
			ev.Source, ev.Provider, ev.Type, ev.EventID, ev.ReceivedAt = "rare", "github", "rare.type", "rare id", s.clock().Add(-30*time.Second)
			ev.Deliveries = []queue.NewDelivery{{Destination: "elsewhere"}}
		}
	}, app)
	if got := settleAll(t, s, queue.StateDelivered); got != n-1 {
		t.Fatalf("%d settled", got)
	}
	return ids
}

// wantRare asks for the rare event, and for what is not there, in every way. Without rows every event has to be read for that.
func wantRare(t *testing.T, s *Store, ids []queue.ID) {
	t.Helper()
	rare, rest := ids[rareAt], unzoned(ids)
	for _, f := range []queue.Filter{
		{Source: "rare"}, {Provider: "github"}, {Type: "rare.*"}, {Destination: "elsewhere"}, {Destinations: []string{"nobody", "elsewhere"}},
		{Source: "rare", Type: "rare.type", Limit: 1},
	} {
		wantAll(t, s, f, rest+1<<zoneBits, rare)
	}
	wantAll(t, s, queue.Filter{EventID: "rare id"}, rest+8, rare)
	wantAll(t, s, queue.Filter{EventID: "e77"}, rest+8, ids[77])
	wantAll(t, s, queue.Filter{EventID: "rare id", Source: "src"}, rest+8)
	for _, f := range []queue.Filter{{EventID: "none"}, {Source: "none"}, {Provider: "none"}, {Type: "none.*"}, {Type: "invoice.pai"}} {
		wantAll(t, s, f, rest+8)
	}
}

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
		stale.put(zoneAddedKey(n, 0), nil)
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
