package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/sluice-webhooks/sluice/queue"
	"go.uber.org/zap"
)

// checkTables reads the parts of Badger's tables that Badger reads when it opens: the index and the last block of each. Badger does so in
// goroutines of its own, and where a table is truncated or broken it panics there, which nobody can recover from.
func (s *Store) checkTables(db string, m badger.Manifest) error {
	var keys *badger.KeyRegistry
	if path := filepath.Join(db, badger.KeyRegistryFileName); len(s.o.EncryptionKey) > 0 {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil // Badger says what is wrong with the key
		}
		var err error
		keys, err = badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: db, ReadOnly: true, EncryptionKey: s.o.EncryptionKey})
		if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
			return nil // and Badger says so
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w%s", queue.ErrDamaged, path, err, wayOut)
		}
		defer func() { _ = keys.Close() }() // it was only read
	}
	for id, t := range m.Tables {
		if keys == nil && t.KeyID != 0 {
			return nil // Badger says that the key is missing
		}
		path := filepath.Join(db, fmt.Sprintf("%06d.sst", id))
		if err := checkTable(path, keys, t.KeyID); err != nil {
			return fmt.Errorf("%w: %s: %w%s", queue.ErrDamaged, path, err, wayOut)
		}
	}
	return nil
}

// holds reports whether the database has every row of a table, as it is there or newer. A table that cannot be read was not finished, so nothing
// relies on it.
func (s *Store) holds(path string) (bool, error) {
	var keys *badger.KeyRegistry
	if len(s.o.EncryptionKey) > 0 {
		var err error
		keys, err = badger.OpenKeyRegistry(badger.KeyRegistryOptions{
			Dir: filepath.Join(s.dir, "db"), ReadOnly: true, EncryptionKey: s.o.EncryptionKey,
		})
		if err != nil {
			return false, err
		}
		defer func() { _ = keys.Close() }() // it was only read
	}
	t, err := openRawTable(path, keys, 0, keys == nil)
	if err != nil {
		s.log.Info("a table that was never finished is removed", zap.String("file", path), zap.Error(err))
		return true, nil
	}
	defer t.close()
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: true})
	defer it.Close()
	for i := range t.blocks {
		rows, err := t.rows(i)
		if err != nil {
			s.log.Info("a table that was never finished is removed", zap.String("file", path), zap.Error(err))
			return true, nil
		}
		for _, r := range rows {
			if r.deleted() {
				continue
			}
			it.Seek(r.key)
			if !it.Valid() || string(it.Item().Key()) != string(r.key) || it.Item().Version() < r.ts {
				return false, nil
			}
		}
	}
	return true, nil
}

func checkTable(path string, keys *badger.KeyRegistry, keyID uint64) error {
	t, err := openRawTable(path, keys, keyID, true)
	if err != nil {
		return err
	}
	defer t.close()
	if len(t.blocks) == 0 {
		return errTableEnd
	}
	_, err = t.rows(len(t.blocks) - 1)
	return err
}
