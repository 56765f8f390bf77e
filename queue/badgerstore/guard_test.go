package badgerstore

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
)

// TestOpenDamaged opens stores with every kind of damage. Opening fails with an error that names the file and the way out, or else every event that
// is not there any more is one that the store says is damaged; nothing is delivered with other bytes than its own, and nothing panics.
func TestOpenDamaged(t *testing.T) {
	t.Parallel()
	m := worn(t, nil)
	before := snapshotOf(t, m.s)
	crashed := image(t, m.dir)
	m.close()
	m.o.still = true // a compaction over a broken table ends the process
	for kind, whole := range map[string]string{"closed": m.dir, "crashed": crashed} {
		for name, damage := range damages {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				dir := image(t, whole)
				file := damage(t, dir)
				switch {
				case file == "":
					t.Skip("there is no such file")
				case strings.HasSuffix(file, ".mem"):
					file = markName // its broken end looks like one that was never written; what is missing shows there
				}
				s, err := Open(dir, m.o)
				if err != nil {
					if !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "caddy webhooks store salvage") {
						t.Errorf("the error does not name %s and the way out: %v", file, err)
					}
					t.Log(err)
					return
				}
				defer s.Close()
				missing, damaged := 0, 0
				for id, body := range m.bodies {
					if before[id.String()] == "" {
						continue // pruned before
					}
					switch ev, err := s.Event(t.Context(), id); {
					case errors.Is(err, queue.ErrDamaged), errors.Is(err, queue.ErrFailed):
						damaged++
					case err != nil:
						missing++
					case string(ev.Body) != body:
						t.Errorf("%s has a body that is not its own", id)
					}
				}
				t.Logf("%s: opened; %d events damaged, %d missing", file, damaged, missing)
				if missing == 0 {
					return
				}
				// A broken key is another key; only a look at the whole table shows it.
				if report, err := s.Check(t.Context()); err != nil || report.Sound {
					t.Errorf("%s: opened without a word, and %d events are missing: %+v, %v", file, missing, report, err)
				}
			})
		}
	}
}

// TestBrokenTables breaks the blocks of a table, one after the other, and then reads and writes all there is. Badger panics over some of them, also in
// goroutines that nobody has called; the store says that it is damaged, and the process goes on.
func TestBrokenTables(t *testing.T) {
	t.Parallel()
	m := worn(t, nil)
	before := snapshotOf(t, m.s)
	m.close()
	m.o.still = true // a compaction over a broken table ends the process
	const places = 40
	failed := 0
	for i := range places {
		dir := image(t, m.dir)
		change("db/*.sst", func(b []byte) []byte {
			at := len(b) * i / places
			copy(b[at:], bytes.Repeat([]byte{0xff}, 64))
			return b
		})(t, dir)
		s, err := Open(dir, m.o)
		if err != nil {
			if !errors.Is(err, queue.ErrDamaged) || !strings.Contains(err.Error(), "caddy webhooks store salvage") {
				t.Errorf("place %d: %v", i, err)
			}
			continue
		}
		useAll(t, s, m, before)
		if err := s.Failure(); err != nil {
			failed++
			if !strings.Contains(err.Error(), "caddy webhooks store salvage") {
				t.Errorf("place %d: %v", i, err)
			}
		}
		if err := s.Close(); err != nil && !errors.Is(err, queue.ErrFailed) {
			t.Errorf("place %d: close: %v", i, err)
		}
		if again, err := Open(dir, m.o); (err == nil) == (s.Failure() != nil) {
			t.Errorf("place %d: opened again after %v: %v", i, s.Failure(), err)
		} else if err == nil {
			again.Close()
		}
	}
	if failed == 0 {
		t.Error("Badger panicked nowhere, so nothing was tried")
	}
}

