package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
)

// manifest returns the tables that make the database, with their data keys; known is false if that cannot be told and all tables have to be taken.
func (db *rawDB) manifest() (named map[uint64]uint64, known bool, err error) {
	path := filepath.Join(db.dir, manifestName)
	copied := filepath.Join(filepath.Dir(db.dir), manifestDir, manifestCopy)
	now, end, nowErr := readManifest(path)
	before, copiedEnd, copyErr := readManifest(copied)
	switch {
	case nowErr == nil && copyErr == nil && end < copiedEnd && isPrefix(path, end, copied):
		db.report.file("manifest", path, fmt.Errorf("has lost its last %d bytes; the copy %s is complete", copiedEnd-end, db.report.name(copied)), outManifest)
		db.damaged = true
		return before, true, nil
	case nowErr == nil:
		info, err := os.Stat(path)
		db.torn = err == nil && end < info.Size()
		return now, true, err
	case errors.Is(nowErr, fs.ErrNotExist) && db.empty():
		return nil, true, nil
	}
	text := nowErr
	if errors.Is(nowErr, fs.ErrNotExist) {
		text = errors.New("is missing: which tables make the database cannot be told")
	}
	if copyErr == nil {
		text = fmt.Errorf("%w; %s is a copy of it as it was the last time the store was opened or closed", text, db.report.name(copied))
	}
	db.report.file("manifest", path, text, outSalvage)
	db.damaged = true
	return now, false, nil
}

func isPrefix(path string, end int64, whole string) bool {
	a, errA := os.ReadFile(path)
	b, errB := os.ReadFile(whole)
	return errA == nil && errB == nil && end <= int64(len(a)) && bytes.HasPrefix(b, a[:end])
}

// empty reports whether there is nothing that a manifest would have to name.
func (db *rawDB) empty() bool {
	for _, pattern := range []string{"*.sst", "*.vlog"} {
		if found, err := filesIn(db.dir, pattern); err != nil || len(found) > 0 {
			return false
		}
	}
	return true
}

// readManifest returns the tables a manifest names, and where its intact part ends.
func readManifest(path string) (tables map[uint64]uint64, end int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	var m badger.Manifest
	err = guarded(func() (err error) {
		m, end, err = badger.ReplayManifestFile(f, 0, badger.DefaultOptions(filepath.Dir(path)).WithLogger(nil))
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	tables = make(map[uint64]uint64, len(m.Tables))
	for id, t := range m.Tables {
		tables[id] = t.KeyID
	}
	return tables, end, nil
}
