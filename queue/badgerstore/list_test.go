package badgerstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// enqueueMany stores n events in few commits.
func enqueueMany(t testing.TB, s *Store, prefix string, n int, edit func(i int, ev *queue.NewEvent), destinations ...string) []queue.ID {
	t.Helper()
	ids := make([]queue.ID, 0, n)
	for len(ids) < n {
		events := make([]queue.NewEvent, min(n-len(ids), 500))
		for i := range events {
			number := len(ids) + i
			events[i] = newEvent(fmt.Sprint(prefix, number), 10, s.clock(), destinations...)
			events[i].DedupKey = ""
			if edit != nil {
				edit(number, &events[i])
			}
		}
		receipts, err := s.Enqueue(t.Context(), events)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range receipts {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// wantPage checks the first page of a filter, and that it cost no more than reading a number of events.
func wantPage(t *testing.T, s *Store, f queue.Filter, most int, want ...queue.ID) {
	t.Helper()
	p, err := s.list(t.Context(), &f)
	if err != nil {
		t.Fatal(err)
	}
	got := []queue.ID{}
	for _, e := range p.page.Events {
		got = append(got, e.Event.ID)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v: %v, want %v", f, got, want)
	}
	if p.looked > most {
		t.Errorf("%+v: %d events were read for a page of %d, want at most %d", f, p.looked, len(got), most)
	}
}

// TestListsReadWhatTheyShow has a few deliveries in every state among many that were delivered, and counts the events that lists of them read.
func TestListsReadWhatTheyShow(t *testing.T) {
	clock := queuetest.NewClock()
	s := openSmall(t, t.TempDir(), clock)
	defer mustClose(t, s)
	stuck := enqueueMany(t, s, "stuck", 3, nil, "stuck")
	retried := enqueueMany(t, s, "retried", 1, nil, app)[0]
	settleOne(t, s, queue.Settlement{State: queue.StatePending, Due: clock.Now().Add(time.Hour), Attempt: &queue.Attempt{At: clock.Now(), Class: "timeout"}})
	died := enqueueMany(t, s, "died", 1, nil, app)[0]
	settleOne(t, s, queue.Settlement{State: queue.StateDead, Attempt: &queue.Attempt{At: clock.Now(), Class: "status", Status: 500}})
	enqueueMany(t, s, "history", 3000, nil, app)
	if n := settleAll(t, s, queue.StateDelivered); n != 3000 {
		t.Fatalf("%d delivered", n)
	}
	leased := enqueueMany(t, s, "leased", 1, nil, app)[0]
	claimed, _, err := s.Claim(t.Context(), queue.ClaimRequest{Destination: app, Limit: 1, Now: clock.Now(), Lease: time.Minute})
	if err != nil || len(claimed) != 1 {
		t.Fatal(claimed, err)
	}
	states := func(states ...queue.State) []queue.State { return states }
	wantPage(t, s, queue.Filter{States: states(queue.StatePending), Destination: "stuck"}, 3, stuck[2], stuck[1], stuck[0])
	wantPage(t, s, queue.Filter{States: states(queue.StatePending)}, 5, retried, stuck[2], stuck[1], stuck[0])
	wantPage(t, s, queue.Filter{States: states(queue.StatePending), Destinations: []string{"stuck", "nobody"}, Limit: 2}, 2, stuck[2], stuck[1])
	wantPage(t, s, queue.Filter{States: states(queue.StateDelivering)}, 1, leased)
	wantPage(t, s, queue.Filter{States: states(queue.StateDead)}, 1, died)
	wantPage(t, s, queue.Filter{States: states(queue.StateDead), Destination: "stuck"}, 0)
	wantPage(t, s, queue.Filter{States: states(queue.StateDead, queue.StatePending)}, 6, died, retried, stuck[2], stuck[1], stuck[0])
	wantPage(t, s, queue.Filter{States: states(queue.StateDelivered), Destination: "stuck"}, 0)
	wantPage(t, s, queue.Filter{States: states(queue.StateCancelled)}, 0)
	wantPage(t, s, queue.Filter{Error: "timeout"}, 2, retried)
	wantPage(t, s, queue.Filter{Error: "status"}, 2, died)
	wantPage(t, s, queue.Filter{Error: "status", States: states(queue.StateDead)}, 1, died)
	wantPage(t, s, queue.Filter{Error: "timeout", States: states(queue.StateDead)}, 0)
	wantPage(t, s, queue.Filter{Destination: "nobody"}, 0)
}

// settleOne leases what is due for app, which is one delivery, and settles it.
func settleOne(t *testing.T, s *Store, n queue.Settlement) {
	t.Helper()
	claimed, _, err := s.Claim(t.Context(), queue.ClaimRequest{Destination: app, Limit: 2, Now: s.clock(), Lease: time.Minute})
	if err != nil || len(claimed) != 1 {
		t.Fatal(claimed, err)
	}
	n.Lease = claimed[0].Lease
	lost, err := s.Settle(t.Context(), []queue.Settlement{n})
	if err != nil || lost[0] != nil {
		t.Fatal(err, lost)
	}
}
