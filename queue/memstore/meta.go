package memstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

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
	if err := s.enter(ctx, "put metadata"); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if value == nil {
		delete(s.meta, key)
	} else {
		s.meta[key] = append([]byte{}, value...)
	}
	return nil
}

// Meta implements [queue.Metadata].
func (s *Store) Meta(ctx context.Context, key string) ([]byte, error) {
	if err := s.enter(ctx, "metadata"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	value, ok := s.meta[key]
	if !ok {
		return nil, fmt.Errorf("metadata %q: %w", key, queue.ErrNotFound)
	}
	return bytes.Clone(value), nil
}

// ListMeta implements [queue.Metadata]. It lists a snapshot, so fn may use the store.
func (s *Store) ListMeta(ctx context.Context, prefix, after string, fn func(key string, value []byte) bool) error {
	if err := s.enter(ctx, "list metadata"); err != nil {
		return err
	}
	type entry struct {
		key   string
		value []byte
	}
	var entries []entry
	for key, value := range s.meta {
		if strings.HasPrefix(key, prefix) && key > after {
			entries = append(entries, entry{key, bytes.Clone(value)})
		}
	}
	s.mu.Unlock()
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	for _, e := range entries {
		if !fn(e.key, e.value) {
			break
		}
	}
	return nil
}
