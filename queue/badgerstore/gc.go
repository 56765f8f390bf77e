package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Badger learns what is garbage in the value log only when a compaction meets the deletions, and it does not start one for deletions alone. So
// when a part of the store is garbage, the tree is compacted as a whole, and then the value log's files are rewritten without their garbage. Events
// are pruned in the order in which they came, so most of those files hold garbage only and rewriting them costs little.
//
// A tree with a broken table is not compacted: Badger would panic over it, or write what is broken into a new table whose checksums are right.
const (
	gcDiscard = 0.5              // a file of the value log is rewritten if that part of it is garbage
	gcPart    = 6                // the tree is compacted when one part in that many of the store is garbage
	gcLeast   = 2                // and not before the garbage would fill that many files of the value log
	gcBudget  = 20 * time.Second // how long one call of Maintain goes on starting to rewrite files

	fillMost     = 6 // memtables that are filled to have something compacted
	fillPatience = 10 * time.Second
	fillPace     = 10 * time.Millisecond
)

// collect gives the space of pruned events and of deleted metadata back.
func (s *Store) collect(ctx context.Context, pruned int) error {
	garbage, newest := s.garbage+s.metaGarbage, s.lastTable()
	written := newest > s.newest
	s.newest = newest
	if len(s.scrubber.broken) == 0 && garbage >= gcLeast*s.o.ValueLogFileSize && garbage*gcPart >= dirSize(s.dir) {
		if err := s.compact(ctx, written); err != nil {
			return err
		}
	}
	s.work.pruned.Add(uint64(pruned))
	for until := s.clock().Add(gcBudget); !s.clock().After(until); {
		if err := ctx.Err(); err != nil {
			return err
		}
		may, err := s.collectable()
		if err == nil && !may {
			return nil
		}
		if err == nil {
			err = s.collectFile()
		}
		if errors.Is(err, badger.ErrNoRewrite) || errors.Is(err, badger.ErrRejected) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("collect value log: %w", err)
		}
		s.work.collected.Add(1)
	}
	return nil
}

// compact has the deletions meet what they delete. They may all be in the memtable still, which has room for those of gigabytes of payloads: if it has not become a table since the last
// call, which written says, it is made one first. Where there is but the first level yet, which takes some tables before they are compacted, that is done more than once.
func (s *Store) compact(ctx context.Context, written bool) error {
	for n := 0; n < fillMost && (!written || s.levels() < 2); n++ {
		if err := s.fillMemtable(ctx); err != nil {
			return err
		}
		if err := s.awaitTables(ctx); err != nil {
			return err
		}
		written = true
	}
	if err := s.db.Flatten(1); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	if err := s.sweepEvents(ctx); err != nil {
		return fmt.Errorf("delete again what came back: %w", err)
	}
	s.garbage, s.metaGarbage, s.newest = 0, 0, s.lastTable()
	return nil
}

// levels is how many levels of the tree have tables.
func (s *Store) levels() (n int) {
	for _, l := range s.db.Levels() {
		n += min(l.NumTables, 1)
	}
	return n
}

// lastTable is the number of the newest table, 0 if there is none.
func (s *Store) lastTable() uint64 {
	numbers := s.tableNumbers()
	if len(numbers) == 0 {
		return 0
	}
	return numbers[len(numbers)-1]
}

// fillMemtable writes deletions of rows that never were until the memtable is full and becomes a table.
func (s *Store) fillMemtable(ctx context.Context) error {
	const step = 256
	for row := int64(0); row*maxMetaKey < s.o.MemTableSize; {
		o := &op{done: make(chan error, 1)}
		for range step {
			key := key8(tabPadding, uint64(row))
			o.del(append(key, make([]byte, maxMetaKey-len(key))...))
			row++
		}
		s.applier.push(o)
		if err := waitFor(ctx, o.done); err != nil {
			return fmt.Errorf("fill the memtable: %w", err)
		}
	}
	return nil
}

// awaitTables waits until the memtables that are full are tables. Who reads one for long keeps its log; that is not waited for.
func (s *Store) awaitTables(ctx context.Context) error {
	pace, patience := time.NewTicker(fillPace), time.NewTimer(fillPatience)
	defer pace.Stop()
	defer patience.Stop()
	for {
		logs, err := filesIn(filepath.Join(s.dir, "db"), "*.mem")
		if err != nil || len(logs) <= 1 {
			return err
		}
		select {
		case <-pace.C:
		case <-patience.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// collectFile rewrites one file of the value log, whose name may be missing from then on.
func (s *Store) collectFile() error {
	return s.db.RunValueLogGC(gcDiscard)
}
