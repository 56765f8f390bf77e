package badgerstore

import (
	"context"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// dropClaims deletes the claims of buckets that are over, a bucket at a time, and their filters.
func (s *Store) dropClaims(ctx context.Context, now time.Time) error {
	number, ok := s.buckets.ended(now.UnixNano())
	if !ok {
		return nil
	}
	if err := s.deleteRows(ctx, filterPrefix(number), func(*op) {}); err != nil {
		return err
	}
	return s.deleteRows(ctx, claimPrefix(number), func(o *op) {
		o.endBucket = number
		s.buckets.remove(number)
	})
}

// deleteRows deletes the rows with a prefix, some at a time. last adds to the operation with the last of them.
func (s *Store) deleteRows(ctx context.Context, prefix []byte, last func(*op)) error {
	for from := prefix; from != nil; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var o *op
		if o, from = s.deletions(prefix, from); from == nil {
			last(o)
		}
		s.applier.push(o)
		if err := <-o.done; err != nil {
			return err
		}
	}
	return nil
}

// deletions returns an operation that deletes the next rows with a prefix, and the key to go on from; nil if those are the last.
func (s *Store) deletions(prefix, from []byte) (o *op, next []byte) {
	o = &op{apart: true, done: make(chan error, 1)}
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	sn.scan(prefix, from, func(key []byte, _ *badger.Item) bool {
		if len(o.muts) == deleteStep {
			next = append([]byte(nil), key...)
			return false
		}
		o.del(append([]byte(nil), key...))
		return true
	})
	return o, next
}
