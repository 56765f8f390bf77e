package reopen

import (
	"context"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

var (
	_ queue.Inspector  = (*Store)(nil)
	_ queue.Maintainer = (*Store)(nil)
	_ queue.Metadata   = (*Store)(nil)
)

// Event implements queue.Inspector.
func (s *Store) Event(ctx context.Context, id queue.ID) (e *queue.Event, err error) {
	err = call(s, func(q queue.Inspector) error { e, err = q.Event(ctx, id); return err })
	return e, err
}

// Deliveries implements queue.Inspector.
func (s *Store) Deliveries(ctx context.Context, id queue.ID) (d []queue.Delivery, err error) {
	err = call(s, func(q queue.Inspector) error { d, err = q.Deliveries(ctx, id); return err })
	return d, err
}

// Attempts implements queue.Inspector.
func (s *Store) Attempts(ctx context.Context, id queue.ID, destination string) (a []queue.Attempt, err error) {
	err = call(s, func(q queue.Inspector) error { a, err = q.Attempts(ctx, id, destination); return err })
	return a, err
}

// Events implements queue.Inspector.
func (s *Store) Events(ctx context.Context, f queue.Filter) (page queue.Page, err error) {
	err = call(s, func(q queue.Inspector) error { page, err = q.Events(ctx, f); return err })
	return page, err
}

// Stats implements queue.Inspector.
func (s *Store) Stats(ctx context.Context) (stats queue.Stats, err error) {
	err = call(s, func(q queue.Inspector) error { stats, err = q.Stats(ctx); return err })
	return stats, err
}

// Maintain implements queue.Maintainer.
func (s *Store) Maintain(ctx context.Context, now time.Time, r queue.Retention) (pruned int, err error) {
	err = call(s, func(q queue.Maintainer) error { pruned, err = q.Maintain(ctx, now, r); return err })
	return pruned, err
}

// PutMeta implements queue.Metadata.
func (s *Store) PutMeta(ctx context.Context, key string, value []byte) error {
	return call(s, func(q queue.Metadata) error { return q.PutMeta(ctx, key, value) })
}

// Meta implements queue.Metadata.
func (s *Store) Meta(ctx context.Context, key string) (value []byte, err error) {
	err = call(s, func(q queue.Metadata) error { value, err = q.Meta(ctx, key); return err })
	return value, err
}

// ListMeta implements queue.Metadata.
func (s *Store) ListMeta(ctx context.Context, prefix, after string, fn func(key string, value []byte) bool) error {
	return call(s, func(q queue.Metadata) error { return q.ListMeta(ctx, prefix, after, fn) })
}

// Work implements queue.Meter; zero while there is no store that counts.
func (s *Store) Work() (w queue.Work) {
	if err := call(s, func(q queue.Meter) error { w = q.Work(); return nil }); err != nil {
		return queue.Work{} // a closed store has done nothing, and one that does not count has nothing to tell
	}
	return w
}

// Original implements queue.Finder.
func (s *Store) Original(ctx context.Context, source, dedupKey string) (id queue.ID, err error) {
	err = call(s, func(q queue.Finder) error { id, err = q.Original(ctx, source, dedupKey); return err })
	return id, err
}
