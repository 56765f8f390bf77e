package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"
)

// errLive ends a look at a file in which something is found.
var errLive = errors.New("a row is still there")

// collectable reports whether a file of the value log can be rewritten without loss. Badger takes the one with the most garbage, reads it up to the first entry that it
// cannot read, and deletes it. So one that is broken has to wait until nothing behind that place is needed any more, and the others with it.
func (s *Store) collectable() (bool, error) {
	path, err := s.mostGarbage()
	if err != nil || path == "" {
		return err == nil, err
	}
	keys, err := s.registry()
	if err != nil {
		return false, err
	}
	if keys != nil {
		defer func() { _ = keys.Close() }() // it was only read
	}
	l, err := openRawLog(path, keys)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // it was collected
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	defer l.close()
	if err := s.liveBehindDamage(l); !errors.Is(err, errLive) {
		return err == nil, err
	}
	if s.keptLog != path {
		s.keptLog = path
		s.log.Error("a file of the value log is broken; space comes back when nothing behind the damage is needed any more, or with a salvage", zap.String("file", path))
	}
	return false, nil
}

// liveBehindDamage returns errLive if Badger would not find a row that it still needs.
func (s *Store) liveBehindDamage(l *rawLog) (err error) {
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	defer sn.guard(&err)
	next, damaged := int64(rawLogHeader), false
	_, err = l.each(func(e logEntry) error {
		damaged = damaged || e.off != next
		next = e.off + int64(e.size)
		if !damaged || e.meta&rawTxnEnd != 0 || len(e.key) <= 8 {
			return nil
		}
		key, ts := splitVersion(e.key)
		item, err := sn.txn.Get(key)
		switch {
		case errors.Is(err, badger.ErrKeyNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("read: %w", err)
		case item.Version() == ts:
			return errLive
		}
		return nil
	})
	return err
}

// mostGarbage returns the file of the value log of which Badger knows the most garbage; none if it knows of none. Badger writes these numbers into a file that it maps, those of files that
// are gone too, as long as compactions meet rows that point there; it passes over them.
func (s *Store) mostGarbage() (path string, err error) {
	const slot = 16
	content, err := os.ReadFile(filepath.Join(s.dir, "db", "DISCARD"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for most := uint64(0); len(content) >= slot; content = content[slot:] {
		garbage := be.Uint64(content[8:])
		if garbage <= most {
			continue
		}
		file := filepath.Join(s.dir, "db", fmt.Sprintf("%06d.vlog", be.Uint64(content)))
		switch _, err := os.Stat(file); {
		case err == nil:
			path, most = file, garbage
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
	}
	return path, nil
}
