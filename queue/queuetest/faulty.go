package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// Op names the methods of a store for which faults can be injected.
type Op string

// The operations of a [Faulty] store.
const (
	OpEnqueue  Op = "enqueue"
	OpClaim    Op = "claim"
	OpSettle   Op = "settle"
	OpReplay   Op = "replay"
	OpCancel   Op = "cancel"
	OpClose    Op = "close"
	OpInspect  Op = "inspect"  // all of queue.Inspector
	OpMaintain Op = "maintain" // queue.Maintainer
	OpMeta     Op = "metadata" // all of queue.Metadata
)

// Fault is what happens to calls of one operation. The zero value does nothing.
type Fault struct {
	// Err is returned instead of the store's answer. [queue.ErrLeaseLost] from [OpSettle] is the answer to each settlement.
	Err error
	// Stored lets a call with Err reach the store first: what it asked for is done, and the caller is told otherwise.
	Stored bool
	// Gate delays a call until it is closed or the call's context ends, whose error is returned then.
	Gate <-chan struct{}
	// Hit is called when the fault hits a call, before the gate.
	Hit func()
	// Times is how many calls are hit before the fault heals by itself; zero: all until it is healed.
	Times int
}

// Faulty is a store that fails or delays calls under a test's control. It offers all optional interfaces; those that the store
// behind it does not implement return [errors.ErrUnsupported]. It is safe for concurrent use.
type Faulty struct {
	inner queue.Store

	mu     sync.Mutex
	faults map[Op]*Fault
	calls  map[Op]int
}

var (
	_ queue.Store      = (*Faulty)(nil)
	_ queue.Inspector  = (*Faulty)(nil)
	_ queue.Maintainer = (*Faulty)(nil)
	_ queue.Metadata   = (*Faulty)(nil)
)

// NewFaulty wraps a store, without faults at first.
func NewFaulty(inner queue.Store) *Faulty {
	return &Faulty{inner: inner, faults: map[Op]*Fault{}, calls: map[Op]int{}}
}

// Inject sets the fault of an operation, in place of the one it had.
func (f *Faulty) Inject(op Op, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[op] = &fault
}

// Heal removes the faults of the given operations, of all if none is given. Calls that wait at a gate go on waiting.
func (f *Faulty) Heal(ops ...Op) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(ops) == 0 {
		clear(f.faults)
	}
	for _, op := range ops {
		delete(f.faults, op)
	}
}

// Calls returns how many calls of an operation were begun, whether they were hit or not.
func (f *Faulty) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// begin applies a fault to a call. With err the call does not reach the store; with late it does, and late is its answer.
func (f *Faulty) begin(ctx context.Context, op Op) (late, err error) {
	fault := f.take(op)
	if fault.Hit != nil {
		fault.Hit()
	}
	if fault.Gate != nil {
		select {
		case <-fault.Gate:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w", op, ctx.Err())
		}
	}
	if fault.Err == nil {
		return nil, nil
	}
	answer := fmt.Errorf("%s: injected: %w", op, fault.Err)
	if fault.Stored {
		return answer, nil
	}
	return nil, answer
}

func (f *Faulty) take(op Op) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	fault := f.faults[op]
	if fault == nil {
		return Fault{}
	}
	hit := *fault
	if fault.Times == 1 {
		delete(f.faults, op)
	} else if fault.Times > 1 {
		fault.Times--
	}
	return hit
}

// Enqueue implements [queue.Store].
func (f *Faulty) Enqueue(ctx context.Context, events []queue.NewEvent) ([]queue.Receipt, error) {
	late, err := f.begin(ctx, OpEnqueue)
	if err != nil {
		return nil, err
	}
	receipts, err := f.inner.Enqueue(ctx, events)
	if late != nil {
		return nil, late
	}
	return receipts, err
}

// Claim implements [queue.Store].
func (f *Faulty) Claim(ctx context.Context, req queue.ClaimRequest) ([]queue.Claimed, time.Time, error) {
	late, err := f.begin(ctx, OpClaim)
	if err != nil {
		return nil, time.Time{}, err
	}
	claimed, next, err := f.inner.Claim(ctx, req)
	if late != nil {
		return nil, time.Time{}, late
	}
	return claimed, next, err
}

// Settle implements [queue.Store].
func (f *Faulty) Settle(ctx context.Context, settlements []queue.Settlement) ([]error, error) {
	late, err := f.begin(ctx, OpSettle)
	if err == nil {
		var lost []error
		if lost, err = f.inner.Settle(ctx, settlements); late == nil {
			return lost, err
		}
		err = late
	}
	if !errors.Is(err, queue.ErrLeaseLost) {
		return nil, err
	}
	lost := make([]error, len(settlements))
	for i := range lost {
		lost[i] = err
	}
	return lost, nil
}

// Replay implements [queue.Store].
func (f *Faulty) Replay(ctx context.Context, event queue.ID, destination string, orderKey string) error {
	return f.call(ctx, OpReplay, func() error { return f.inner.Replay(ctx, event, destination, orderKey) })
}

// Cancel implements [queue.Store].
func (f *Faulty) Cancel(ctx context.Context, event queue.ID, destination string) error {
	return f.call(ctx, OpCancel, func() error { return f.inner.Cancel(ctx, event, destination) })
}

// call makes a call whose only answer is an error.
func (f *Faulty) call(ctx context.Context, op Op, do func() error) error {
	late, err := f.begin(ctx, op)
	if err != nil {
		return err
	}
	if err = do(); late != nil {
		return late
	}
	return err
}

// Wake implements [queue.Store].
func (f *Faulty) Wake() <-chan string { return f.inner.Wake() }

// Close implements [queue.Store].
func (f *Faulty) Close() error {
	return f.call(context.Background(), OpClose, f.inner.Close)
}
