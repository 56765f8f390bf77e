package queuetest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

func newFaulty(clock *queuetest.Clock) *queuetest.Faulty {
	return queuetest.NewFaulty(memstore.New(memstore.Options{Clock: clock.Now}))
}

func newEvent(id string) []queue.NewEvent {
	return []queue.NewEvent{{
		Event:       queue.Event{Source: "s", EventID: id},
		DedupKey:    id,
		DedupWindow: time.Hour,
		Deliveries:  []queue.NewDelivery{{Destination: "app"}},
	}}
}

// Without faults it is the store behind it.
func TestFaultyConforms(t *testing.T) {
	queuetest.Run(t, func(_ testing.TB, clock *queuetest.Clock) queue.Store { return newFaulty(clock) })
}

func TestFaultyRefuses(t *testing.T) {
	f := newFaulty(queuetest.NewClock())
	f.Inject(queuetest.OpEnqueue, queuetest.Fault{Err: queue.ErrFull, Times: 2})
	for range 2 {
		if _, err := f.Enqueue(t.Context(), newEvent("1")); !errors.Is(err, queue.ErrFull) {
			t.Fatalf("enqueue: %v", err)
		}
	}
	receipts, err := f.Enqueue(t.Context(), newEvent("1"))
	if err != nil || receipts[0].Duplicate {
		t.Errorf("after two refusals: %+v, %v; want it stored for the first time", receipts, err)
	}
	if n := f.Calls(queuetest.OpEnqueue); n != 3 {
		t.Errorf("%d calls, want 3", n)
	}
}

func TestFaultyStoresAndSaysOtherwise(t *testing.T) {
	f := newFaulty(queuetest.NewClock())
	f.Inject(queuetest.OpEnqueue, queuetest.Fault{Err: queue.ErrFailed, Stored: true})
	if _, err := f.Enqueue(t.Context(), newEvent("1")); !errors.Is(err, queue.ErrFailed) {
		t.Fatalf("enqueue: %v", err)
	}
	f.Heal(queuetest.OpEnqueue)
	if receipts, err := f.Enqueue(t.Context(), newEvent("1")); err != nil || !receipts[0].Duplicate {
		t.Errorf("sent again: %+v, %v; want a duplicate", receipts, err)
	}
}

func TestFaultyLosesLeases(t *testing.T) {
	clock := queuetest.NewClock()
	f := newFaulty(clock)
	if _, err := f.Enqueue(t.Context(), newEvent("1")); err != nil {
		t.Fatal(err)
	}
	claimed, _, err := f.Claim(t.Context(), queue.ClaimRequest{Destination: "app", Limit: 1, Now: clock.Now(), Lease: time.Minute})
	if err != nil || len(claimed) != 1 {
		t.Fatal(claimed, err)
	}
	settle := []queue.Settlement{{Lease: claimed[0].Lease, State: queue.StateDelivered}}
	f.Inject(queuetest.OpSettle, queuetest.Fault{Err: queue.ErrLeaseLost, Times: 1})
	if lost, err := f.Settle(t.Context(), settle); err != nil || len(lost) != 1 || !errors.Is(lost[0], queue.ErrLeaseLost) {
		t.Errorf("settle: %v, %v", lost, err)
	}
	f.Inject(queuetest.OpSettle, queuetest.Fault{Err: queue.ErrClosed, Times: 1})
	if lost, err := f.Settle(t.Context(), settle); !errors.Is(err, queue.ErrClosed) || lost != nil {
		t.Errorf("settle: %v, %v", lost, err)
	}
	if lost, err := f.Settle(t.Context(), settle); err != nil || lost[0] != nil {
		t.Errorf("settle of the lease that was there all the time: %v, %v", lost, err)
	}
}

func TestFaultyDelays(t *testing.T) {
	f := newFaulty(queuetest.NewClock())
	gate, arrived := make(chan struct{}), make(chan struct{}, 2)
	f.Inject(queuetest.OpEnqueue, queuetest.Fault{Gate: gate, Hit: func() { arrived <- struct{}{} }})
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	enqueue := func(ctx context.Context) {
		_, err := f.Enqueue(ctx, newEvent("1"))
		result <- err
	}
	go enqueue(ctx)
	<-arrived
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled at the gate: %v", err)
	}
	go enqueue(t.Context())
	<-arrived
	close(gate)
	if err := <-result; err != nil {
		t.Errorf("after the gate opened: %v", err)
	}
}

// A store without the optional interfaces behind it.
func TestFaultyWithoutOptionalInterfaces(t *testing.T) {
	f := queuetest.NewFaulty(struct{ queue.Store }{memstore.New(memstore.Options{})})
	if _, err := f.Stats(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("stats: %v", err)
	}
	if err := f.PutMeta(t.Context(), "k", nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("put metadata: %v", err)
	}
}
