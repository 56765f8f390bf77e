package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// copyDir copies a store as it is at this moment: what a process that is killed leaves behind.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// barrage writes to a store from several goroutines until it refuses, and keeps what was acknowledged.
type barrage struct {
	mu    sync.Mutex
	acked map[string]queue.ID
	last  error // why the last one refused
}

func (l *barrage) run(t testing.TB, s *Store, round int) {
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 3000 {
				id := fmt.Sprintf("%d-%d-%d", round, w, i)
				events := []queue.NewEvent{newEvent(id, 900, s.clock(), app)}
				if i%5 == 0 {
					events = append(events, newEvent(id+"b", 900, s.clock(), app))
				}
				receipts, err := s.Enqueue(context.Background(), events)
				l.mu.Lock()
				if err != nil {
					l.last = err
					l.mu.Unlock()
					return
				}
				for n, r := range receipts {
					l.acked[events[n].EventID] = r.ID
				}
				l.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// verify opens a store and compares it with what was acknowledged.
func (l *barrage) verify(t *testing.T, dir string, clock *queuetest.Clock) {
	t.Helper()
	s, err := openWith(t, dir, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	for name, id := range l.acked {
		ev, err := s.Event(t.Context(), id)
		if err != nil {
			t.Fatalf("%s (%s) was acknowledged: %v", name, id, err)
		}
		if ev.EventID != name || string(ev.Body) != string(bodyOf(name, 900)) {
			t.Fatalf("%s holds something else than %s", id, name)
		}
	}
	seen := map[string]bool{}
	for f := (queue.Filter{Limit: 1000}); ; {
		page, err := s.Events(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if seen[e.Event.EventID] {
				t.Errorf("%s is there twice", e.Event.EventID)
			}
			seen[e.Event.EventID] = true
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	if n := settleAll(t, s, queue.StateDelivered); n != len(seen) {
		t.Errorf("%d deliveries of %d events", n, len(seen))
	}
}

func onSegments(fn func(string, string) *fault) func(string, string) *fault {
	return func(op, path string) *fault {
		if strings.HasSuffix(path, ".seg") {
			return fn(op, path)
		}
		return nil
	}
}

// cachedAndDirect runs a test with each way to write the journal.
func cachedAndDirect(t *testing.T, name string, run func(t *testing.T, direct bool)) {
	for _, direct := range []bool{false, true} {
		t.Run(fmt.Sprintf("%s/Direct=%t", name, direct), func(t *testing.T) {
			t.Parallel()
			run(t, direct)
		})
	}
}

// TestFailStop breaks one call of the journal. From then on nothing is acknowledged; everything that was before is there afterwards.
func TestFailStop(t *testing.T) {
	t.Parallel()
	eio := fault{err: syscall.EIO}
	for _, c := range []struct {
		name  string
		fault func() func(string, string) *fault
	}{
		{"Write", func() func(string, string) *fault { return onSegments(failAt(opWrite, 20, eio, false)) }},
		{"ShortWrite", func() func(string, string) *fault {
			return onSegments(failAt(opWrite, 20, fault{err: syscall.EIO, short: 1500}, false))
		}},
		{"WriteWithoutSpace", func() func(string, string) *fault {
			return onSegments(failAt(opWrite, 20, fault{err: syscall.ENOSPC, short: 700}, false))
		}},
		{"Sync", func() func(string, string) *fault { return onSegments(failAt(opSync, 20, eio, false)) }},
		{"SyncThatStaysBroken", func() func(string, string) *fault { return failAt(opSync, 20, eio, true) }},
		{"NewSegmentIsNotNamed", func() func(string, string) *fault { return failAt(opRename, 3, eio, false) }},
		{"NamesAreNotSynced", func() func(string, string) *fault { return failAt(opSyncDir, 3, eio, false) }},
		{"OldSegmentIsNotFreed", func() func(string, string) *fault { return onSegments(failAt(opRename, 1, eio, false)) }},
	} {
		cachedAndDirect(t, c.name, func(t *testing.T, direct bool) {
			clock, dir, disk := queuetest.NewClock(), t.TempDir(), &faultyFS{direct: direct}
			s, err := openWith(t, dir, clock, func(o *Options) { o.files, o.SegmentSize = disk, 128<<10 })
			if err != nil {
				t.Fatal(err)
			}
			disk.set(c.fault())
			l := &barrage{acked: map[string]queue.ID{}}
			l.run(t, s, 0)
			if !errors.Is(l.last, queue.ErrFailed) || errors.Is(l.last, queue.ErrFull) {
				t.Fatalf("%v, want %v", l.last, queue.ErrFailed)
			}
			disk.set(nil) // that it works again changes nothing
			refusesAll(t, s)
			crashed := copyDir(t, dir)
			if err := s.Close(); !errors.Is(err, queue.ErrFailed) {
				t.Errorf("close: %v, want %v", err, queue.ErrFailed)
			}
			if len(l.acked) == 0 {
				t.Error("nothing was acknowledged, so nothing was proven")
			}
			l.verify(t, dir, clock)
			l.verify(t, crashed, clock)
		})
	}
}

// TestDiskThatHangs holds a write back. Nobody waits for it longer than they want to, and what it brings to the disk in the end is there.
func TestDiskThatHangs(t *testing.T) {
	t.Parallel()
	cachedAndDirect(t, "Journal", testDiskThatHangs)
}

func testDiskThatHangs(t *testing.T, direct bool) {
	clock, disk := queuetest.NewClock(), &faultyFS{direct: direct}
	s, err := openWith(t, t.TempDir(), clock, func(o *Options) { o.files = disk })
	if err != nil {
		t.Fatal(err)
	}
	writing, thaw := make(chan struct{}), make(chan struct{})
	disk.set(onSegments(func(op, _ string) *fault {
		if op == opWrite {
			select {
			case writing <- struct{}{}:
			case <-thaw:
			}
			<-thaw
		}
		return nil
	}))
	event := func(id string) []queue.NewEvent { return []queue.NewEvent{newEvent(id, 10, clock.Now(), app)} }
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	first := make(chan error, 1)
	go func() {
		_, err := s.Enqueue(ctx, event("first"))
		first <- err
	}()
	<-writing
	for range 3 { // behind the one that is being written, with and without events of their own
		expired, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		for _, id := range []string{"first", "next"} {
			if _, err := s.Enqueue(expired, event(id)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("behind a write that hangs: %v, want %v", err, context.DeadlineExceeded)
			}
		}
		cancel()
	}
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("whose write hangs: %v, want %v", err, context.Canceled)
	}
	close(thaw)
	for _, id := range []string{"first", "next"} {
		receipts, err := s.Enqueue(t.Context(), event(id))
		if err != nil {
			t.Fatal(err)
		}
		if id == "first" && !receipts[0].Duplicate {
			t.Error("what was written at last was not stored")
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// refusesAll checks that a store which has failed promises nothing.
func refusesAll(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	errs := map[string]error{}
	_, errs["enqueue"] = s.Enqueue(ctx, []queue.NewEvent{newEvent("late", 10, s.clock(), app)})
	_, _, errs["claim"] = s.Claim(ctx, queue.ClaimRequest{Destination: app, Limit: 1, Now: s.clock(), Lease: time.Minute})
	_, errs["settle"] = s.Settle(ctx, []queue.Settlement{{State: queue.StateDelivered}})
	errs["replay"] = s.Replay(ctx, 1, app, "")
	errs["cancel"] = s.Cancel(ctx, 1, app)
	errs["put metadata"] = s.PutMeta(ctx, "k", []byte("v"))
	_, errs["metadata"] = s.Meta(ctx, "k")
	_, errs["maintain"] = s.Maintain(ctx, s.clock(), queue.Retention{Delivered: time.Hour})
	_, errs["stats"] = s.Stats(ctx)
	_, errs["events"] = s.Events(ctx, queue.Filter{})
	for call, err := range errs {
		if !errors.Is(err, queue.ErrFailed) {
			t.Errorf("%s: %v, want %v", call, err, queue.ErrFailed)
		}
	}
	if s.Failure() == nil {
		t.Error("the store does not say why it has failed")
	}
}

// TestBadgerFails has Badger say what it only says when it could not keep a promise.
func TestBadgerFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format string
		args   []any
		fails  bool
	}{
		{"Error while curlf sync: %v\n", []any{syscall.EIO}, true}, // so it is called there
		{"writeRequests: %v", []any{syscall.EIO}, true},
		{"error flushing memtable to disk: %v, retrying", []any{syscall.ENOSPC}, true},
		{"While forcing compaction on level 0: %v", []any{syscall.EIO}, false},
	} {
		clock := queuetest.NewClock()
		dir := t.TempDir()
		s := openSmall(t, dir, clock)
		l := &barrage{acked: map[string]queue.ID{}}
		for i, id := range enqueue(t, s, "a", 10, 900) {
			l.acked[fmt.Sprint("a", i)] = id
		}
		badgerLog{s.log, s.fail}.Errorf(c.format, c.args...)
		if !c.fails {
			enqueue(t, s, "b", 1, 900)
			mustClose(t, s)
			continue
		}
		refusesAll(t, s)
		if err := s.Close(); !errors.Is(err, queue.ErrFailed) {
			t.Errorf("%s: close: %v", c.format, err)
		}
		l.verify(t, dir, clock)
	}
}

// TestNoRoomForSegments lets the disk refuse new segments. The store refuses events meanwhile, and goes on by itself.
func TestNoRoomForSegments(t *testing.T) {
	t.Parallel()
	for _, op := range []string{opCreate, opAllocate} {
		clock, dir, disk := queuetest.NewClock(), t.TempDir(), &faultyFS{}
		s, err := openWith(t, dir, clock, func(o *Options) { o.files, o.SegmentSize = disk, 128<<10 })
		if err != nil {
			t.Fatal(err)
		}
		l := &barrage{acked: map[string]queue.ID{}}
		for i, id := range enqueue(t, s, "before", 10, 900) { // so that there is a first segment
			l.acked[fmt.Sprint("before", i)] = id
		}
		disk.set(failAt(op, 1, fault{err: syscall.ENOSPC}, true))
		for round := range 3 {
			l.run(t, s, round)
			if !errors.Is(l.last, queue.ErrFull) || errors.Is(l.last, queue.ErrFailed) {
				t.Fatalf("%s: %v, want %v", op, l.last, queue.ErrFull)
			}
		}
		disk.set(nil)
		for i, id := range enqueue(t, s, "after", 300, 900) {
			l.acked[fmt.Sprint("after", i)] = id
		}
		mustClose(t, s)
		l.verify(t, dir, clock)
	}
}

// TestNoRoomAgainAndAgain asks for a segment many times in a row: each time there is an answer.
func TestNoRoomAgainAndAgain(t *testing.T) {
	t.Parallel()
	disk := &faultyFS{}
	disk.set(failAt(opCreate, 1, fault{err: syscall.ENOSPC}, true))
	o := Options{SegmentSize: 128 << 10, files: disk}
	if err := o.setDefaults(); err != nil {
		t.Fatal(err)
	}
	j, err := openJournal(disk, t.TempDir(), &o, nil, unnoted)
	if err != nil {
		t.Fatal(err)
	}
	for range 20000 {
		if _, err := j.append(1, [][]byte{{1}}, []bool{false}); !errors.Is(err, queue.ErrFull) {
			t.Fatalf("%v, want %v", err, queue.ErrFull)
		}
	}
	if err := j.close(0); err != nil {
		t.Error(err)
	}
}

// TestDiskFailsWhileClosing takes the database's directory away before a sound store is closed: that ends, and the store can be opened when the directory is back.
func TestDiskFailsWhileClosing(t *testing.T) {
	t.Parallel()
	clock, dir := queuetest.NewClock(), t.TempDir()
	s, err := openWith(t, dir, clock, func(o *Options) { o.patience = time.Millisecond })
	if err != nil {
		t.Fatal(err)
	}
	l := &barrage{acked: map[string]queue.ID{}}
	for i, id := range enqueue(t, s, "a", 10, 900) {
		l.acked[fmt.Sprint("a", i)] = id
	}
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, gone := filepath.Join(dir, "db"), filepath.Join(dir, "gone")
	if err := os.Rename(db, gone); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); !errors.Is(err, queue.ErrFailed) || !strings.Contains(err.Error(), "stays locked") {
		t.Errorf("close: %v", err)
	}
	if _, err := openWith(t, dir, clock, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("opened beside a database that is not closed: %v", err)
	}
	if err := os.RemoveAll(db); err != nil { // made by the open before
		t.Fatal(err)
	}
	if err := os.Rename(gone, db); err != nil {
		t.Fatal(err)
	}
	again, err := openWith(t, dir, clock, func(o *Options) { o.LockWait = time.Minute })
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, again)
	l.verify(t, dir, clock)
}
