package queuetest

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"github.com/sluice-webhooks/sluice/queue"
)

// filterSome compares what a random filter lets through, page by page, with a loop over the list of everything, which is compared with the model elsewhere.
func (r *modelRun) filterSome(rt *rapid.T) {
	if _, ok := r.store.(queue.Inspector); !ok {
		return
	}
	names := append([]string{"nobody"}, modelDests...)
	f := queue.Filter{
		Source:       rapid.SampledFrom([]string{"", "", "src", "other", "none"}).Draw(rt, "filter's source"),
		Destination:  rapid.SampledFrom(append([]string{"", ""}, names...)).Draw(rt, "filter's destination"),
		Destinations: rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 2, rapid.ID).Draw(rt, "filter's destinations"),
		States: rapid.SliceOfNDistinct(rapid.SampledFrom([]queue.State{
			queue.StatePending, queue.StateDelivering, queue.StateDelivered, queue.StateDead, queue.StateCancelled,
		}), 0, 3, rapid.ID).Draw(rt, "filter's states"),
		Error: rapid.SampledFrom([]string{"", "", "status", "tls"}).Draw(rt, "filter's error"),
		Limit: rapid.IntRange(1, 4).Draw(rt, "limit"),
	}
	if rapid.IntRange(0, 4).Draw(rt, "by id") == 0 {
		f.EventID = fmt.Sprint(rapid.IntRange(1, r.names+1).Draw(rt, "filter's id"))
	}
	all := r.pages(queue.Filter{})
	if len(all) > 0 && rapid.IntRange(0, 4).Draw(rt, "by own id") == 0 {
		f.ID = rapid.SampledFrom(all).Draw(rt, "filter's own id").Event.ID
	}
	var want []queue.ID
	for _, s := range all {
		if lets(&f, &s) {
			want = append(want, s.Event.ID)
		}
	}
	r.wantEvents(f, want...)
}

// lets is a filter in the plainest form.
func lets(f *queue.Filter, s *queue.Summary) bool {
	if f.ID != 0 && s.Event.ID != f.ID || f.Source != "" && s.Event.Source != f.Source || f.EventID != "" && s.Event.EventID != f.EventID {
		return false
	}
	if f.Destination == "" && len(f.Destinations) == 0 && len(f.States) == 0 && f.Error == "" {
		return true
	}
	for _, d := range s.Deliveries {
		if f.Destination != "" && d.Destination != f.Destination ||
			len(f.Destinations) > 0 && !slices.Contains(f.Destinations, d.Destination) ||
			len(f.States) > 0 && !slices.Contains(f.States, d.State) ||
			f.Error != "" && (d.LastError != f.Error || d.State == queue.StateDelivered) {
			continue
		}
		return true
	}
	return false
}
