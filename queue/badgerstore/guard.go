package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/sluice-webhooks/sluice/queue"
	"go.uber.org/zap"
)

const (
	manifestName  = "MANIFEST"
	manifestDir   = "manifests"
	orphanDir     = "orphans"
	manifestCopy  = "MANIFEST.copy"
	manifestsKept = 3
	markName      = "HWM"
	filesName     = "FILES"
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
// of them, if the manifest is missing.
func (s *Store) checkFiles(db string) error {
	path := filepath.Join(db, manifestName)
	tables, err := filepath.Glob(filepath.Join(db, "*.sst"))
	if err != nil {
		return err
	}
	logs, err := filepath.Glob(filepath.Join(db, "*.vlog"))
	if err != nil {
		return err
	}
	if err := s.dropEmpty(db); err != nil {
		return err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if len(tables)+len(logs) > 0 {
			return fmt.Errorf("%w: %s is missing, but there are %d tables and %d value logs beside it; copies of it are in %s%s",
				queue.ErrDamaged, path, len(tables), len(logs), filepath.Join(s.dir, manifestDir), wayOut)
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
	if info, err := f.Stat(); err == nil && end < info.Size() {
		s.torn = true
	}
	return s.setAside(tables, m)
}

// dropEmpty removes memtable logs and value log files that are empty, with which Badger does not open a database. They are what a crash leaves
// behind that comes between the making of such a file and its first byte, or between its last one and its removal.
func (s *Store) dropEmpty(db string) error {
	for _, pattern := range []string{"*.mem", "*.vlog"} {
		paths, err := filepath.Glob(filepath.Join(db, pattern))
		if err != nil {
			return err
		}
		for _, path := range paths {
			info, err := os.Stat(path)
			if err != nil {
				return fmt.Errorf("look at the database: %w", err)
			}
			if info.Size() > 0 {
				continue
			}
			s.log.Info("removing an empty file that a crash has left behind", zap.String("file", path))
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove empty file: %w", err)
			}
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

// setAside moves tables that the manifest does not name where Badger does not delete them. A crash in the middle of a flush leaves such
// tables behind, and so does a manifest that has lost its end; which of the two it was shows when the store is open.
func (s *Store) setAside(tables []string, m badger.Manifest) error {
	for _, path := range tables {
		var id uint64
		if _, err := fmt.Sscanf(filepath.Base(path), "%d.sst", &id); err != nil {
			continue
		}
		if _, named := m.Tables[id]; named {
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

// dropAside deletes the tables that were set aside, once the store has shown to be complete without them. If the manifest has a record that is cut
// short, they may be a part of the database after all, and are left for a salvage.
func (s *Store) dropAside() error {
	dir := filepath.Join(s.dir, orphanDir)
	if found, err := os.ReadDir(dir); err == nil && len(found) > 0 && s.torn {
		s.log.Error("the manifest's last record is cut short, and there are tables that it does not name; stop Caddy and run `caddy webhooks store check`",
			zap.String("tables", dir), zap.Int("count", len(found)))
		return nil
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
	old, err := filepath.Glob(filepath.Join(dir, "MANIFEST.0*"))
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

// The high-water mark says what had been promised when it was written: a store whose newest event, or whose number of commits, is
// below it has lost something.
const markSize = 28

func encodeMark(seq, commits uint64) []byte {
	b := append(make([]byte, 0, markSize), "SLUICEHW"...)
	b = be.AppendUint64(be.AppendUint64(b, seq), commits)
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeMark returns false if the mark is damaged.
func decodeMark(b []byte) (seq, commits uint64, ok bool) {
	if len(b) != markSize || string(b[:8]) != "SLUICEHW" || crc32.Checksum(b[:24], castagnoli) != be.Uint32(b[24:]) {
		return 0, 0, false
	}
	return be.Uint64(b[8:]), be.Uint64(b[16:]), true
}

// writeMark writes the high-water mark if it has moved.
func (s *Store) writeMark() error {
	promised := s.promised.Load()
	if s.o.NoSync {
		promised = s.applier.appliedSeq() // what is only in the journal may be lost without anything being wrong
	}
	mark := encodeMark(promised, s.applier.commits.Load())
	s.markMu.Lock()
	defer s.markMu.Unlock()
	if bytes.Equal(mark, s.marked) {
		return nil
	}
	if err := replaceFile(filepath.Join(s.dir, markName), mark); err != nil {
		return err
	}
	s.marked = mark
	return nil
}

// checkMark compares what was found with the high-water mark.
func (s *Store) checkMark(seq, commits uint64) error {
	path := filepath.Join(s.dir, markName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("high-water mark: %w", err)
	}
	wantSeq, wantCommits, ok := decodeMark(b)
	if !ok {
		s.log.Warn("the high-water mark is damaged; whether the store has lost its newest part cannot be told", zap.String("file", path))
		return nil
	}
	if seq < wantSeq {
		return fmt.Errorf("%w: the store in %s went back in time: its newest event is %s, but %s was acknowledged%s",
			queue.ErrDamaged, s.dir, queue.ID(seq), queue.ID(wantSeq), wayOut)
	}
	if commits < wantCommits {
		return fmt.Errorf("%w: the store in %s went back in time: %d of its commits are missing, and with them outcomes of deliveries%s",
			queue.ErrDamaged, s.dir, wantCommits-commits, wayOut)
	}
	return nil
}
