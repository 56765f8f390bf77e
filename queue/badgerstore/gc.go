package badgerstore

import (
	"context"
	"errors"
	"fmt"
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
)

// collect gives the space of pruned events back.
func (s *Store) collect(ctx context.Context, pruned int) error {
	if len(s.scrubber.broken) == 0 && s.garbage >= gcLeast*s.o.ValueLogFileSize && s.garbage*gcPart >= dirSize(s.dir) {
		if err := s.db.Flatten(1); err != nil {
			return fmt.Errorf("compact: %w", err)
		}
		if err := s.sweepEvents(ctx); err != nil {
			return fmt.Errorf("delete again what came back: %w", err)
		}
		s.garbage = 0
		s.collecting = true
	}
	if pruned > 0 {
		s.work.pruned.Add(uint64(pruned))
		s.collecting = true
	}
	for until := s.clock().Add(gcBudget); s.collecting && !s.clock().After(until); {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.collectFile()
		if errors.Is(err, badger.ErrNoRewrite) || errors.Is(err, badger.ErrRejected) {
			s.collecting = false
			return nil
		}
		if err != nil {
			return fmt.Errorf("collect value log: %w", err)
		}
		s.work.collected.Add(1)
	}
	return nil
}

// collectFile rewrites one file of the value log, whose name may be missing from then on.
func (s *Store) collectFile() error {
	return s.db.RunValueLogGC(gcDiscard)
}
