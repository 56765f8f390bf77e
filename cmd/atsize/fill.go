package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/badgerstore"
)

// The configuration that the store is filled for.
const (
	sourceName = "payments"
	delivering = "app"
	stuck      = "stuck"
)

const (
	fillBatch = 500
	comeBack  = time.Second // to a store that could not keep up
)

// fill makes a store with history and a backlog.
func fill(ctx context.Context, o *options) (err error) {
	store, err := badgerstore.Open(o.dir, badgerstore.Options{NoSync: true})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := store.Close(); err == nil {
			err = closeErr
		}
	}()
	started := time.Now()
	for n := 0; n < o.history; n += fillBatch {
		count := min(fillBatch, o.history-n)
		if err := enqueue(ctx, store, o, n, count, delivering); err != nil {
			return err
		}
		if err := settle(ctx, store, n); err != nil {
			return err
		}
		tell("history", n+count, o.history, started)
	}
	started = time.Now()
	for n := 0; n < o.pending; n += fillBatch {
		count := min(fillBatch, o.pending-n)
		if err := enqueue(ctx, store, o, o.history+n, count, stuck); err != nil {
			return err
		}
		tell("pending", n+count, o.pending, started)
	}
	return nil
}

func tell(what string, done, all int, started time.Time) {
	if done%100_000 < fillBatch || done == all {
		fmt.Printf("%s: %d of %d events, %.0f/s\n", what, done, all, float64(done)/time.Since(started).Seconds())
	}
}

func enqueue(ctx context.Context, store queue.Store, o *options, from, count int, destination string) error {
	events := make([]queue.NewEvent, count)
	at := time.Now()
	for i := range events {
		id := fmt.Sprintf("evt_%09d", from+i)
		kind := []string{"invoice.paid", "charge.succeeded", "customer.updated", "charge.failed"}[(from+i)%4]
		body := fmt.Sprintf(`{"id":%q,"type":%q,"created":%d,"data":{"object":{"id":"in_%d","note":%q}}}`, id, kind, at.Unix(), from+i, strings.Repeat("x", max(0, o.size-120)))
		events[i] = queue.NewEvent{
			Event: queue.Event{
				Source: sourceName, Provider: "stripe", ReceivedAt: at.Truncate(time.Millisecond), EventID: id, Type: kind, Time: at, Subject: fmt.Sprintf("in_%d", from+i),
				Method: http.MethodPost, URL: "http://localhost/", Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body),
			},
			DedupKey: id, DedupWindow: 72 * time.Hour, Deliveries: []queue.NewDelivery{{Destination: destination}},
		}
	}
	again := time.NewTicker(comeBack)
	defer again.Stop()
	for {
		_, err := store.Enqueue(ctx, events)
		if !errors.Is(err, queue.ErrFull) {
			return err
		}
		select { // as a provider does
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// settle delivers what is pending; one in a hundred dies.
func settle(ctx context.Context, store queue.Store, n int) error {
	for {
		claimed, next, err := store.Claim(ctx, queue.ClaimRequest{Destination: delivering, Limit: fillBatch, Now: time.Now(), Lease: time.Minute})
		if err != nil {
			return err
		}
		if len(claimed) == 0 {
			if next.IsZero() {
				return nil
			}
			continue
		}
		settlements := make([]queue.Settlement, len(claimed))
		for i := range claimed {
			attempt := &queue.Attempt{At: time.Now(), Duration: 12 * time.Millisecond, Status: http.StatusOK}
			state := queue.StateDelivered
			if (n+i)%100 == 99 {
				attempt.Status, attempt.Class, attempt.Error = http.StatusInternalServerError, "status", "answered 500"
				state = queue.StateDead
			}
			settlements[i] = queue.Settlement{Lease: claimed[i].Lease, State: state, Attempt: attempt}
		}
		if _, err := store.Settle(ctx, settlements); err != nil {
			return err
		}
	}
}
