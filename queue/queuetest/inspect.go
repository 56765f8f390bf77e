package queuetest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-webhooks/sluice/queue"
)

var inspectTests = []test{
	{"UnknownIsNotFound", func(e *env) {
		inspector := e.inspector()
		id := e.put(e.event("1", dest))[0]
		for _, unknown := range []queue.ID{0, id - 1, id + 1, ^queue.ID(0)} {
			if _, err := inspector.Event(e.Context(), unknown); !errors.Is(err, queue.ErrNotFound) {
				e.Errorf("event %d: %v", unknown, err)
			}
			if _, err := inspector.Deliveries(e.Context(), unknown); !errors.Is(err, queue.ErrNotFound) {
				e.Errorf("deliveries of %d: %v", unknown, err)
			}
			if _, err := inspector.Attempts(e.Context(), unknown, dest); !errors.Is(err, queue.ErrNotFound) {
				e.Errorf("attempts of %d: %v", unknown, err)
			}
		}
		if _, err := inspector.Attempts(e.Context(), id, "unknown"); !errors.Is(err, queue.ErrNotFound) {
			e.Errorf("attempts for an unknown destination: %v", err)
		}
	}},
	{"DeliveriesAreSorted", func(e *env) {
		inspector := e.inspector()
		id := e.put(e.event("1", "m", "a", "zz", "b"))[0]
		e.must(e.store.Replay(e.Context(), id, "c", ""), "replay")
		rows, err := inspector.Deliveries(e.Context(), id)
		e.must(err, "deliveries")
		var names []string
		for _, d := range rows {
			names = append(names, d.Destination)
			if d.Event != id || d.State != queue.StatePending {
				e.Errorf("%+v", d)
			}
		}
		if want := []string{"a", "b", "c", "m", "zz"}; !slices.Equal(names, want) {
			e.Errorf("destinations %v, want %v", names, want)
		}
	}},
	{"EmptyLists", func(e *env) {
		inspector := e.inspector()
		id := e.put(e.event("1"))[0]
		rows, err := inspector.Deliveries(e.Context(), id)
		if err != nil || len(rows) != 0 {
			e.Errorf("deliveries %v, %v of an event that has none", rows, err)
		}
		page, err := inspector.Events(e.Context(), queue.Filter{Source: "nobody"})
		if err != nil || len(page.Events) != 0 {
			e.Errorf("page %v, %v of a source that does not exist", page, err)
		}
	}},
	{"ClaimAndInspectorAgree", func(e *env) {
		id := e.put(e.ordered("1", "k"))[0]
		e.retry(e.claimOne(id), 0)
		c := e.claimOne(id).Delivery
		d := e.delivery(id, dest)
		if c.State != d.State || c.OrderKey != d.OrderKey || c.Attempts != d.Attempts || c.SeriesTries != d.SeriesTries ||
			c.LastStatus != d.LastStatus || c.LastError != d.LastError || !c.FirstTry.Equal(d.FirstTry) {
			e.Errorf("claimed as\n%+v\nshown as\n%+v", c, d)
		}
	}},
	{"SummaryHasNoPayload", func(e *env) {
		n := e.fullEvent()
		size := len(n.Body)
		id := e.put(n)[0]
		got := e.pages(queue.Filter{})
		if len(got) != 1 || got[0].Event.ID != id {
			e.Fatalf("%d events", len(got))
		}
		s := got[0]
		if s.Event.Header != nil || s.Event.Body != nil || s.Size != size {
			e.Errorf("header %v, body %q, size %d, want none, none and %d", s.Event.Header, s.Event.Body, s.Size, size)
		}
		if s.Event.Subject != n.Subject || s.Event.EventID != n.EventID || s.Event.Type != n.Type || !s.Event.ReceivedAt.Equal(n.ReceivedAt) ||
			s.Event.ReplayOf != n.ReplayOf || !slices.Equal(s.Event.Filtered, n.Filtered) {
			e.Errorf("summary %+v", s.Event)
		}
		if len(s.Deliveries) != 1 || s.Deliveries[0].Destination != dest || s.Deliveries[0].State != queue.StatePending {
			e.Errorf("deliveries %+v", s.Deliveries)
		}
	}},
	{"NewestFirst", func(e *env) {
		ids := e.fill("a", 137)
		slices.Reverse(ids)
		for _, limit := range []int{1, 7, 50, 136, 137, 138, 1000} {
			e.wantEvents(queue.Filter{Limit: limit}, ids...)
		}
	}},
	{"PagesKeepTheirLimit", func(e *env) {
		inspector := e.inspector()
		e.fill("a", 1100)
		for limit, most := range map[int]int{0: 50, 3: 3, 1000: 1000, 5000: 1000} {
			page, err := inspector.Events(e.Context(), queue.Filter{Limit: limit})
			e.must(err, "events")
			if len(page.Events) > most || page.Next == "" {
				e.Errorf("limit %d: %d events, next %q", limit, len(page.Events), page.Next)
			}
		}
	}},
	{"PagesWhileEventsArrive", pagesWhileEventsArrive},
	{"ReadsWhatWasWritten", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		e.state(id, queue.StatePending)
		c := e.claimOne(id)
		e.state(id, queue.StateDelivering)
		e.deliver(c)
		e.state(id, queue.StateDelivered)
		e.must(e.store.Replay(e.Context(), id, dest, ""), "replay")
		e.state(id, queue.StatePending)
		e.must(e.store.Cancel(e.Context(), id, dest), "cancel")
		e.state(id, queue.StateCancelled)
	}},
}

// state checks a delivery's state in its row and in the list of events.
func (e *env) state(id queue.ID, want queue.State) {
	e.Helper()
	if d := e.delivery(id, dest); d.State != want {
		e.Errorf("the delivery is %s, want %s", d.State, want)
	}
	e.wantEvents(queue.Filter{States: []queue.State{want}}, id)
}

// pages follows the cursors to the end.
func (e *env) pages(f queue.Filter) []queue.Summary {
	e.Helper()
	inspector := e.inspector()
	var all []queue.Summary
	for range manyCalls {
		page, err := inspector.Events(e.Context(), f)
		e.must(err, "events")
		all = append(all, page.Events...)
		if page.Next == "" {
			return all
		}
		f.Cursor = page.Next
	}
	e.Fatal("no end of pages")
	return nil
}

// wantEvents checks what a filter lets through, newest first.
func (e *env) wantEvents(f queue.Filter, want ...queue.ID) {
	e.Helper()
	var got []queue.ID
	for _, s := range e.pages(f) {
		got = append(got, s.Event.ID)
	}
	if !slices.Equal(got, want) {
		e.Errorf("filter %+v: %d events %v, want %d %v", f, len(got), got, len(want), want)
	}
}

// pagesWhileEventsArrive follows the cursors while events arrive and change: what was there at the first page comes once.
func pagesWhileEventsArrive(e *env) {
	inspector := e.inspector()
	ids := e.fill("a", 200)
	f := queue.Filter{Limit: 7}
	seen := map[queue.ID]int{}
	last := ^queue.ID(0)
	for n := range manyCalls {
		page, err := inspector.Events(e.Context(), f)
		e.must(err, "events")
		for _, s := range page.Events {
			if s.Event.ID >= last {
				e.Fatalf("%s after %s", s.Event.ID, last)
			}
			last = s.Event.ID
			seen[last]++
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
		e.fill(fmt.Sprint("new", n, "-"), 5)
		e.deliver(e.claim(3)...)
	}
	for _, id := range ids {
		if seen[id] != 1 {
			e.Errorf("%s was shown %d times", id, seen[id])
		}
	}
}
