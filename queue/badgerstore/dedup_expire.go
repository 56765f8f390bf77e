package badgerstore

import (
	"context"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// dropClaims deletes the claims of buckets that are over, a bucket at a time, and their filters.
func (s *Store) dropClaims(ctx context.Context, now time.Time) error {
	s.sealing.Lock()
	defer s.sealing.Unlock()
	number, ok := s.buckets.ended(now.UnixNano())
	if !ok {
		return nil
	}
	write := func(o *op) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return s.apply(o)
	}
	for _, prefix := range [][]byte{filterPrefix(number), claimLogPrefix(number), claimPagePrefix(number)} {
		if err := s.deleteRows(prefix, write, nil); err != nil {
			return err
		}
	}
	return s.deleteRows(claimPrefix(number), write, func(o *op) {
		o.endBucket = number
		s.buckets.remove(number)
	})
}

// deleteRows deletes the rows with a prefix, some at a time. last, if there is one, adds to the operation with the last of them.
func (s *Store) deleteRows(prefix []byte, write func(*op) error, last func(*op)) error {
	for from := prefix; from != nil; {
		var o *op
		if o, from = s.deletions(prefix, from); from == nil && last != nil {
			last(o)
		}
		if err := write(o); err != nil {
			return err
		}
	}
	return nil
}

// deletions returns an operation that deletes the next rows with a prefix, and the key to go on from; nil if those are the last.
func (s *Store) deletions(prefix, from []byte) (o *op, next []byte) {
	o = &op{apart: true}
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
