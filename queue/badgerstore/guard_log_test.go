package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// TestBrokenEventInTheLastLog breaks one event in the file of the value log that was written last, at its beginning. The others are still there when the store is opened.
func TestBrokenEventInTheLastLog(t *testing.T) {
	for _, key := range [][]byte{nil, bytes.Repeat([]byte{1}, 32)} {
		o := small()
		o.EncryptionKey = key
		dir := t.TempDir()
		s, err := Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		ids := enqueue(t, s, "e", 60, 4<<10)
		mustClose(t, s)
		logs, err := filepath.Glob(filepath.Join(dir, "db", "*.vlog"))
		if err != nil || len(logs) == 0 {
			t.Fatal(logs, err)
		}
		path := logs[len(logs)-1]
		content, err := os.ReadFile(path)
		if err != nil || len(content) < 20<<10 {
			t.Fatalf("%d bytes in %s, %v", len(content), path, err)
		}
		if err := os.WriteFile(path, flipAt(content, 1<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // and of those, none is lost when it is opened once more
			if s, err = Open(dir, o); err != nil {
				t.Fatal(err)
			}
			broken := 0
			for _, id := range ids {
				if e, err := s.Event(t.Context(), id); errors.Is(err, queue.ErrDamaged) {
					broken++
				} else if err != nil || len(e.Body) != 4<<10 {
					t.Errorf("event %s: %v", id, err)
				}
			}
			if broken != 1 {
				t.Errorf("%d of %d events are gone, want 1", broken, len(ids))
			}
			enqueue(t, s, "more", 3, 4<<10)
			mustClose(t, s)
		}
		if logs, err = filepath.Glob(filepath.Join(dir, "db", "*.vlog")); err != nil || len(logs) > 6 {
			t.Errorf("empty files stay: %v %v", logs, err)
		}
		if r, err := CheckDir(t.Context(), dir, o); err != nil || len(r.Findings) == 0 {
			t.Errorf("check: %+v, %v", r, err)
		}
	}
}

// TestBrokenEventAndGarbage breaks one event in a file of the value log that is mostly garbage. What is still needed of that file stays, and the space comes back once nothing is.
func TestBrokenEventAndGarbage(t *testing.T) {
	clock := queuetest.NewClock()
	o := small()
	o.Clock, o.manual = clock.Now, true
	dir := t.TempDir()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	enqueue(t, s, "e", 300, 4<<10)
	var kept []queue.ID
	for i := range 30 { // they are in the same file, behind the others
		receipts, err := s.Enqueue(t.Context(), []queue.NewEvent{newEvent(fmt.Sprint("kept", i), 4<<10, clock.Now(), "other")})
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, receipts[0].ID)
	}
	mustClose(t, s)
	path := filepath.Join(dir, "db", "000001.vlog")
	content, err := os.ReadFile(path)
	if err != nil || len(content) < 1<<20 {
		t.Fatalf("%d bytes in %s, %v", len(content), path, err)
	}
	if err := os.WriteFile(path, flipAt(content, 20<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, o); err != nil {
		t.Fatal(err)
	}
	defer func() { mustClose(t, s) }()
	prune := func(prefix string) {
		t.Helper()
		for n := range 6 {
			enqueue(t, s, fmt.Sprint(prefix, n), 300, 4<<10)
			settleAll(t, s, queue.StateDelivered)
			clock.Advance(time.Hour)
			maintain(t, s, queue.Retention{Delivered: time.Minute, Dead: time.Minute})
		}
	}
	prune("some")
	if s.keptLog != path {
		t.Errorf("kept %q, want %q: its garbage was not met", s.keptLog, path)
	}
	for _, id := range kept {
		if e, err := s.Event(t.Context(), id); err != nil || len(e.Body) != 4<<10 {
			t.Fatalf("event %s: %v", id, err)
		}
	}
	for _, id := range kept {
		if err := s.Cancel(t.Context(), id, "other"); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s) // which writes other rows of that file anew
	if s, err = Open(dir, o); err != nil {
		t.Fatal(err)
	}
	prune("more")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s stays when nothing in it is needed: %v", path, err)
	}
}
