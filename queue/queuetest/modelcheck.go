package queuetest

import (
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

func (r *modelRun) checkStats() {
	in, ok := r.store.(queue.Inspector)
	if !ok {
		return
	}
	stats, err := in.Stats(r.Context())
	r.must(err, "stats")
	if stats.Events != uint64(len(r.m.events)) {
		r.Fatalf("%d events counted, want %d", stats.Events, len(r.m.events))
	}
	for source, want := range r.m.sources {
		if got := stats.Sources[source].Accepted; got != want {
			r.Fatalf("%s: %d accepted, want %d", source, got, want)
		}
	}
	for _, dest := range modelDests {
		got, want := stats.Destinations[dest], r.m.stats(dest)
		if !got.OldestPending.Equal(want.OldestPending) {
			r.Fatalf("%s: oldest pending %v, want %v", dest, got.OldestPending, want.OldestPending)
		}
		got.Delivering, got.NextDue, got.OldestPending, want.OldestPending = 0, time.Time{}, time.Time{}, time.Time{}
		if got != want {
			r.Fatalf("%s: %+v, want %+v", dest, got, want)
		}
	}
}

// checkRows compares every row with the model, and the list of events with what was stored.
func (r *modelRun) checkRows() {
	in, ok := r.store.(queue.Inspector)
	if !ok {
		return
	}
	newest := slices.Clone(r.m.events)
	slices.Reverse(newest)
	r.wantEvents(queue.Filter{Limit: 7}, newest...)
	for _, id := range r.m.events {
		rows, err := in.Deliveries(r.Context(), id)
		r.must(err, "deliveries")
		want := r.m.rows(id)
		if len(rows) != len(want) {
			r.Fatalf("%s has %d deliveries, want %d", id, len(rows), len(want))
		}
		for i, d := range rows {
			w := want[i]
			state := d.State
			if state == queue.StateDelivering && w.token != 0 {
				state = queue.StatePending
			}
			if d.Destination != w.dest || state != w.state || d.Attempts != w.attempts || d.SeriesTries != w.series ||
				d.Replayed != w.replayed || d.OrderKey != w.key || !d.OrderAt.Equal(w.at) {
				r.Fatalf("row %+v, want %+v", d, *w)
			}
		}
	}
}
