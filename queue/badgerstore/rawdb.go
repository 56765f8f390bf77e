package badgerstore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
)

// rawDB is a Badger database as its files are. What one damaged file holds does not keep it from the others.
type rawDB struct {
	dir     string
	keys    *badger.KeyRegistry
	plain   bool // the store is not encrypted
	tables  []*rawTable
	loose   [][]rawRow // sorted rows of memtables and of damaged tables
	values  map[uint32]*rawLog
	missing map[uint32]int // files of the value log that rows point to and that cannot be read, with the number of rows
	damaged bool           // rows may be missing
	gone    rowKinds       // what they may be
	torn    bool           // the manifest's last record is cut short
	extra   bool           // tables that the manifest does not name were taken, so that rows that were deleted may be there again
	told    map[string]bool
	report  *Report
}

// openRawDB reads everything but tables and values, as Badger would. Damage goes to the report; an error means that nothing can be read at all.
func openRawDB(dir string, key []byte, report *Report) (*rawDB, error) {
	return openRaw(dir, key, false, report)
}

// openRaw is openRawDB; with all, tables count that the manifest does not name.
func openRaw(dir string, key []byte, all bool, report *Report) (*rawDB, error) {
	db := &rawDB{dir: dir, plain: len(key) == 0, values: map[uint32]*rawLog{}, missing: map[uint32]int{}, told: map[string]bool{}, report: report}
	if err := db.openKeys(key); err != nil {
		return nil, err
	}
	named, known, err := db.manifest()
	if err != nil {
		return nil, err
	}
	for _, open := range []func() error{
		func() error { return db.openTables(named, known, all) }, db.openMemtables, db.openValues,
	} {
		if err := open(); err != nil {
			db.close()
			return nil, err
		}
	}
	for _, rows := range db.loose {
		slices.SortStableFunc(rows, compareRows)
	}
	return db, nil
}

func compareRows(a, b rawRow) int {
	return cmp.Or(bytes.Compare(a.key, b.key), cmp.Compare(b.ts, a.ts))
}

func (db *rawDB) close() {
	for _, t := range db.tables {
		t.close()
	}
	for _, l := range db.values {
		l.close()
	}
}

// openKeys opens the registry of data keys, which are encrypted with the store's key.
func (db *rawDB) openKeys(key []byte) error {
	path := filepath.Join(db.dir, badger.KeyRegistryFileName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if len(key) > 0 {
			db.report.file("keys", path, errors.New("is missing: without it nothing in the database can be decrypted"), outSalvage)
			db.lose(allRows)
		}
		return nil
	} else if err != nil {
		return err
	}
	keys, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: db.dir, ReadOnly: true, EncryptionKey: key})
	if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
		if len(key) == 0 {
			return fmt.Errorf("%w: the store is encrypted, and no key was given", ErrKey)
		}
		return fmt.Errorf("%w: it is not the one the store was made with, or the store is not encrypted", ErrKey)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	db.keys = keys
	return nil
}

// numbered returns the files with an extension by their number.
func (db *rawDB) numbered(ext string) (map[uint64]string, error) {
	paths, err := filesIn(db.dir, "*"+ext)
	if err != nil {
		return nil, err
	}
	files := make(map[uint64]string, len(paths))
	for _, path := range paths {
		id, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), ext), 10, 64)
		if err == nil {
			files[id] = path
		}
	}
	return files, nil
}

func (db *rawDB) openTables(named map[uint64]uint64, known, all bool) error {
	files, err := db.numbered(".sst")
	if err != nil {
		return err
	}
	for id := range named {
		if files[id] == "" && known {
			db.report.file("table", filepath.Join(db.dir, fmt.Sprintf("%06d.sst", id)), errors.New("is missing"), outSalvage)
			db.lose(allRows)
		}
	}
	for id, path := range files {
		keyID, isNamed := named[id]
		if known && !isNamed {
			db.unnamed(path)
			if !all {
				continue
			}
		}
		db.openTable(path, keyID, isNamed)
	}
	if !all {
		return nil
	}
	aside, err := filesIn(filepath.Join(filepath.Dir(db.dir), orphanDir), "*.sst")
	for _, path := range aside {
		db.unnamed(path)
		db.openTable(path, 0, false)
	}
	return err
}

