package badgerstore

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

const app = "app" // a destination

// newEvent makes an event whose body has the given size.
func newEvent(id string, size int, at time.Time, destinations ...string) queue.NewEvent {
	n := queue.NewEvent{
		Event: queue.Event{
			Source: "src", Provider: "hmac", ReceivedAt: at, EventID: id, Method: http.MethodPost, URL: "https://hooks.example.com/",
			Header: http.Header{"X-Id": {id}}, Body: bodyOf(id, size),
		},
		DedupKey: id, DedupWindow: time.Hour,
	}
	for _, d := range destinations {
		n.Deliveries = append(n.Deliveries, queue.NewDelivery{Destination: d})
	}
	return n
}

// bodyOf is the body that follows from an event's id and size.
func bodyOf(id string, size int) []byte {
	b := make([]byte, 0, size+len(id))
	for len(b) < size {
		b = append(b, id...)
	}
	return b[:size]
}

// enqueue stores n events of the given size, one commit each, for app, and returns their ids.
func enqueue(t testing.TB, s *Store, prefix string, n, size int) []queue.ID {
	t.Helper()
	ids := make([]queue.ID, n)
	for i := range ids {
		receipts, err := s.Enqueue(t.Context(), []queue.NewEvent{newEvent(fmt.Sprint(prefix, i), size, s.clock(), app)})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = receipts[0].ID
	}
	return ids
}

// fillBuckets enqueues events and seals buckets that get no more claims: as long as there is one, no other follows.
func fillBuckets(t testing.TB, s *Store, prefix string, n int) {
	t.Helper()
	for i := range n {
		if _, err := s.Enqueue(t.Context(), []queue.NewEvent{newEvent(fmt.Sprint(prefix, i), 10, s.clock(), app)}); err != nil {
			t.Fatal(err)
		}
		if _, behind := s.buckets.unsealed(); behind {
			sealAll(t, s)
		}
	}
}

// sealAll seals the buckets that get no more claims.
func sealAll(t testing.TB, s *Store) {
	t.Helper()
	if err := errors.Join(s.flush(t.Context()), s.sealFull()); err != nil {
		t.Fatal(err)
	}
	if b, behind := s.buckets.unsealed(); behind {
		t.Fatalf("bucket %d is not sealed", b.number)
	}
}

// settleAll settles what is due for app and returns how much it was.
func settleAll(t testing.TB, s *Store, state queue.State) (n int) {
	t.Helper()
	for {
		claimed, _, err := s.Claim(t.Context(), queue.ClaimRequest{Destination: app, Limit: 100, Now: s.clock(), Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if len(claimed) == 0 {
			return n
		}
		for _, c := range claimed {
			if want := bodyOf(c.Event.EventID, len(c.Event.Body)); string(c.Event.Body) != string(want) {
				t.Errorf("%s has a body that is not its own", c.Event.ID)
			}
			lost, err := s.Settle(t.Context(), []queue.Settlement{{Lease: c.Lease, State: state}})
			if err != nil || lost[0] != nil {
				t.Fatal(err, lost)
			}
			n++
		}
	}
}

func maintain(t testing.TB, s *Store, r queue.Retention) int {
	t.Helper()
	n, err := s.Maintain(t.Context(), s.clock(), r)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
