package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-webhooks/sluice/queue"
)

// checkTables reads the parts of Badger's tables that Badger reads when it opens: the index and the last block of each. Badger does so in
// goroutines of its own, and where a table is truncated or broken it panics there, which nobody can recover from.
func (s *Store) checkTables(db string, m badger.Manifest, crashes int) error {
	var keys *badger.KeyRegistry
	if path := filepath.Join(db, badger.KeyRegistryFileName); len(s.o.EncryptionKey) > 0 {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil // a new database
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
	for _, t := range m.Tables {
		if keys == nil && t.KeyID != 0 {
			return nil // Badger says that the key is missing
		}
	}
	whole, suspect, err := s.doubtful(db, m, crashes)
	if err != nil {
		return fmt.Errorf("look at the tables: %w", err)
	}
	if crashes == 0 && !suspect && s.asClosed() {
		return nil
	}
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	scratch := sync.Pool{New: func() any { return new([usualIndex]byte) }}
	for id, t := range m.Tables {
		all.Go(func() error {
			room := scratch.Get().(*[usualIndex]byte)
			defer scratch.Put(room)
			path := tablePath(db, id)
			if err := checkTable(path, keys, t.KeyID, room[:], whole[id]); err != nil {
				return fmt.Errorf("%w: %s: %w%s", queue.ErrDamaged, path, err, wayOut)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil || !suspect {
		return err
	}
	return os.Remove(filepath.Join(s.dir, suspectName))
}

// checkKeys refuses an encrypted database whose data keys are missing, before Badger makes a file of new ones, with which nothing can be read either.
func (s *Store) checkKeys(db string, m badger.Manifest) error {
	path := filepath.Join(db, badger.KeyRegistryFileName)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files, encrypted := len(m.Tables), false
	for _, t := range m.Tables {
		encrypted = encrypted || t.KeyID != 0
	}
	for _, pattern := range []string{"*.mem", "*.vlog"} {
		logs, err := filesIn(db, pattern)
		if err != nil {
			return fmt.Errorf("look at the database: %w", err)
		}
		files += len(logs)
		for _, log := range logs {
			l, err := openRawLog(log, nil)
			if err == nil {
				l.close()
			}
			encrypted = encrypted || errors.Is(err, errNoKeys)
		}
	}
	if files > 0 && (encrypted || len(s.o.EncryptionKey) > 0) {
		return fmt.Errorf("%w: %s is missing, and with it the keys that the %d files beside it are encrypted with; it has to come back, or a backup be restored",
			queue.ErrDamaged, path, files)
	}
	return nil
}

// holds reports whether the database has all that a table has of events and of the states of their deliveries, as it is there or newer, but for
// events that were pruned. Rows of other tables come and go. A table that cannot be read was not finished, so nothing relies on it.
func (s *Store) holds(path string) (held bool, err error) {
	keys, err := s.registry()
	if err != nil {
		return false, err
	}
	if keys != nil {
		defer func() { _ = keys.Close() }() // it was only read
	}
	unfinished := func(err error) (bool, error) {
		s.log.Info("a table that was never finished is removed", zap.String("file", path), zap.Error(err))
		return true, nil
	}
	t, err := openRawTable(path, keys, 0, keys == nil)
	if err != nil {
		return unfinished(err)
	}
	defer t.close()
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	defer sn.guard(&err)
	it := sn.txn.NewIterator(badger.IteratorOptions{AllVersions: true})
	defer it.Close()
	for i := range t.blocks {
		rows, err := t.rows(i)
		if err != nil {
			return unfinished(err)
		}
		for n := range rows {
			if !sn.holds(it, &rows[n]) {
				return false, nil
			}
		}
	}
	return true, nil
}

// holds is about one row. it goes through all versions.
func (n *snapshot) holds(it *badger.Iterator, r *rawRow) bool {
	event := len(r.key) == 9 && r.key[0] == tabEvent
	if r.deleted() || !event && (len(r.key) != 11 || r.key[0] != tabDelivery) {
		return true
	}
	if it.Seek(r.key); it.Valid() && string(it.Item().Key()) == string(r.key) && it.Item().Version() >= r.ts {
		return true
	}
	seq := be.Uint64(r.key[1:])
	if n.cameBack(seq) {
		return true // it was pruned
	}
	if event {
		return false
	}
	_, err := n.event(seq, false)
	return errors.Is(err, queue.ErrNotFound)
}

// checkTable reads the index and the last block of a table, or all of it, with scratch as memory.
func checkTable(path string, keys *badger.KeyRegistry, keyID uint64, scratch []byte, whole bool) error {
	t := &rawTable{path: path, scratch: scratch, last: !whole}
	if err := t.open(keys, keyID, true); err != nil {
		return err
	}
	defer t.close()
	if whole {
		return t.checkBlocks()
	}
	if len(t.blocks) == 0 {
		return errTableEnd
	}
	_, err := t.rows(0)
	return err
}
