package queuetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// answer makes a call of an optional interface of the store behind a faulty one.
func answer[I, T any](ctx context.Context, f *Faulty, op Op, do func(inner I) (T, error)) (T, error) {
	var none T
	inner, ok := f.inner.(I)
	if !ok {
		return none, fmt.Errorf("%s: %T: %w", op, f.inner, errors.ErrUnsupported)
	}
	late, err := f.begin(ctx, op)
	if err != nil {
		return none, err
	}
	got, err := do(inner)
	if late != nil {
		return none, late
	}
	return got, err
}

// Event implements [queue.Inspector].
func (f *Faulty) Event(ctx context.Context, id queue.ID) (*queue.Event, error) {
	return answer(ctx, f, OpInspect, func(s queue.Inspector) (*queue.Event, error) { return s.Event(ctx, id) })
}

// Deliveries implements [queue.Inspector].
func (f *Faulty) Deliveries(ctx context.Context, id queue.ID) ([]queue.Delivery, error) {
	return answer(ctx, f, OpInspect, func(s queue.Inspector) ([]queue.Delivery, error) { return s.Deliveries(ctx, id) })
}

// Attempts implements [queue.Inspector].
func (f *Faulty) Attempts(ctx context.Context, id queue.ID, destination string) ([]queue.Attempt, error) {
	return answer(ctx, f, OpInspect, func(s queue.Inspector) ([]queue.Attempt, error) { return s.Attempts(ctx, id, destination) })
}

// Events implements [queue.Inspector].
func (f *Faulty) Events(ctx context.Context, filter queue.Filter) (queue.Page, error) {
	return answer(ctx, f, OpInspect, func(s queue.Inspector) (queue.Page, error) { return s.Events(ctx, filter) })
}

// Stats implements [queue.Inspector].
func (f *Faulty) Stats(ctx context.Context) (queue.Stats, error) {
	return answer(ctx, f, OpInspect, func(s queue.Inspector) (queue.Stats, error) { return s.Stats(ctx) })
}

// Maintain implements [queue.Maintainer].
func (f *Faulty) Maintain(ctx context.Context, now time.Time, r queue.Retention) (int, error) {
	return answer(ctx, f, OpMaintain, func(s queue.Maintainer) (int, error) { return s.Maintain(ctx, now, r) })
}

// PutMeta implements [queue.Metadata].
func (f *Faulty) PutMeta(ctx context.Context, key string, value []byte) error {
	_, err := answer(ctx, f, OpMeta, func(s queue.Metadata) (struct{}, error) { return struct{}{}, s.PutMeta(ctx, key, value) })
	return err
}

// Meta implements [queue.Metadata].
func (f *Faulty) Meta(ctx context.Context, key string) ([]byte, error) {
	return answer(ctx, f, OpMeta, func(s queue.Metadata) ([]byte, error) { return s.Meta(ctx, key) })
}

// ListMeta implements [queue.Metadata].
func (f *Faulty) ListMeta(ctx context.Context, prefix, after string, fn func(key string, value []byte) bool) error {
	_, err := answer(ctx, f, OpMeta, func(s queue.Metadata) (struct{}, error) {
		return struct{}{}, s.ListMeta(ctx, prefix, after, fn)
	})
	return err
}
