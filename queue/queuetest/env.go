package queuetest

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	leaseTime = time.Minute
	window    = 72 * time.Hour
	// dest is the destination of tests that need only one.
	dest = "app"
	// manyCalls bounds loops that a broken store would keep running for ever.
	manyCalls = 100_000
)

// testT is what a test case needs of [testing.T] or [rapid.T].
type testT interface {
	rapid.TB
	Context() context.Context
}

// env is a store under test, its clock, and short forms of what tests do with them. Short forms end the test when a call fails.
type env struct {
	testT
	clock *Clock
	store queue.Store
	open  func() queue.Store // opens it again; only in the reopen suite
}

func newEnv(t testT, clock *Clock, store queue.Store) *env {
	return &env{testT: t, clock: clock, store: store}
}

func (e *env) close() {
	e.Helper()
	if err := e.store.Close(); err != nil {
		e.Errorf("close: %v", err)
	}
}

// reopen closes the store and opens it again.
func (e *env) reopen() {
	e.Helper()
	if err := e.store.Close(); err != nil {
		e.Fatalf("close: %v", err)
	}
	e.store = e.open()
}

func (e *env) must(err error, doing string) {
	e.Helper()
	if err != nil {
		e.Fatalf("%s: %v", doing, err)
	}
}

// optional returns the store as one of the optional interfaces, or skips the test.
func optional[T any](e *env) T {
	e.Helper()
	as, ok := e.store.(T)
	if !ok {
		e.Skipf("%T does not implement %T", e.store, (*T)(nil))
	}
	return as
}

func (e *env) inspector() queue.Inspector { return optional[queue.Inspector](e) }

// event makes an event of source "src" with the given id as its dedup key.
func (e *env) event(id string, destinations ...string) queue.NewEvent {
	n := queue.NewEvent{
		Event: queue.Event{
			Source:     "src",
			Provider:   "hmac",
			ReceivedAt: e.clock.Now().Truncate(time.Millisecond),
			EventID:    id,
			Type:       "test.created",
			Method:     http.MethodPost,
			URL:        "https://hooks.example.com/src",
			Header:     http.Header{"Content-Type": {"application/json"}},
			Body:       fmt.Appendf(nil, `{"id":%q}`, id),
		},
		DedupKey:    id,
		DedupWindow: window,
	}
	for _, d := range destinations {
		n.Deliveries = append(n.Deliveries, queue.NewDelivery{Destination: d})
	}
	return n
}

// ordered makes an event with one delivery to dest that has an order key.
func (e *env) ordered(id, key string) queue.NewEvent {
	n := e.event(id, dest)
	n.Deliveries[0].OrderKey = key
	return n
}

func (e *env) enqueue(events ...queue.NewEvent) []queue.Receipt {
	e.Helper()
	receipts, err := e.store.Enqueue(e.Context(), events)
	e.must(err, "enqueue")
	if len(receipts) != len(events) {
		e.Fatalf("%d receipts for %d events", len(receipts), len(events))
	}
	return receipts
}

// put enqueues new events and returns their ids.
func (e *env) put(events ...queue.NewEvent) []queue.ID {
	e.Helper()
	ids := make([]queue.ID, 0, len(events))
	for _, r := range e.enqueue(events...) {
		if r.Duplicate {
			e.Fatalf("a new event is called a duplicate of %s", r.ID)
		}
		ids = append(ids, r.ID)
	}
	return ids
}

// fill enqueues n events for dest, named prefix0, prefix1, and so on.
func (e *env) fill(prefix string, n int) []queue.ID {
	e.Helper()
	events := make([]queue.NewEvent, n)
	for i := range events {
		events[i] = e.event(fmt.Sprint(prefix, i), dest)
	}
	return e.put(events...)
}

// claimOnce is one call of Claim for dest, by the clock.
func (e *env) claimOnce(limit int) ([]queue.Claimed, time.Time) {
	e.Helper()
	claimed, next, err := e.store.Claim(e.Context(), e.request(dest, limit))
	e.must(err, "claim")
	if len(claimed) > limit {
		e.Fatalf("claimed %d with a limit of %d", len(claimed), limit)
	}
	return claimed, next
}

