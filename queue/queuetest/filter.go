package queuetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

var filterTests = []test{
	{"ByWhatTheEventIs", filterEvents},
	{"ByDelivery", filterDeliveries},
	{"BySeveralDestinations", filterDestinations},
	{"UnsettledInABacklog", filterBacklog},
	{"DeadOfOneDestination", filterDead},
	{"RareMatchAmongMany", func(e *env) {
		rare := e.event("rare", "elsewhere")
		rare.Source, rare.Type = "other", "rare.type"
		e.fill("a", 700)
		id := e.put(rare)[0]
		e.fill("b", 700)
		e.wantEvents(queue.Filter{Source: "other", Limit: 3}, id)
		e.wantEvents(queue.Filter{Type: "rare.*", Limit: 3}, id)
		e.wantEvents(queue.Filter{Destination: "elsewhere", Limit: 3}, id)
		e.wantEvents(queue.Filter{EventID: "rare", Limit: 3}, id)
	}},
	{"MalformedOnesAreRefused", func(e *env) {
		inspector := e.inspector()
		e.fill("a", 3)
		for _, f := range []queue.Filter{{Type: "[a-"}, {Type: "a[]"}, {Cursor: "not a cursor"}} {
			if page, err := inspector.Events(e.Context(), f); err == nil {
				e.Errorf("filter %+v: %d events and no error", f, len(page.Events))
			}
		}
	}},
	{"NegativeLimitIsTheDefault", func(e *env) {
		ids := e.fill("a", 60)
		slices.Reverse(ids)
		e.wantEvents(queue.Filter{Limit: -1}, ids...)
	}},
}

// filterEvents makes 24 events that differ in everything a filter looks at, and compares each filter with a loop over them.
func filterEvents(e *env) {
	var all []queue.Event
	for i := range 24 {
		n := e.event(fmt.Sprint("id", i%6), dest)
		n.DedupKey = ""
		n.Source = []string{"src", "shop", "shop2"}[i%3]
		n.Provider = []string{"stripe", "github"}[i%2]
		n.Type = []string{"invoice.paid", "invoice.failed", "customer.created", "", "a/b"}[i%5]
		n.ID = e.put(n)[0]
		all = append(all, n.Event)
		e.clock.Advance(10 * time.Minute)
	}
	slices.Reverse(all)
	middle := all[10].ReceivedAt
	check := func(f queue.Filter, want func(ev queue.Event) bool) {
		e.Helper()
		var ids []queue.ID
		for _, ev := range all {
			if want(ev) {
				ids = append(ids, ev.ID)
			}
		}
		for _, limit := range []int{0, 1, 4} {
			f.Limit = limit
			e.wantEvents(f, ids...)
		}
	}
	check(queue.Filter{Source: "shop"}, func(ev queue.Event) bool { return ev.Source == "shop" })
	check(queue.Filter{Source: "sho"}, func(queue.Event) bool { return false })
	check(queue.Filter{Provider: "stripe"}, func(ev queue.Event) bool { return ev.Provider == "stripe" })
	for _, id := range []queue.ID{all[0].ID, all[9].ID, all[23].ID, all[0].ID + 1} {
		check(queue.Filter{ID: id}, func(ev queue.Event) bool { return ev.ID == id })
		check(queue.Filter{ID: id, Source: "shop"}, func(ev queue.Event) bool { return ev.ID == id && ev.Source == "shop" })
		check(queue.Filter{ID: id, Type: "invoice.*"}, func(ev queue.Event) bool { return ev.ID == id && strings.HasPrefix(ev.Type, "invoice.") })
		check(queue.Filter{ID: id, Since: middle}, func(ev queue.Event) bool { return ev.ID == id && !ev.ReceivedAt.Before(middle) })
		check(queue.Filter{ID: id, Until: middle}, func(ev queue.Event) bool { return ev.ID == id && ev.ReceivedAt.Before(middle) })
		check(queue.Filter{ID: id, Destination: "nobody"}, func(queue.Event) bool { return false })
	}
	check(queue.Filter{EventID: "id3"}, func(ev queue.Event) bool { return ev.EventID == "id3" })
	check(queue.Filter{Type: "invoice.paid"}, func(ev queue.Event) bool { return ev.Type == "invoice.paid" })
	check(queue.Filter{Type: "invoice.*"}, func(ev queue.Event) bool { return ev.Type == "invoice.paid" || ev.Type == "invoice.failed" })
	check(queue.Filter{Type: "*"}, func(ev queue.Event) bool { return true })
	check(queue.Filter{Type: "a/*"}, func(ev queue.Event) bool { return ev.Type == "a/b" })
	check(queue.Filter{Since: middle}, func(ev queue.Event) bool { return !ev.ReceivedAt.Before(middle) })
	check(queue.Filter{Until: middle}, func(ev queue.Event) bool { return ev.ReceivedAt.Before(middle) })
	check(queue.Filter{Since: middle.Add(-time.Hour), Until: middle.Add(time.Millisecond)}, func(ev queue.Event) bool {
		return !ev.ReceivedAt.Before(middle.Add(-time.Hour)) && !ev.ReceivedAt.After(middle)
	})
	check(queue.Filter{Since: middle, Until: middle}, func(queue.Event) bool { return false })
	check(queue.Filter{Source: "shop2", Provider: "github", Type: "customer.*", Since: all[20].ReceivedAt}, func(ev queue.Event) bool {
		return ev.Source == "shop2" && ev.Provider == "github" && ev.Type == "customer.created" && !ev.ReceivedAt.Before(all[20].ReceivedAt)
	})
}

