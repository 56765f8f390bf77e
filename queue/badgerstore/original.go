package badgerstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-webhooks/sluice/queue"
)

// Original implements [queue.Finder].
func (s *Store) Original(ctx context.Context, source, dedupKey string) (queue.ID, error) {
	hash := claimHash(source, dedupKey)
	for range lookUpPatience {
		id, err := s.original(ctx, &hash)
		if err == nil || !errors.Is(err, errUnseen) {
			return id, err
		}
	}
	return 0, queue.ErrNotFound
}

func (s *Store) original(ctx context.Context, hash *[16]byte) (queue.ID, error) {
	unseen := queue.ErrNotFound
	buckets := s.buckets.all() // before the snapshot, newest first
	sn, done, err := s.current(ctx)
	if err != nil {
		return 0, fmt.Errorf("original of a dedup key: %w", err)
	}
	defer done()
	for _, b := range buckets {
		if !b.mayHold(hash) {
			continue
		}
		c, err := sn.claim(&b, hash)
		if errors.Is(err, errUnseen) {
			unseen = err
		}
		if errors.Is(err, queue.ErrNotFound) || errors.Is(err, queue.ErrDamaged) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("original of a dedup key: %w", err)
		}
		if _, err := sn.event(c.seq, false); err == nil {
			return queue.ID(c.seq), nil
		}
	}
	return 0, unseen
}

var _ queue.Finder = (*Store)(nil)
