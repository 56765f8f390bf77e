package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.uber.org/zap"
)

// sealLog puts an empty file behind the last one of the value log, if the store was closed as it should be. Badger reads the last one when it opens, and cuts it off
// where something cannot be read, as after a crash: one broken event would take all that came after it along. The next start removes the empty file.
func (s *Store) sealLog(db string, files []fs.DirEntry) {
	last, size := uint64(0), int64(0)
	for _, file := range files {
		digits, isLog := strings.CutSuffix(file.Name(), ".vlog")
		number, err := strconv.ParseUint(digits, 10, 32)
		if !isLog || err != nil || number < last {
			continue
		}
		info, err := file.Info()
		if err != nil {
			return // an empty one, which was removed
		}
		last, size = number, info.Size()
	}
	if size <= rawLogHeader {
		return
	}
	path := filepath.Join(db, fmt.Sprintf("%06d.vlog", last+1))
	// A header of zeros is that of a file without encryption, whatever part of it a crash leaves.
	if err := os.WriteFile(path, make([]byte, rawLogHeader), 0o600); err != nil {
		s.log.Warn("the last file of the value log is not protected", zap.Error(errors.Join(err, os.Remove(path))))
	}
}