// filterDeliveries checks that destination, states and error are asked of the same delivery.
func filterDeliveries(e *env) {
	var ids []queue.ID
	for i := range 5 {
		ids = append(ids, e.put(e.event(fmt.Sprint(i), "a", "b"))[0])
	}
	only := e.put(e.event("only b", "b"))[0]
	none := e.put(e.event("none"))[0]
	as := e.claimFrom("a", 4)
	e.wantIDs(as, ids[:4]...)
	e.deliver(as[0])
	e.die(as[1])
	timeout := e.outcome(as[2], queue.StatePending, 0, "timeout")
	timeout.Due = e.clock.Now().Add(time.Hour)
	e.mustSettle(timeout)
	bs := e.claimFrom("b", 1)
	e.wantIDs(bs, ids[0])
	e.mustSettle(e.outcome(bs[0], queue.StateDead, 0, "timeout"))

	// a: delivered, dead (status), pending (timeout), delivering, pending. b: dead (timeout), then pending.
	s := func(states ...queue.State) []queue.State { return states }
	e.wantEvents(queue.Filter{Destination: "a"}, ids[4], ids[3], ids[2], ids[1], ids[0])
	e.wantEvents(queue.Filter{Destination: "b"}, only, ids[4], ids[3], ids[2], ids[1], ids[0])
	e.wantEvents(queue.Filter{Destination: "c"})
	e.wantEvents(queue.Filter{}, none, only, ids[4], ids[3], ids[2], ids[1], ids[0])
	e.wantEvents(queue.Filter{States: s(queue.StateDead)}, ids[1], ids[0])
	e.wantEvents(queue.Filter{States: s(queue.StateDelivered, queue.StateDelivering)}, ids[3], ids[0])
	e.wantEvents(queue.Filter{States: s(queue.StatePending)}, only, ids[4], ids[3], ids[2], ids[1])
	e.wantEvents(queue.Filter{States: s(queue.StateCancelled)})
	e.wantEvents(queue.Filter{Destination: "a", States: s(queue.StateDead)}, ids[1])
	e.wantEvents(queue.Filter{Destination: "a", States: s(queue.StatePending)}, ids[4], ids[2])
	e.wantEvents(queue.Filter{Destination: "b", States: s(queue.StateDead, queue.StateDelivered)}, ids[0])
	e.wantEvents(queue.Filter{Error: "timeout"}, ids[2], ids[0])
	e.wantEvents(queue.Filter{Error: "status"}, ids[1])
	e.wantEvents(queue.Filter{Error: "tls"})
	e.wantEvents(queue.Filter{Destination: "a", Error: "timeout"}, ids[2])
	e.wantEvents(queue.Filter{States: s(queue.StateDead), Error: "timeout"}, ids[0])
	e.wantEvents(queue.Filter{States: s(queue.StateDelivered), Error: "timeout"})
	e.wantEvents(queue.Filter{Destination: "a", States: s(queue.StateDead), Error: "timeout"})
}
