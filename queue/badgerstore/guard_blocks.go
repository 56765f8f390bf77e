package badgerstore

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"
)

const (
	// suspectName is a file that says that Badger has panicked over this store.
	suspectName = "SUSPECT"

	// crashRead is how much of its tables is read before a store is opened that was not closed; twice as much for each time that this happens again.
	crashRead = 256 << 20
)

// suspect has all tables read before the store is opened again.
func (s *Store) suspect() {
	if err := replaceFile(filepath.Join(s.dir, suspectName), nil); err != nil {
		s.log.Error("the next start does not look for the broken table", zap.Error(err))
	}
}

// doubtful returns the tables to read as a whole before Badger does: all, if it has panicked over one. After a crash, which may have been such a panic in one of
// its compactions, where nobody can stop it, they are those that it would compact first: as many as take no time,
// and more if it keeps crashing.
func (s *Store) doubtful(db string, m badger.Manifest, crashes int) (tables map[uint64]bool, suspect bool, err error) {
	left := int64(math.MaxInt64)
	switch _, err := os.Stat(filepath.Join(s.dir, suspectName)); {
	case err == nil:
		suspect = true
	case !errors.Is(err, fs.ErrNotExist):
		return nil, false, err
	case crashes == 0:
		return nil, false, nil
	default:
		left = crashRead << min(crashes-1, maxCrashes)
	}
	tables = make(map[uint64]bool)
	for _, id := range slices.SortedFunc(maps.Keys(m.Tables), func(a, b uint64) int {
		return cmp.Or(cmp.Compare(m.Tables[a].Level, m.Tables[b].Level), cmp.Compare(b, a))
	}) {
		if info, err := os.Stat(tablePath(db, id)); err == nil { // else it is found missing when it is read
			left -= info.Size()
		}
		if left < 0 {
			break
		}
		tables[id] = true
	}
	return tables, suspect, nil
}

// checkBlocks looks for blocks over which Badger panics. One whose checksum is wrong is none while its rows can be told apart, for they have checksums too.
func (t *rawTable) checkBlocks() error {
	if len(t.blocks) == 0 {
		return errTableEnd
	}
	last := t.blocks[len(t.blocks)-1]
	all := make([]byte, last.off+last.size)
	if _, err := t.f.ReadAt(all, 0); err != nil {
		return err
	}
	for _, blk := range t.blocks {
		if blk.off < 0 || blk.size < 0 || blk.off+blk.size > int64(len(all)) {
			return errTableEnd
		}
		b, err := t.decrypt(all[blk.off : blk.off+blk.size])
		if err != nil {
			return err
		}
		content, sum, ok := splitBlock(b)
		if ok && !sumFits(content.all, sum) {
			_, ok = content.rows()
		}
		if !ok {
			return fmt.Errorf("block at %d is broken", blk.off)
		}
	}
	return nil
}
