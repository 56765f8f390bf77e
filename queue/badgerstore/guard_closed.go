package badgerstore

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"
)

// closedName is a file that says what the tables were when the store was closed as it should be. As long as they are the same, Badger, which wrote them, need not
// be kept from reading them: a look at the end of a thousand tables is a good part of what opening takes.
const closedName = "CLOSED"

// noteClosed writes that file.
func (s *Store) noteClosed() {
	print, err := tablesPrint(filepath.Join(s.dir, "db"))
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, closedName), []byte(print), 0o600)
	}
	if err != nil {
		s.log.Warn("the next start looks at the tables before it opens them", zap.Error(err))
	}
}

// asClosed reports whether the tables are those that the last close left.
func (s *Store) asClosed() bool {
	was, err := os.ReadFile(filepath.Join(s.dir, closedName))
	if err != nil {
		return false // it was never closed, or is older: then they are looked at
	}
	is, err := tablesPrint(filepath.Join(s.dir, "db"))
	return err == nil && is == string(was)
}

// tablesPrint is made of the names, sizes and times of the tables.
func tablesPrint(db string) (string, error) {
	files, err := os.ReadDir(db)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".sst") {
			continue
		}
		info, err := file.Info()
		if err != nil {
			return "", err
		}
		fmt.Fprintln(hash, file.Name(), info.Size(), info.ModTime().UnixNano()) // a hash takes everything
	}
	return fmt.Sprintf("%x\n", hash.Sum(nil)), nil
}
