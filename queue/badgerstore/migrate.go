package badgerstore

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// formatVersion is the version of everything under the store's directory.
const formatVersion = 2

// migration brings a database from one format to the next. It has to cope with a part of its work being done already: the format's row is written
// after it, so a crash in the middle lets it run again. The journal still holds what it held; its records carry versions of their own.
type migration func(db *badger.DB) error

// migrations by the format they start from. A new format comes with the migration from the one before, and with a store of that format for its test.
var migrations = map[uint64]migration{
	// Dedup claims have a row for many of them in place of one each. Those there are stay in the rows that they have, in buckets that get no more.
	1: func(*badger.DB) error { return nil },
}

// ErrFormat means that a store has a format which this version does not read, or is not to change.
var ErrFormat = errors.New("format of the store")

// migrate brings the database to the present format.
func (s *Store) migrate(version uint64) error {
	if version > s.o.format {
		return fmt.Errorf("%w: it has format %d, and this version reads formats up to %d: a newer version has written it; use that one",
			ErrFormat, version, s.o.format)
	}
	if version < s.o.format && s.o.keepFormat {
		return fmt.Errorf("%w: it has format %d, and opening it brings it to format %d, which the version that wrote it does not read: let that version make the backup, or copy the directory",
			ErrFormat, version, s.o.format)
	}
	for ; version < s.o.format; version++ {
		step := s.o.migrations[version]
		if step == nil {
			return fmt.Errorf("%w: it has format %d, from which nothing leads to format %d", ErrFormat, version, s.o.format)
		}
		s.log.Info("the store is brought to a newer format", zap.Uint64("from", version), zap.Uint64("to", version+1))
		if err := step(s.db); err != nil {
			return fmt.Errorf("migrate the store from format %d: %w", version, err)
		}
		err := s.db.Update(func(txn *badger.Txn) error { return txn.Set(keyFormat, seal(keyFormat, encodeFormat(version+1))) })
		if err != nil {
			return fmt.Errorf("migrate the store from format %d: %w", version, err)
		}
	}
	return s.Failure()
}

func encodeFormat(version uint64) []byte {
	e := encoder{}
	e.fixed(version)
	return e.b
}

// checkEmpty refuses to make a new store over the remains of another one.
func (s *Store) checkEmpty() error {
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	found := false
	sn.scan(nil, nil, func([]byte, *badger.Item) bool {
		found = true
		return false
	})
	if found {
		return fmt.Errorf("%w: the database in %s has rows, and not the one that says which format they have%s", queue.ErrDamaged, s.dir, wayOut)
	}
	return s.Failure()
}
