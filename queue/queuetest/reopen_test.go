package queuetest_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// revenant is a store in memory that can be opened again after it was closed: what the reopen suite is tried on. Its leases are
// ended by giving them back.
type revenant struct {
	*queuetest.Faulty
	inner *memstore.Store

	mu     sync.Mutex
	leased []queue.Claimed
}

var everything = []queuetest.Op{
	queuetest.OpEnqueue, queuetest.OpClaim, queuetest.OpSettle, queuetest.OpReplay, queuetest.OpCancel,
	queuetest.OpInspect, queuetest.OpMaintain, queuetest.OpMeta,
}

func newRevenant(inner *memstore.Store) *revenant {
	return &revenant{Faulty: queuetest.NewFaulty(inner), inner: inner}
}

func (r *revenant) Claim(ctx context.Context, req queue.ClaimRequest) ([]queue.Claimed, time.Time, error) {
	claimed, next, err := r.Faulty.Claim(ctx, req)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leased = append(r.leased, claimed...)
	return claimed, next, err
}

func (r *revenant) Close() error {
	for _, op := range everything {
		r.Inject(op, queuetest.Fault{Err: queue.ErrClosed})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	settlements := make([]queue.Settlement, len(r.leased))
	for i, c := range r.leased {
		settlements[i] = queue.Settlement{Lease: c.Lease, State: queue.StatePending, Due: c.Delivery.Due}
	}
	// Those that were lost or settled before stay as they are.
	_, err := r.inner.Settle(context.Background(), settlements)
	r.leased = nil
	return err
}

func TestReopenSuite(t *testing.T) {
	var mu sync.Mutex
	stores := map[string]*memstore.Store{}
	queuetest.RunReopen(t, func(_ testing.TB, dir string, clock *queuetest.Clock) queue.Store {
		mu.Lock()
		defer mu.Unlock()
		if stores[dir] == nil {
			stores[dir] = memstore.New(memstore.Options{Clock: clock.Now})
		}
		return newRevenant(stores[dir])
	})
}
