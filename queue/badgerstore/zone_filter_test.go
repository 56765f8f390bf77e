package badgerstore

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// drawn is an element at random; mostly one of the first.
func drawn[T any](r *rand.Rand, from []T) T { return from[r.IntN(1+r.IntN(len(from)))] }

var (
	someSources   = []string{"src", "other", "rare"}
	someProviders = []string{"stripe", "github", "hmac"}
	someTypes     = []string{"invoice.paid", "charge.failed", "customer.created", ""}
	someDests     = []string{"a", "b", "c", "d"}
	someStates    = []queue.State{queue.StatePending, queue.StateDelivered, queue.StateDead, queue.StateCancelled, queue.StateDelivering}
)

// TestFiltersOverHistory compares random filters, over history of several zones of which everything happened, with a loop over all events.
func TestFiltersOverHistory(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	clock := queuetest.NewClock()
	dir := t.TempDir()
	s := openManual(t, dir, clock)
	defer func() { mustClose(t, s) }()
	ids := randomHistory(t, s, r, clock, "one", 9000)
	makeZones(t, s)
	randomChanges(t, s, r, clock, ids)
	mustClose(t, s)
	s = openManual(t, dir, clock)
	ids = append(ids, randomHistory(t, s, r, clock, "two", 1500)...)
	randomChanges(t, s, r, clock, ids)
	clock.Advance(50 * time.Minute)
	if n := maintain(t, s, queue.Retention{Delivered: time.Hour, Dead: time.Hour}); n == 0 || n > len(ids)/2 {
		t.Fatalf("%d of %d pruned, want some", n, len(ids))
	}
	var all []queue.Summary
	for f := (queue.Filter{Limit: maxPage}); ; {
		page, err := s.Events(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Events...)
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	shown := 0
	for range 150 {
		f := randomFilter(r, all)
		var want []queue.ID
		for i := range all {
			if plainMatch(&f, &all[i]) {
				want = append(want, all[i].Event.ID)
			}
		}
		got, _ := everyPage(t, s, f)
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %d events, want %d", f, len(got), len(want))
		}
		shown += btoi(len(want) > 0)
	}
	if shown < 50 {
		t.Errorf("only %d of the filters let anything through: the test says little", shown)
	}
}

func randomHistory(t *testing.T, s *Store, r *rand.Rand, clock *queuetest.Clock, prefix string, n int) []queue.ID {
	t.Helper()
	return enqueueMany(t, s, prefix, n, func(i int, ev *queue.NewEvent) {
		// What is rare comes in bursts, so that there are zones without it.
		if i/700%3 == 0 {
			ev.Source, ev.Provider, ev.Type = drawn(r, someSources), drawn(r, someProviders), drawn(r, someTypes)
		}
		for _, d := range someDests[:r.IntN(1+i/1000%4)] {
			ev.Deliveries = append(ev.Deliveries, queue.NewDelivery{Destination: d})
		}
		clock.Advance(200 * time.Millisecond)
	})
}

// randomChanges settles some deliveries in every way, replays some events to where they were meant for and to where they were not, and cancels some.
func randomChanges(t *testing.T, s *Store, r *rand.Rand, clock *queuetest.Clock, ids []queue.ID) {
	t.Helper()
	for _, name := range someDests {
		claimed, _, err := s.Claim(t.Context(), queue.ClaimRequest{Destination: name, Limit: 600, Now: clock.Now(), Lease: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		settlements := make([]queue.Settlement, 0, len(claimed))
		for _, c := range claimed {
			n := queue.Settlement{Lease: c.Lease, State: drawn(r, []queue.State{queue.StateDelivered, queue.StateDelivered, queue.StateDead, queue.StatePending})}
			n.Attempt = &queue.Attempt{At: clock.Now(), Class: drawn(r, []string{"", "status", "timeout"})}
			if n.State == queue.StatePending {
				n.Due = clock.Now().Add(time.Hour)
			}
			if r.IntN(50) > 0 { // the others stay leased
				settlements = append(settlements, n)
			}
		}
		if _, err := s.Settle(t.Context(), settlements); err != nil {
			t.Fatal(err)
		}
	}
	for range 30 {
		if err := s.Replay(t.Context(), ids[r.IntN(len(ids))], drawn(r, []string{"d", "later", "c", "seldom"}), ""); err != nil {
			t.Fatal(err)
		}
		_ = s.Cancel(t.Context(), ids[r.IntN(len(ids))], drawn(r, someDests)) // many have nothing to cancel
	}
}

func randomFilter(r *rand.Rand, all []queue.Summary) queue.Filter {
	maybe := func(one int, set func()) {
		if r.IntN(one) == 0 {
			set()
		}
	}
	f := queue.Filter{Limit: maxPage}
	maybe(4, func() { f.Source = drawn(r, append(someSources, "none")) })
	maybe(5, func() { f.Provider = drawn(r, append(someProviders, "none")) })
	maybe(5, func() { f.Type = drawn(r, []string{"invoice.paid", "customer.*", "*.failed", "none.*"}) })
	maybe(4, func() { f.Destination = drawn(r, append(someDests, "later", "seldom")) })
	maybe(4, func() { f.Destinations = []string{drawn(r, someDests), drawn(r, []string{"later", "seldom", "d"})} })
	maybe(3, func() { f.States = append(f.States, drawn(r, someStates), drawn(r, someStates)) })
	maybe(6, func() { f.Error = drawn(r, []string{"status", "timeout", "tls"}) })
	maybe(6, func() { f.EventID = all[r.IntN(len(all))].Event.EventID })
	maybe(8, func() { f.Since = all[r.IntN(len(all))].Event.ReceivedAt })
	maybe(8, func() { f.Until = all[r.IntN(len(all))].Event.ReceivedAt })
	maybe(4, func() { f.Limit = 1 + r.IntN(200) })
	return f
}

// plainMatch is a filter in the plainest form.
func plainMatch(f *queue.Filter, s *queue.Summary) bool {
	e := &s.Event
	kind, err := path.Match(f.Type, e.Type)
	if f.Source != "" && e.Source != f.Source || f.Provider != "" && e.Provider != f.Provider || f.EventID != "" && e.EventID != f.EventID ||
		f.Type != "" && !kind || err != nil || e.ReceivedAt.Before(f.Since) || !f.Until.IsZero() && !e.ReceivedAt.Before(f.Until) {
		return false
	}
	if fmt.Sprint(f.Destination, f.Destinations, f.States, f.Error) == fmt.Sprint("", []string(nil), []queue.State(nil), "") {
		return true
	}
	for _, d := range s.Deliveries {
		if (f.Destination == "" || d.Destination == f.Destination) && (f.Destinations == nil || slices.Contains(f.Destinations, d.Destination)) &&
			(f.States == nil || slices.Contains(f.States, d.State)) && (f.Error == "" || d.LastError == f.Error && d.State != queue.StateDelivered) {
			return true
		}
	}
	return false
}
