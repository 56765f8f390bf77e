package badgerstore

import (
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// rename returns a migration that moves metadata from one name to another, as a migration does that changes a table.
func rename(from, to string, runs *int) migration {
	return func(db *badger.DB) error {
		*runs++
		return db.Update(func(txn *badger.Txn) error {
			item, err := txn.Get(userKey(from))
			if errors.Is(err, badger.ErrKeyNotFound) {
				return nil // it was moved before a crash
			}
			if err != nil {
				return err
			}
			sealed, err := item.ValueCopy(nil)
			if err != nil {
				return err
			}
			value, ok := unseal(userKey(from), sealed)
			if !ok {
				return queue.ErrDamaged
			}
			return errors.Join(txn.Set(userKey(to), seal(userKey(to), value)), txn.Delete(userKey(from)))
		})
	}
}

// TestMigrations opens a store with versions that have other formats.
func TestMigrations(t *testing.T) {
	t.Parallel()
	clock, dir := queuetest.NewClock(), t.TempDir()
	runs := [3]int{}
	crash := errors.New("the machine crashes here")
	moved := rename("one", "two", &runs[0])
	withFormat := func(format uint64, steps map[uint64]migration) (*Store, error) {
		return openWith(t, dir, clock, func(o *Options) { o.format, o.migrations = format, steps })
	}
	s, err := withFormat(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	ids := enqueue(t, s, "a", 5, 100)
	if err := s.PutMeta(t.Context(), "one", []byte("value")); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)

	// A migration that crashes when its work is done, before that is noted.
	_, err = withFormat(3, map[uint64]migration{1: func(db *badger.DB) error { return errors.Join(moved(db), crash) }, 2: rename("two", "three", &runs[1])})
	if !errors.Is(err, crash) || runs[1] != 0 {
		t.Fatalf("%v, and the next migration ran %d times", err, runs[1])
	}
	if s, err = withFormat(3, map[uint64]migration{1: moved, 2: rename("two", "three", &runs[1])}); err != nil {
		t.Fatal(err)
	}
	if value, err := s.Meta(t.Context(), "three"); err != nil || string(value) != "value" {
		t.Errorf("%q, %v", value, err)
	}
	for _, id := range ids {
		if _, err := s.Event(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	mustClose(t, s)
	if s, err = withFormat(3, map[uint64]migration{1: moved, 2: rename("two", "three", &runs[1])}); err != nil {
		t.Fatal(err)
	}
	if n := settleAll(t, s, queue.StateDelivered); n != 5 {
		t.Errorf("%d deliveries", n)
	}
	mustClose(t, s)
	if runs[0] != 2 || runs[1] != 1 {
		t.Errorf("the migrations ran %d and %d times, want 2 and 1", runs[0], runs[1])
	}

	// A version that is too old, and one that lacks a step.
	if _, err := openWith(t, dir, clock, nil); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "format 3") {
		t.Errorf("an older version: %v, want %v", err, ErrFormat)
	}
	if _, err := withFormat(4, nil); !errors.Is(err, ErrFormat) {
		t.Errorf("a version without the migration: %v, want %v", err, ErrFormat)
	}
	if s, err = withFormat(3, nil); err != nil {
		t.Fatalf("refusing it has changed it: %v", err)
	}
	mustClose(t, s)
}

// TestBackupLeavesTheFormat: a backup is what one goes back to after an upgrade, so making it must not be the upgrade.
func TestBackupLeavesTheFormat(t *testing.T) {
	t.Parallel()
	clock, dir := queuetest.NewClock(), t.TempDir()
	old := func(o *Options) { o.format = 1 }
	s, err := openWith(t, dir, clock, old)
	if err != nil {
		t.Fatal(err)
	}
	enqueue(t, s, "a", 5, 100)
	mustClose(t, s)
	o := small()
	o.Clock = clock.Now
	if _, err := BackupDir(t.Context(), dir, io.Discard, o); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "format 1") {
		t.Errorf("%v, want %v", err, ErrFormat)
	}
	if s, err = openWith(t, dir, clock, old); err != nil {
		t.Fatalf("the version that wrote it cannot read it any more: %v", err)
	}
	mustClose(t, s)
	mustClose(t, openSmall(t, dir, clock))
	if info, err := BackupDir(t.Context(), dir, io.Discard, o); err != nil || info.Events != 5 {
		t.Errorf("of the present format: %+v, %v", info, err)
	}
}

// TestEveryFormatHasAMigration is about the list of migrations itself.
func TestEveryFormatHasAMigration(t *testing.T) {
	t.Parallel()
	for from := uint64(1); from < formatVersion; from++ {
		if migrations[from] == nil {
			t.Errorf("no migration from format %d", from)
		}
	}
	if len(migrations) != formatVersion-1 {
		t.Errorf("%d migrations to format %d", len(migrations), formatVersion)
	}
}

// TestNewerJournal opens a store whose journal was written by a newer version.
func TestNewerJournal(t *testing.T) {
	t.Parallel()
	clock, dir := queuetest.NewClock(), t.TempDir()
	s := openSmall(t, dir, clock)
	enqueue(t, s, "a", 1, 100)
	crashed := copyDir(t, dir)
	mustClose(t, s)
	path := pick(t, crashed, "journal/*.seg")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[7] = directVersion + 1
	be.PutUint32(b[48:], crc32.Checksum(b[:48], castagnoli))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openWith(t, crashed, clock, nil); !errors.Is(err, ErrFormat) || errors.Is(err, queue.ErrDamaged) || !strings.Contains(err.Error(), filepath.Base(path)) {
		t.Errorf("%v, want %v", err, ErrFormat)
	}
}

// TestFormatRowMissing opens a database that has lost the row which says what it is.
func TestFormatRowMissing(t *testing.T) {
	t.Parallel()
	clock, dir := queuetest.NewClock(), t.TempDir()
	s := openSmall(t, dir, clock)
	enqueue(t, s, "a", 1, 100)
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Update(func(txn *badger.Txn) error { return txn.Delete(keyFormat) }); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	if _, err := openWith(t, dir, clock, nil); !errors.Is(err, queue.ErrDamaged) {
		t.Errorf("%v, want %v", err, queue.ErrDamaged)
	}
}
