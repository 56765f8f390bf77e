package badgerstore

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"
)

// scrubBytes is how much of the tables one call of Maintain reads.
const scrubBytes = 32 << 20

// scrubber goes through Badger's tables again and again. Badger does not look at the checksums of what it reads, and a key that is broken is not a row
// whose checksum is wrong but one that is missing, so nothing else would notice.
type scrubber struct {
	next   uint64          // number of the table to go on with
	broken map[uint64]bool // those that were told about
}

// scrub reads the next tables and tells about broken ones.
func (s *Store) scrub(ctx context.Context) error {
	tables := s.tableNumbers()
	from, _ := slices.BinarySearch(tables, s.scrubber.next)
	s.scrubber.next = 0 // from the beginning again
	if from == len(tables) {
		return s.sound()
	}
	keys, err := s.registry()
	if err != nil {
		return err
	}
	if keys != nil {
		defer func() { _ = keys.Close() }() // it was only read
	}
	read := int64(0)
	for _, id := range tables[from:] {
		if err := ctx.Err(); err != nil {
			return err
		}
		if read >= scrubBytes {
			s.scrubber.next = id
			return nil
		}
		n, err := readTable(s.tablePath(id), keys)
		read += n
		if err != nil {
			s.brokenTable(id, err)
		}
	}
	return s.sound()
}

// sound forgets, after all tables have been read, the crashes before this start: none of those is why.
func (s *Store) sound() error {
	if len(s.scrubber.broken) > 0 || s.lock.crashes == 0 {
		return nil
	}
	s.lock.crashes = 0
	return s.lock.write(0)
}

func (s *Store) tablePath(id uint64) string { return tablePath(filepath.Join(s.dir, "db"), id) }

func tablePath(db string, id uint64) string { return filepath.Join(db, fmt.Sprintf("%06d.sst", id)) }

// tableNumbers returns those of the tables that the database has, in order.
func (s *Store) tableNumbers() []uint64 {
	var ids []uint64
	for _, t := range s.db.Tables() {
		ids = append(ids, t.ID)
	}
	slices.Sort(ids)
	return ids
}

// readTable reads a table with the checksums of all of its blocks, and returns how much it was.
func readTable(path string, keys *badger.KeyRegistry) (read int64, err error) {
	t, err := openRawTable(path, keys, 0, keys == nil)
	if err != nil {
		return 0, err
	}
	defer t.close()
	for i := range t.blocks {
		read += t.blocks[i].size
		if _, err := t.rows(i); err != nil {
			return read, err
		}
	}
	return read, nil
}

// brokenTable tells about a table, once, unless a compaction has replaced it meanwhile.
func (s *Store) brokenTable(id uint64, reason error) {
	if _, there := slices.BinarySearch(s.tableNumbers(), id); !there || s.scrubber.broken[id] {
		return
	}
	if s.scrubber.broken == nil {
		s.scrubber.broken = map[uint64]bool{}
	}
	s.scrubber.broken[id] = true
	s.brokenTables.Add(1)
	s.log.Error("a table of the database is broken"+wayOut, zap.String("file", s.tablePath(id)), zap.Error(reason))
}

// registry opens the keys of the database's tables; nil if the store is not encrypted.
func (s *Store) registry() (*badger.KeyRegistry, error) {
	if len(s.o.EncryptionKey) == 0 {
		return nil, nil
	}
	keys, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{
		Dir: filepath.Join(s.dir, "db"), ReadOnly: true, EncryptionKey: s.o.EncryptionKey,
	})
	return keys, err
}
