package memstore_test

import (
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
)

// The ids of a new store start at the clock's time, and the clock's default is the system's.
func TestFirstIDIsTheTime(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := memstore.New(memstore.Options{Clock: func() time.Time { return at }})
	receipts, err := s.Enqueue(t.Context(), []queue.NewEvent{{Event: queue.Event{Source: "a", EventID: "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if want := queue.ID(at.UnixMicro()); receipts[0].ID != want {
		t.Errorf("first id %d, want %d", receipts[0].ID, want)
	}
	before := queue.ID(time.Now().UnixMicro())
	receipts, err = memstore.New(memstore.Options{}).Enqueue(t.Context(), []queue.NewEvent{{Event: queue.Event{Source: "a", EventID: "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if receipts[0].ID < before {
		t.Errorf("first id %d of a store opened at %d", receipts[0].ID, before)
	}
}