// useAll reads all there is, and claims, stores, maintains and backs up. What does not succeed says what is wrong.
func useAll(t *testing.T, s *Store, m *mixed, before map[string]string) {
	t.Helper()
	ctx := t.Context()
	said := func(err error) bool {
		if err != nil && !errors.Is(err, queue.ErrDamaged) && !errors.Is(err, queue.ErrFailed) && !errors.Is(err, queue.ErrNotFound) {
			t.Error(err)
		}
		return err != nil
	}
	for id, body := range m.bodies {
		if before[id.String()] == "" {
			continue // pruned before
		}
		if ev, err := s.Event(ctx, id); !said(err) && string(ev.Body) != body {
			t.Errorf("%s has a body that is not its own", id)
		}
		_, err := s.Deliveries(ctx, id)
		said(err)
	}
	for f := (queue.Filter{Limit: 100}); ; {
		page, err := s.Events(ctx, f)
		if said(err) || page.Next == "" {
			break
		}
		f.Cursor = page.Next
	}
	if stats, err := s.Stats(ctx); !said(err) {
		for name := range stats.Destinations {
			_, _, err := s.Claim(ctx, queue.ClaimRequest{Destination: name, Limit: 100, Now: s.clock(), Lease: time.Minute})
			said(err)
		}
	}
	_, err := s.Enqueue(ctx, []queue.NewEvent{{Event: queue.Event{Source: "shop", EventID: "new", Body: []byte("new")}, Deliveries: []queue.NewDelivery{{Destination: "plain"}}}})
	said(err)
	_, err = s.Maintain(ctx, s.clock().Add(24*time.Hour), queue.Retention{})
	said(err)
	_, err = s.Backup(ctx, io.Discard)
	said(err)
}

// TestBrokenTableAfterCrash breaks a table of a store that was opened, nothing more, and of which the process then ended: a compaction may have panicked over it.
func TestBrokenTableAfterCrash(t *testing.T) {
	t.Parallel()
	m := worn(t, nil)
	m.close()
	m.open()
	crashed := image(t, m.dir)
	m.close()
	name := change("db/*.sst", func(b []byte) []byte {
		copy(b[len(b)/3:], bytes.Repeat([]byte{0xff}, 4<<10))
		return b
	})(t, crashed)
	for range 2 { // it stays so
		if _, err := Open(crashed, m.o); !errors.Is(err, queue.ErrDamaged) || !strings.Contains(err.Error(), name) {
			t.Errorf("opened: %v", err)
		}
	}
}

// TestOpenEmptyFiles opens a store in which a crash has left empty files.
func TestOpenEmptyFiles(t *testing.T) {
	t.Parallel()
	m := worn(t, nil)
	before := snapshotOf(t, m.s)
	dir := image(t, m.dir)
	m.close()
	for _, name := range []string{"00999.mem", "009999.vlog", "000000.vlog"} {
		if err := os.WriteFile(filepath.Join(dir, "db", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := *m
	n.dir = dir
	n.open()
	sameContents(t, snapshotOf(t, n.s), before)
	n.close()
}

// TestMoreIsReadAfterEachCrash: a store that keeps crashing, perhaps over a table, has more of them read each time, until the one is among them.
func TestMoreIsReadAfterEachCrash(t *testing.T) {
	t.Parallel()
	s, db := newStore(t.TempDir(), small()), t.TempDir()
	m := badger.Manifest{Tables: map[uint64]badger.TableManifest{}}
	for id := range uint64(8) {
		m.Tables[id] = badger.TableManifest{Level: 6}
		if err := os.WriteFile(tablePath(db, id), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(tablePath(db, id), crashRead*3/4); err != nil { // without a byte on the disk
			t.Fatal(err)
		}
	}
	for crashes, want := range []int{0, 1, 2, 5, 8, 8} {
		tables, _, err := s.doubtful(db, m, crashes)
		if err != nil || len(tables) != want {
			t.Errorf("after %d crashes %d tables are read, %v; want %d", crashes, len(tables), err, want)
		}
	}
}
