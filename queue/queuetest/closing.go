package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

var closeTests = []test{
	{"IsIdempotent", func(e *env) {
		for range 3 {
			e.must(e.store.Close(), "close")
		}
	}},
	{"ConcurrentCloses", func(e *env) {
		e.fill("a", 10)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := e.store.Close(); err != nil {
					e.Errorf("close: %v", err)
				}
			})
		}
		wg.Wait()
	}},
	{"EverythingIsClosedAfterwards", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		c := e.claimOne(id)
		e.must(e.store.Close(), "close")
		for name, err := range e.callAll(e.Context(), c) {
			if !errors.Is(err, queue.ErrClosed) {
				e.Errorf("%s: %v, want %v", name, err, queue.ErrClosed)
			}
		}
	}},
	{"UnderLoad", closeUnderLoad},
}

// callAll calls every method but Close with arguments that are fine, and returns the errors.
func (e *env) callAll(ctx context.Context, c queue.Claimed) map[string]error {
	id := c.Event.ID
	errs := map[string]error{}
	_, errs["Enqueue"] = e.store.Enqueue(ctx, []queue.NewEvent{e.event("new", dest)})
	_, _, errs["Claim"] = e.store.Claim(ctx, e.request(dest, 1))
	_, errs["Settle"] = e.store.Settle(ctx, []queue.Settlement{e.outcome(c, queue.StateDelivered, 200, "")})
	errs["Replay"] = e.store.Replay(ctx, id, dest, "")
	errs["Cancel"] = e.store.Cancel(ctx, id, dest)
	if s, ok := e.store.(queue.Inspector); ok {
		_, errs["Event"] = s.Event(ctx, id)
		_, errs["Deliveries"] = s.Deliveries(ctx, id)
		_, errs["Attempts"] = s.Attempts(ctx, id, dest)
		_, errs["Events"] = s.Events(ctx, queue.Filter{})
		_, errs["Stats"] = s.Stats(ctx)
	}
	if s, ok := e.store.(queue.Maintainer); ok {
		_, errs["Maintain"] = s.Maintain(ctx, e.clock.Now(), queue.Retention{Delivered: time.Hour})
	}
	if s, ok := e.store.(queue.Metadata); ok {
		errs["PutMeta"] = s.PutMeta(ctx, "k", []byte("v"))
		_, errs["Meta"] = s.Meta(ctx, "k")
		errs["ListMeta"] = s.ListMeta(ctx, "", "", func(string, []byte) bool { return true })
	}
	return errs
}

// closeUnderLoad closes a store while others use it: each call succeeds or says that the store is closed.
func closeUnderLoad(e *env) {
	e.fill("a", 100)
	var wg sync.WaitGroup
	started := make(chan struct{}, 8)
	for w := range 4 {
		wg.Go(func() {
			for i := range manyCalls {
				receipts, err := e.store.Enqueue(e.Context(), []queue.NewEvent{e.event(fmt.Sprint("w", w, "-", i), dest)})
				if i == 20 {
					started <- struct{}{}
				}
				if err != nil {
					if !errors.Is(err, queue.ErrClosed) {
						e.Errorf("enqueue: %v", err)
					}
					return
				}
				if len(receipts) != 1 {
					e.Errorf("%d receipts", len(receipts))
				}
			}
		})
		wg.Go(func() {
			for i := range manyCalls {
				claimed, _, err := e.store.Claim(e.Context(), e.request(dest, 4))
				for _, c := range claimed {
					if _, err = e.store.Settle(e.Context(), []queue.Settlement{{Lease: c.Lease, State: queue.StateDelivered}}); err != nil {
						break
					}
				}
				if i == 20 {
					started <- struct{}{}
				}
				if err != nil {
					if !errors.Is(err, queue.ErrClosed) {
						e.Errorf("claim and settle: %v", err)
					}
					return
				}
			}
		})
	}
	for range cap(started) {
		<-started
	}
	e.must(e.store.Close(), "close")
	wg.Wait()
}

var contextTests = []test{
	{"EndedBefore", func(e *env) {
		id := e.put(e.event("1", dest))[0]
		ctx, cancel := context.WithCancel(e.Context())
		cancel()
		receipts, err := e.store.Enqueue(ctx, []queue.NewEvent{e.event("2", dest)})
		if !errors.Is(err, context.Canceled) || len(receipts) != 0 {
			e.Errorf("enqueue after the end: %v, %v", receipts, err)
		}
		if claimed, _, err := e.store.Claim(ctx, e.request(dest, 10)); err != nil && len(claimed) > 0 {
			e.Errorf("claimed %v with the error %v", idsOf(claimed), err)
		}
		// Whether the second one was stored or not, sending it again leaves one of it.
		e.clock.Advance(leaseTime)
		r := e.enqueue(e.event("2", dest))[0]
		e.wantSet(e.claim(10), id, r.ID)
	}},
	{"EndsMeanwhile", endsMeanwhile},
}

// endsMeanwhile cancels enqueues at any moment. Afterwards every event is sent again, and is there once.
func endsMeanwhile(e *env) {
	const writers, each = 8, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				ctx, cancel := context.WithCancel(e.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					cancel()
				}()
				_, err := e.store.Enqueue(ctx, []queue.NewEvent{e.event(fmt.Sprint(w, "-", i), dest)})
				<-done
				if err != nil && !errors.Is(err, context.Canceled) {
					e.Errorf("enqueue: %v", err)
				}
			}
		})
	}
	wg.Wait()
	want := make([]queue.ID, 0, writers*each)
	for w := range writers {
		for i := range each {
			want = append(want, e.enqueue(e.event(fmt.Sprint(w, "-", i), dest))[0].ID)
		}
	}
	e.wantSet(e.claim(2*writers*each), want...)
}
