package badgerstore

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// TestOriginal finds events by their dedup keys: at once, after a reopening, of the right source, the newest where a key was claimed anew, and none that is gone.
func TestOriginal(t *testing.T) {
	dir, clock := t.TempDir(), queuetest.NewClock()
	s := openSmall(t, dir, clock)
	store := func(source, key string) queue.ID {
		t.Helper()
		receipts, err := s.Enqueue(t.Context(), []queue.NewEvent{{
			Event:    queue.Event{Source: source, Provider: "p", ReceivedAt: clock.Now(), EventID: key, Method: "POST", URL: "http://x/", Body: []byte("{}")},
			DedupKey: key, DedupWindow: time.Hour,
		}})
		if err != nil {
			t.Fatal(err)
		}
		return receipts[0].ID
	}
	want := func(source, key string, id queue.ID) {
		t.Helper()
		got, err := s.Original(t.Context(), source, key)
		if got != id || (id == 0) != errors.Is(err, queue.ErrNotFound) {
			t.Errorf("%s %s: %v %v, want %v", source, key, got, err, id)
		}
	}
	first, other := store("a", "k"), store("b", "k")
	for i := range 200 {
		store("a", fmt.Sprint("more", i))
	}
	want("a", "k", first)
	want("b", "k", other)
	want("c", "k", 0)
	want("a", "none", 0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openSmall(t, dir, clock)
	want("a", "k", first)
	clock.Advance(25 * time.Hour)
	again := store("a", "k")
	want("a", "k", again)
	want("b", "k", other) // its window is over, and it is still there
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Original(t.Context(), "a", "k"); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}
