package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	manifestName  = "MANIFEST"
	manifestDir   = "manifests"
	orphanDir     = "orphans"
	manifestCopy  = "MANIFEST.copy"
	manifestsKept = 3
	markName      = "HWM"
)

// wayOut is what an operator can do about a damaged store.
const wayOut = "; look at it with `caddy webhooks store check` and carry what is readable into a new store with `caddy webhooks store salvage`"

// guarded turns a panic into an error. Badger panics over truncated tables.
func guarded(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: the database panicked: %v", queue.ErrDamaged, r)
		}
	}()
	return fn()
}

// checkFiles looks at Badger's files before Badger does, because Badger deletes the tables that its manifest does not name: all
// of them, if the manifest is missing. crashes says how often in a row the store was not closed as it should be.
func (s *Store) checkFiles(db string, crashes int) error {
	path := filepath.Join(db, manifestName)
	files, err := os.ReadDir(db)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at the database: %w", err)
	}
	var tables []string
	logs := 0
	for _, file := range files {
		switch filepath.Ext(file.Name()) {
		case ".sst":
			tables = append(tables, filepath.Join(db, file.Name()))
		case ".vlog":
			logs++
		}
	}
	if err := s.dropEmpty(db, files); err != nil {
		return err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if len(tables)+logs > 0 {
			return fmt.Errorf("%w: %s is missing, but there are %d tables and %d value logs beside it; copies of it are in %s%s",
				queue.ErrDamaged, path, len(tables), logs, filepath.Join(s.dir, manifestDir), wayOut)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("open manifest: %w", err)
	}
	defer f.Close()
	m, end, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions(db).WithLogger(nil))
	if err != nil {
		return fmt.Errorf("%w: %s: %w%s", queue.ErrDamaged, path, err, wayOut)
	}
	if err := s.compareManifest(f, path, end); err != nil {
		return err
	}
	if err := s.checkKeys(db, m); err != nil {
		return err
	}
	if err := s.checkTables(db, m, crashes); err != nil {
		return err
	}
	if crashes == 0 {
		s.sealLog(db, files)
	}
	return s.setAside(tables, m)
}

// dropEmpty removes memtable logs and value log files that are empty, with which Badger does not open a database. They are what a crash leaves
// behind that comes between the making of such a file and its first byte, or between its last one and its removal.
func (s *Store) dropEmpty(db string, files []fs.DirEntry) error {
	for _, file := range files {
		if ext := filepath.Ext(file.Name()); ext != ".mem" && ext != ".vlog" {
			continue
		}
		info, err := file.Info()
		if err != nil {
			return fmt.Errorf("look at the database: %w", err)
		}
		if info.Size() > 0 {
			continue
		}
		path := filepath.Join(db, file.Name())
		s.log.Info("removing an empty file that a crash has left behind", zap.String("file", path))
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove empty file: %w", err)
		}
	}
	return nil
}

// compareManifest refuses a manifest that has lost its end since it was last copied.
func (s *Store) compareManifest(f *os.File, path string, end int64) error {
	before, err := os.ReadFile(filepath.Join(s.dir, manifestDir, manifestCopy))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy of the manifest: %w", err)
	}
	now, err := os.ReadFile(f.Name())
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if intact := now[:min(end, int64(len(now)))]; len(intact) < len(before) && bytes.HasPrefix(before, intact) {
		return fmt.Errorf("%w: %s has lost its last %d bytes; the copy %s is complete and can take its place%s", queue.ErrDamaged, path,
			len(before)-len(intact), filepath.Join(s.dir, manifestDir, manifestCopy), wayOut)
	}
	return nil
}

// tableID returns the number of a table.
func tableID(path string) (id uint64, ok bool) {
	digits, ok := strings.CutSuffix(filepath.Base(path), ".sst")
	id, err := strconv.ParseUint(digits, 10, 64)
	return id, ok && err == nil
}

// setAside moves tables that the manifest does not name where Badger does not delete them. A crash in the middle of a flush leaves such
// tables behind, and so does a manifest that has lost its end; which of the two it was shows when the store is open.
func (s *Store) setAside(tables []string, m badger.Manifest) error {
	for id := range m.Tables {
		s.newestTable = max(s.newestTable, id)
	}
	for _, path := range tables {
		id, ok := tableID(path)
		if _, named := m.Tables[id]; !ok || named {
			continue
		}
		dir := filepath.Join(s.dir, orphanDir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("set table aside: %w", err)
		}
		if err := os.Rename(path, filepath.Join(dir, filepath.Base(path))); err != nil {
			return fmt.Errorf("set table aside: %w", err)
		}
	}
	return nil
}

// dropAside deletes the tables that were set aside. One that is newer than all others is the unfinished work of a crash, and then the database has all
// of its rows without it, or it was the database's until the manifest lost its name: then it stays where it is, and the store is not opened. Older
// ones were replaced by a compaction.
func (s *Store) dropAside() error {
	dir := filepath.Join(s.dir, orphanDir)
	tables, err := filesIn(dir, "*.sst")
	if err != nil {
		return err
	}
	for _, path := range tables {
		if id, ok := tableID(path); ok && id < s.newestTable {
			continue
		}
		held, err := s.holds(path)
		if err != nil {
			return fmt.Errorf("table that was set aside: %w", err)
		}
		if !held {
			return fmt.Errorf("%w: %s has lost a table that was part of the database; it is kept as %s%s",
				queue.ErrDamaged, filepath.Join(s.dir, "db", manifestName), path, wayOut)
		}
	}
	return os.RemoveAll(dir)
}

// copyManifest keeps a copy of the manifest if it has changed.
func (s *Store) copyManifest() error {
	now, err := os.ReadFile(filepath.Join(s.dir, "db", manifestName))
	if err != nil {
		return fmt.Errorf("copy manifest: %w", err)
	}
	dir := filepath.Join(s.dir, manifestDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("copy manifest: %w", err)
	}
	path := filepath.Join(dir, manifestCopy)
	if before, err := os.ReadFile(path); err == nil && bytes.Equal(before, now) {
		return nil
	}
	return replaceFile(path, now)
}

// keepManifest copies the manifest under a name of its own, once per start, and forgets the oldest copies.
func (s *Store) keepManifest() error {
	now, err := os.ReadFile(filepath.Join(s.dir, "db", manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy manifest: %w", err)
	}
	dir := filepath.Join(s.dir, manifestDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("copy manifest: %w", err)
	}
	name := fmt.Sprintf("MANIFEST.%020d", s.clock().UnixNano())
	if err := replaceFile(filepath.Join(dir, name), now); err != nil {
		return err
	}
	old, err := filesIn(dir, "MANIFEST.0*")
	if err != nil {
		return err
	}
	slices.SortFunc(old, strings.Compare)
	for _, path := range old[:max(len(old)-manifestsKept, 0)] {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("copy manifest: %w", err)
		}
	}
	return nil
}

// replaceFile writes a file so that after a crash there is the old one or the new one.
func replaceFile(path string, content []byte) error {
	temporary := path + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
