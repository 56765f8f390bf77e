package badgerstore

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// TestLeasesOfWhatIsOnDisk leases many events at once that are on disk only: each comes with its own bytes, whatever lies between them, and one that is broken is dead.
func TestLeasesOfWhatIsOnDisk(t *testing.T) {
	t.Parallel()
	clock, dir := queuetest.NewClock(), t.TempDir()
	s := openSmall(t, dir, clock)
	want := map[queue.ID]string{}
	for i := range 120 {
		name, destination := fmt.Sprint("e", i), app
		if i%3 == 1 {
			destination = "other"
		}
		n := newEvent(name, 2<<10, clock.Now(), destination)
		n.Deliveries[0].OrderKey = name
		receipts, err := s.Enqueue(t.Context(), []queue.NewEvent{n})
		if err != nil {
			t.Fatal(err)
		}
		if destination == app {
			want[receipts[0].ID] = name
		}
	}
	mustClose(t, s)
	path := pick(t, dir, "db/000001.vlog")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(content, bodyOf("e60", 2<<10))
	if at < 0 {
		t.Fatalf("an event is not in %s", path)
	}
	if err := os.WriteFile(path, flipAt(content, at+500), 0o600); err != nil {
		t.Fatal(err)
	}
	s = openSmall(t, dir, clock)
	defer mustClose(t, s)
	for _, limit := range []int{1, 20, 100} {
		claimed, _, err := s.Claim(t.Context(), queue.ClaimRequest{Destination: app, Limit: limit, Now: clock.Now(), Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range claimed {
			name := want[c.Lease.Event]
			if c.Event.ID != c.Lease.Event || c.Event.EventID != name || string(c.Event.Body) != string(bodyOf(name, 2<<10)) || c.Delivery.OrderKey != name {
				t.Errorf("%s came as %q of %s with order key %q", name, c.Event.EventID, c.Event.ID, c.Delivery.OrderKey)
			}
			delete(want, c.Lease.Event)
		}
	}
	stats, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if dead := stats.Destinations[app].Dead; len(want) != 1 || dead != 1 {
		t.Errorf("%d events did not come: %v; %d are dead, want the broken one", len(want), want, dead)
	}
}
