package badgerstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

const (
	gcDiscard = 0.5 // a value log file is rewritten if that part of it is garbage
	gcFiles   = 4   // files one call of Maintain rewrites at most
	// Badger learns what is garbage in the value log only when a compaction meets the deletions, and it does not start one for deletions
	// alone. So after so many of them, and so large a part of what is stored, the tree is compacted as a whole.
	flattenLeast = 200_000
	flattenPart  = 4
)

// collect gives the space of pruned events back.
func (s *Store) collect(ctx context.Context, pruned int) error {
	s.garbage += int64(pruned)
	if s.garbage >= flattenLeast && s.garbage*flattenPart >= s.applier.events.Load() {
		if err := s.db.Flatten(1); err != nil {
			return fmt.Errorf("compact: %w", err)
		}
		s.garbage = 0
		s.collecting = true
	}
	if pruned > 0 {
		s.collecting = true
	}
	for n := 0; s.collecting && n < gcFiles; n++ {
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
	}
	return nil
}

// collectFile rewrites one file of the value log, whose name may be missing from then on.
func (s *Store) collectFile() error {
	return s.db.RunValueLogGC(gcDiscard)
}