// unnamed reports a table that the manifest does not name. After a crash that is nothing; if the manifest has lost its end it may be a part of the database.
func (db *rawDB) unnamed(path string) {
	db.extra = true
	f := Finding{Level: LevelNote, Kind: "table", File: db.report.name(path), Text: "the manifest does not name it: a crash has left it behind"}
	if db.torn {
		f = Finding{Kind: "manifest", File: db.report.name(filepath.Join(db.dir, manifestName)), WayOut: outSalvage,
			Text: fmt.Sprintf("its last record is cut short, and it does not name the table %s", filepath.Base(path))}
		db.damaged = true
	}
	db.report.add(f)
}

func (db *rawDB) openTable(path string, keyID uint64, known bool) {
	db.report.Tables++
	t, err := openRawTable(path, db.keys, keyID, known)
	if err != nil {
		db.damagedTable(path, err)
		return
	}
	db.tables = append(db.tables, t)
}

// damagedTable takes out of a table whose index is broken what can be found without it.
func (db *rawDB) damagedTable(path string, reason error) {
	db.lose(allRows)
	var rows []rawRow
	if b, err := os.ReadFile(path); err == nil && db.plain {
		rows = scanBlocks(b)
	}
	db.report.file("table", path, fmt.Errorf("%w; %s can be read all the same", reason, count(len(rows), "row", "rows")), outSalvage)
	if len(rows) > 0 {
		db.loose = append(db.loose, rows)
	}
}

func (db *rawDB) openMemtables() error {
	files, err := db.numbered(".mem")
	if err != nil {
		return err
	}
	for _, path := range files {
		if info, err := os.Stat(path); err == nil && info.Size() == 0 {
			continue // it was made and not written to
		}
		l, err := openRawLog(path, db.keys)
		if err != nil {
			db.lose(allRows)
			db.report.file("memtable", path, err, outSalvage)
			continue
		}
		rows, damage, err := l.rows()
		l.close()
		if err != nil {
			return err
		}
		for _, g := range damage {
			db.lose(allRows)
			db.report.file("memtable", path, fmt.Errorf("%d bytes at %d are broken, and what was written after them is intact", g.to-g.from, g.from), outSalvage)
		}
		db.loose = append(db.loose, rows)
	}
	return nil
}

func (db *rawDB) openValues() error {
	files, err := db.numbered(".vlog")
	if err != nil {
		return err
	}
	for id, path := range files {
		l, err := openRawLog(path, db.keys)
		if err != nil {
			if info, statErr := os.Stat(path); statErr == nil && info.Size() == 0 {
				continue
			}
			db.report.file("value_log", path, err, outSalvage)
			continue
		}
		db.values[uint32(id)] = l
	}
	return nil
}

// lose notes that rows of some kinds may be missing.
func (db *rawDB) lose(kinds rowKinds) {
	db.damaged = true
	db.gone |= kinds
}

// value returns the value of a row. An error names the file.
func (db *rawDB) value(r *rawRow) ([]byte, error) {
	if r.meta&rawPointer == 0 {
		return r.value, nil
	}
	if len(r.value) < 12 {
		return nil, fmt.Errorf("%w: pointer to the value log", queue.ErrDamaged)
	}
	file, size, off := binary.NativeEndian.Uint32(r.value), binary.NativeEndian.Uint32(r.value[4:]), binary.NativeEndian.Uint32(r.value[8:])
	name := fmt.Sprintf("%06d.vlog", file)
	l := db.values[file]
	if l == nil {
		db.missing[file]++
		return nil, fmt.Errorf("%w: value log %s is missing", queue.ErrDamaged, name)
	}
	e, err := l.at(int64(off), size)
	if err != nil {
		return nil, fmt.Errorf("%w: value log %s: %w", queue.ErrDamaged, name, err)
	}
	if key, ts := splitVersion(e.key); !bytes.Equal(key, r.key) || ts != r.ts {
		return nil, fmt.Errorf("%w: value log %s: another row's value at %d", queue.ErrDamaged, name, off)
	}
	return e.value, nil
}
