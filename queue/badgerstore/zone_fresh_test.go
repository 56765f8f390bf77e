package badgerstore

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// TestZonesMadeWithTheirLastEvent wants the rows that are made while events are written to be those that are made by reading them back.
func TestZonesMadeWithTheirLastEvent(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	clock := queuetest.NewClock()
	dir := t.TempDir()
	s := openManual(t, dir, clock)
	makeZones(t, s)
	ids := randomHistory(t, s, r, clock, "one", 14_000)
	made := allZoneRows(t, s)
	whole := int(zoneOf(uint64(ids[len(ids)-1])+1) - zoneOf(uint64(ids[0])))
	if whole < 2 || len(made) != whole*(1+zoneParts) {
		t.Fatalf("%d rows with %d zones complete", len(made), whole)
	}
	for key := range made {
		if key[1] == zoneSummary {
			s.zones.mend(be.Uint64([]byte(key[2:])))
		}
	}
	b := &zoneBuilder{s: s}
	for range whole * (1 + zoneParts) {
		if _, err := b.step(); err != nil {
			t.Fatal(err)
		}
	}
	if !maps.Equal(made, allZoneRows(t, s)) {
		t.Error("rows made by reading the events back differ")
	}
	mustClose(t, s)

	// A zone whose first events were written before the store was opened.
	s = openManual(t, dir, clock)
	defer mustClose(t, s)
	randomHistory(t, s, r, clock, "two", 4096)
	if rows := zoneRows(t, s); rows[zoneSummary] != whole {
		t.Errorf("%d zones have rows before one was read back, want %d", rows[zoneSummary], whole)
	}
	makeZones(t, s)
	if rows := zoneRows(t, s); rows[zoneSummary] != whole+1 || rows[zoneIDs] != (whole+1)*zoneParts {
		t.Errorf("rows: %v, want those of %d zones", rows, whole+1)
	}
	wantSound(t, s)
}
