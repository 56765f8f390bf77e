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

// More events than are looked at in one step, some of which stay.
func TestMaintainGoesOnInSteps(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := memstore.New(memstore.Options{Clock: func() time.Time { return now }})
	const n = 25_000
	events := make([]queue.NewEvent, n)
	for i := range events {
		events[i].ReceivedAt = now
		if i%5 == 0 {
			events[i].Deliveries = []queue.NewDelivery{{Destination: "app"}}
		}
	}
	receipts, err := s.Enqueue(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	pruned, err := s.Maintain(t.Context(), now.Add(2*time.Hour), queue.Retention{Delivered: time.Hour})
	if err != nil || pruned != n/5*4 {
		t.Fatalf("pruned %d, %v, want %d", pruned, err, n/5*4)
	}
	for i, r := range receipts {
		if _, err := s.Event(t.Context(), r.ID); (err == nil) != (i%5 == 0) {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	claimed, _, err := s.Claim(t.Context(), queue.ClaimRequest{Destination: "app", Limit: n, Now: now, Lease: time.Minute})
	if err != nil || len(claimed) != n/5 {
		t.Errorf("claimed %d, %v, want %d", len(claimed), err, n/5)
	}
}
