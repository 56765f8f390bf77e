package badgerstore

import (
	"fmt"
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
	rows := map[byte]int{}
	for key := range allZoneRows(t, s) {
		rows[key[1]]++
	}
	return rows
}

// allZoneRows are the rows about zones by their keys.
func allZoneRows(t testing.TB, s *Store) map[string]string {
	t.Helper()
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	rows := map[string]string{}
	sn.scan([]byte{tabZone}, []byte{tabZone}, func(key []byte, item *badger.Item) bool {
		value, err := item.ValueCopy(nil)
		if err != nil {
			t.Fatal(err)
		}
		rows[string(key)] = string(value)
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
