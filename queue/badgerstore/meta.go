package badgerstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	maxMetaKey   = 200
	maxMetaValue = 64 << 10
)

// PutMeta implements [queue.Metadata].
func (s *Store) PutMeta(ctx context.Context, key string, value []byte) error {
	if key == "" || len(key) > maxMetaKey || len(value) > maxMetaValue {
		return fmt.Errorf("put metadata: key of %d and value of %d bytes (want 1 to %d and at most %d)",
			len(key), len(value), maxMetaKey, maxMetaValue)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("put metadata: %w", err)
	}
	if err := s.enter(); err != nil {
		return fmt.Errorf("put metadata: %w", err)
	}
	defer s.leave()
	if err := s.disk.writable(); err != nil {
		return fmt.Errorf("put metadata: %w", err)
	}
	o := &op{done: make(chan error, 1)}
	if value == nil {
		o.bury(userKey(key))
		s.metaBuried.Store(true)
	} else {
		o.put(userKey(key), append(make([]byte, 0, len(value)+4), value...))
	}
	s.metaMu.RLock()
	s.applier.push(o)
	s.metaMu.RUnlock()
	if err := waitFor(ctx, o.done); err != nil {
		return fmt.Errorf("put metadata %q: %w", key, err)
	}
	return nil
}

// Meta implements [queue.Metadata].
func (s *Store) Meta(ctx context.Context, key string) (value []byte, err error) {
	sn, done, err := s.reading(ctx)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	defer done()
	err = sn.read(userKey(key), func(raw []byte) (err error) {
		value, err = userValue(key, raw)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("metadata %q: %w", key, err)
	}
	return value, nil
}

// ListMeta implements [queue.Metadata]. It lists a snapshot, so fn may use the store.
func (s *Store) ListMeta(ctx context.Context, prefix, after string, fn func(key string, value []byte) bool) error {
	sn, done, err := s.reading(ctx)
	if err != nil {
		return fmt.Errorf("list metadata: %w", err)
	}
	defer done()
	from := userKey(prefix)
	if after >= prefix {
		from = append(userKey(after), 0)
	}
	sn.scan(userKey(prefix), from, func(key []byte, item *badger.Item) bool {
		if err = ctx.Err(); err != nil {
			return false
		}
		name := string(key[1:])
		var value []byte
		err = item.Value(func(raw []byte) (err error) {
			value, err = userValue(name, raw)
			return err
		})
		if errors.Is(err, queue.ErrNotFound) {
			err = nil
			return true
		}
		return err == nil && fn(name, value)
	})
	if err != nil {
		return fmt.Errorf("list metadata: %w", err)
	}
	return nil
}

// userValue returns what a row of metadata holds: queue.ErrNotFound if it was deleted, queue.ErrDamaged.
func userValue(key string, raw []byte) ([]byte, error) {
	if isTombstone(raw) {
		return nil, queue.ErrNotFound
	}
	value, ok := unseal(userKey(key), raw)
	if !ok {
		return nil, fmt.Errorf("metadata %q: %w", key, queue.ErrDamaged)
	}
	return append([]byte{}, value...), nil
}

// reading begins a call that reads the newest snapshot. done ends it.
func (s *Store) reading(ctx context.Context) (sn *snapshot, done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := s.enter(); err != nil {
		return nil, nil, err
	}
	sn, done = s.look()
	return sn, done, nil
}
