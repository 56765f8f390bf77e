package badgerstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// TestTablesAsClosed checks that tables count as looked at only if nothing has happened to them since the store was closed.
func TestTablesAsClosed(t *testing.T) {
	m := newMixed(t, nil)
	m.enqueue(200)
	m.close()
	s := newStore(m.dir, m.o)
	if !s.asClosed() {
		t.Fatal("not as it was closed")
	}
	tables, err := filepath.Glob(filepath.Join(m.dir, "db", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	path := tables[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(path string, content []byte, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(){
		"written again": func() { write(path, whole, time.Now()) },
		"cut":           func() { write(path, whole[:len(whole)-1], info.ModTime()) },
		"gone":          func() { _ = os.Remove(path) },
		"more":          func() { write(filepath.Join(m.dir, "db", "999999.sst"), whole, info.ModTime()) },
		"not noted":     func() { _ = os.Remove(filepath.Join(m.dir, closedName)) },
	} {
		change()
		if s.asClosed() {
			t.Errorf("%s: as it was closed", name)
		}
		_ = os.Remove(filepath.Join(m.dir, "db", "999999.sst"))
		write(path, whole, info.ModTime())
		s.noteClosed()
		if !s.asClosed() {
			t.Fatalf("%s: not put right", name)
		}
	}
}

// TestClosedIsForCleanStarts checks that a store that was not closed has its tables looked at, although none has changed since an earlier close.
func TestClosedIsForCleanStarts(t *testing.T) {
	m := newMixed(t, nil)
	m.enqueue(200)
	m.close()
	m.open()
	crashed := copyDir(t, m.dir)
	m.close()
	tables, err := filepath.Glob(filepath.Join(crashed, "db", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	if err := os.WriteFile(tables[0], bytes.Repeat([]byte{7}, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	newStore(crashed, m.o).noteClosed() // as if the file system had kept the size and the time
	s, err := Open(crashed, m.o)
	if err == nil {
		_ = s.Close()
	}
	if !errors.Is(err, queue.ErrDamaged) || !strings.Contains(err.Error(), filepath.Base(tables[0])) {
		t.Errorf("%v, want %v with the name of the table", err, queue.ErrDamaged)
	}
}
