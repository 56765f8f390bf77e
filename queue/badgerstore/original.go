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
	sn, done, err := s.current(ctx)
	if err != nil {
		return 0, fmt.Errorf("original of a dedup key: %w", err)
	}
	defer done()
	for _, b := range s.buckets.all() { // newest first
		if !b.filter.mayHold(&hash) {
			continue
		}
		var seq uint64
		err := sn.row(claimKey(b.number, hash), func(value []byte) error {
			decoded := decoder{b: value}
			seq = decoded.fixed()
			return nil
		})
		if errors.Is(err, queue.ErrNotFound) || errors.Is(err, queue.ErrDamaged) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("original of a dedup key: %w", err)
		}
		if _, err := sn.event(seq, false); err == nil {
			return queue.ID(seq), nil
		}
	}
	return 0, queue.ErrNotFound
}

var _ queue.Finder = (*Store)(nil)