func (e *env) request(destination string, limit int) queue.ClaimRequest {
	return queue.ClaimRequest{Destination: destination, Limit: limit, Now: e.clock.Now(), Lease: leaseTime}
}

// claimFrom claims what is due for a destination, at most limit, in as many calls as the store wants.
func (e *env) claimFrom(destination string, limit int) []queue.Claimed {
	e.Helper()
	claimed, _ := e.claimAll(destination, limit)
	return claimed
}

func (e *env) claimAll(destination string, limit int) (claimed []queue.Claimed, next time.Time) {
	e.Helper()
	for range manyCalls {
		if len(claimed) == limit {
			return claimed, next
		}
		req := e.request(destination, limit-len(claimed))
		more, at, err := e.store.Claim(e.Context(), req)
		e.must(err, "claim")
		if len(more) > req.Limit {
			e.Fatalf("claimed %d with a limit of %d", len(more), req.Limit)
		}
		claimed, next = append(claimed, more...), at
		if len(more) == 0 && (next.IsZero() || next.After(req.Now)) {
			return claimed, next
		}
	}
	e.Fatalf("claim asks to be called again and again and returns nothing (%d claimed)", len(claimed))
	return nil, time.Time{}
}

// claim claims what is due for dest.
func (e *env) claim(limit int) []queue.Claimed {
	e.Helper()
	return e.claimFrom(dest, limit)
}

// claimOne claims exactly one delivery from dest, of the given event.
func (e *env) claimOne(id queue.ID) queue.Claimed {
	e.Helper()
	claimed := e.claim(1)
	e.wantIDs(claimed, id)
	return claimed[0]
}

// idle checks that nothing is due for dest.
func (e *env) idle() {
	e.Helper()
	if claimed := e.claim(1); len(claimed) > 0 {
		e.Fatalf("claimed %v, want nothing to be due", idsOf(claimed))
	}
}

// delivery returns the row of a delivery; it skips the test on a store without an inspector.
func (e *env) delivery(id queue.ID, destination string) queue.Delivery {
	e.Helper()
	rows, err := e.inspector().Deliveries(e.Context(), id)
	e.must(err, "deliveries")
	i := slices.IndexFunc(rows, func(d queue.Delivery) bool { return d.Destination == destination })
	if i < 0 {
		e.Fatalf("%s has no delivery to %s", id, destination)
	}
	return rows[i]
}

func idsOf(claimed []queue.Claimed) []queue.ID {
	ids := make([]queue.ID, len(claimed))
	for i, c := range claimed {
		ids[i] = c.Event.ID
	}
	return ids
}

// wantIDs checks the claimed events and their order.
func (e *env) wantIDs(claimed []queue.Claimed, want ...queue.ID) {
	e.Helper()
	if got := idsOf(claimed); !slices.Equal(got, want) {
		e.Fatalf("claimed %v, want %v", got, want)
	}
}

// wantSet checks the claimed events in any order.
func (e *env) wantSet(claimed []queue.Claimed, want ...queue.ID) {
	e.Helper()
	got, want := idsOf(claimed), slices.Clone(want)
	slices.SortFunc(got, cmp.Compare[queue.ID])
	slices.SortFunc(want, cmp.Compare[queue.ID])
	if !slices.Equal(got, want) {
		e.Fatalf("claimed %v, want %v in any order", got, want)
	}
}

// drain claims and delivers all that is due for a destination, batch by batch, and returns the events in the order in which they came.
func (e *env) drain(destination string, batch int) []queue.ID {
	e.Helper()
	var ids []queue.ID
	for range manyCalls {
		claimed := e.claimFrom(destination, batch)
		if len(claimed) == 0 {
			return ids
		}
		ids = append(ids, idsOf(claimed)...)
		e.deliver(claimed...)
	}
	e.Fatalf("no end of draining %s", destination)
	return nil
}
