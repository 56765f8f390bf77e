package badgerstore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// fakeDisk is a disk of which a test says how much is free, beside what the ballast takes.
type fakeDisk struct {
	free    atomic.Int64
	ballast int64
	held    atomic.Pointer[chan struct{}] // whoever asks waits until it is closed
}

func (d *fakeDisk) space(dir string) (free, total int64, err error) {
	if held := d.held.Load(); held != nil {
		<-*held
	}
	free = d.free.Load()
	if _, err := os.Stat(filepath.Join(dir, ballastName)); err != nil {
		free += d.ballast
	}
	return free, 1 << 40, nil
}

// fill leaves so much free, and lets the store see that.
func (d *fakeDisk) fill(t testing.TB, s *Store, free int64) {
	t.Helper()
	d.free.Store(free)
	if err := s.disk.update(); err != nil {
		t.Fatal(err)
	}
}

func newFakeDisk() *fakeDisk {
	d := &fakeDisk{}
	d.free.Store(1 << 40)
	return d
}

func openOn(t testing.TB, d *fakeDisk, dir string, clock *queuetest.Clock) *Store {
	t.Helper()
	s, err := openWith(t, dir, clock, func(o *Options) { o.diskSpace, o.patience, o.LockWait = d.space, time.Millisecond, time.Minute })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// leaseOne leases the next delivery for app.
func leaseOne(t testing.TB, s *Store) queue.Claimed {
	t.Helper()
	claimed, _, err := s.Claim(t.Context(), queue.ClaimRequest{Destination: app, Limit: 1, Now: s.clock(), Lease: time.Minute})
	if err != nil || len(claimed) != 1 {
		t.Fatal(len(claimed), err)
	}
	return claimed[0]
}

func deliver(t testing.TB, s *Store, c *queue.Claimed) {
	t.Helper()
	lost, err := s.Settle(t.Context(), []queue.Settlement{{Lease: c.Lease, State: queue.StateDelivered}})
	if err != nil || lost[0] != nil {
		t.Fatal(lost, err)
	}
}

// TestFullDiskRefusesOperators: what cannot be written now is refused at once and not done later. Outcomes of attempts wait.
func TestFullDiskRefusesOperators(t *testing.T) {
	t.Parallel()
	d, clock := newFakeDisk(), queuetest.NewClock()
	s := openOn(t, d, t.TempDir(), clock)
	defer mustClose(t, s)
	ids := enqueue(t, s, "a", 3, 100)
	c := leaseOne(t, s)
	if err := s.PutMeta(t.Context(), "k", []byte("before")); err != nil {
		t.Fatal(err)
	}
	d.fill(t, s, s.disk.reserve.Load()/2-1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // instead of a test that hangs
	defer cancel()
	deliver(t, s, &c)
	errs := map[string]error{
		"put metadata": s.PutMeta(ctx, "k", []byte("later")),
		"replay":       s.Replay(ctx, ids[0], app, ""),
		"cancel":       s.Cancel(ctx, ids[1], app),
	}
	_, errs["backup"] = s.Backup(ctx, &bytes.Buffer{})
	for what, err := range errs {
		if !errors.Is(err, queue.ErrFull) || !strings.Contains(err.Error(), "nothing is written") {
			t.Errorf("%s: %v, want %v", what, err, queue.ErrFull)
		}
	}
	if _, err := s.Events(ctx, queue.Filter{}); err != nil {
		t.Errorf("looking: %v", err)
	}
	if n, err := s.Maintain(ctx, clock.Now(), queue.Retention{Delivered: 1}); n != 0 || err != nil {
		t.Errorf("maintain: %d, %v", n, err)
	}
	d.fill(t, s, 1<<40)
	if err := s.flush(ctx); err != nil {
		t.Fatal(err)
	}
	stats, err := s.Stats(ctx)
	if got := stats.Destinations[app]; err != nil || got.Delivered != 1 || got.Pending != 2 || got.Cancelled != 0 {
		t.Errorf("%+v, %v, want the outcome that waited and nothing else", got, err)
	}
	if value, err := s.Meta(ctx, "k"); err != nil || string(value) != "before" {
		t.Errorf("metadata %q, %v", value, err)
	}
}

// TestFullDiskTurnsAway fills the disk after somebody has begun to wait: only settlements wait on.
func TestFullDiskTurnsAway(t *testing.T) {
	t.Parallel()
	d := newFakeDisk()
	s := openOn(t, d, t.TempDir(), queuetest.NewClock())
	defer mustClose(t, s)
	d.free.Store(0) // nobody has looked yet; the applier does
	outcome := &op{done: make(chan error, 1), patient: true}
	s.applier.push(outcome)
	for range 3 { // the applier waits already when the later ones come
		if err := <-s.applier.flush(); !errors.Is(err, queue.ErrFull) {
			t.Errorf("%v, want %v", err, queue.ErrFull)
		}
	}
	select {
	case err := <-outcome.done:
		t.Errorf("a settlement was turned away: %v", err)
	default:
	}
	d.fill(t, s, 1<<40)
	if err := <-outcome.done; err != nil {
		t.Error(err)
	}
	if err := s.flush(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCloseOnFullDisk writes nothing that does not fit. Attempts whose outcomes are left out are made again, and no event is lost.
func TestCloseOnFullDisk(t *testing.T) {
	t.Parallel()
	d, clock, dir := newFakeDisk(), queuetest.NewClock(), t.TempDir()
	s := openOn(t, d, dir, clock)
	ids := enqueue(t, s, "a", 20, 900)
	c := leaseOne(t, s)
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.fill(t, s, 0)
	deliver(t, s, &c)
	commits := s.applier.commits.Load()
	if err := s.Close(); !errors.Is(err, queue.ErrFull) || !errors.Is(err, queue.ErrFailed) {
		t.Errorf("close: %v", err)
	}
	if n := s.applier.commits.Load() - commits; n != 0 {
		t.Errorf("%d transactions on a full disk", n)
	}
	d.free.Store(1 << 40)
	s = openOn(t, d, dir, clock) // waits for the database, which is closed when there is room
	defer mustClose(t, s)
	for _, id := range ids {
		if _, err := s.Event(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if n := settleAll(t, s, queue.StateDelivered); n != len(ids) {
		t.Errorf("%d deliveries are pending, want %d", n, len(ids))
	}
}

// TestCloseTakesBallast closes a store on a full disk in the place of its ballast.
func TestCloseTakesBallast(t *testing.T) {
	t.Parallel()
	d, clock, dir := newFakeDisk(), queuetest.NewClock(), t.TempDir()
	d.ballast = 32 << 20
	s, err := openWith(t, dir, clock, func(o *Options) { o.diskSpace, o.Ballast = d.space, d.ballast })
	if err != nil {
		t.Fatal(err)
	}
	enqueue(t, s, "a", 20, 900)
	c := leaseOne(t, s)
	d.fill(t, s, 0)
	deliver(t, s, &c)
	mustClose(t, s)
	if _, err := os.Stat(filepath.Join(dir, ballastName)); err == nil {
		t.Error("the ballast is still there")
	}
	s = openOn(t, d, dir, clock)
	defer mustClose(t, s)
	if n := settleAll(t, s, queue.StateDelivered); n != 19 {
		t.Errorf("%d deliveries are pending, want 19", n)
	}
}

// withTail is what a process leaves behind that is killed with events in its journal which the database does not have.
func withTail(t *testing.T, clock *queuetest.Clock) (dir string, ids []queue.ID) {
	t.Helper()
	d := newFakeDisk()
	s := openOn(t, d, t.TempDir(), clock)
	held := make(chan struct{})
	d.held.Store(&held) // the applier asks before it writes
	ids = enqueue(t, s, "a", 100, 100<<10)
	dir = image(t, s.dir)
	d.held.Store(nil)
	close(held)
	mustClose(t, s)
	return dir, ids
}

// TestTailNeedsRoom starts on a disk that has room for the database, and not for what is in the journal.
func TestTailNeedsRoom(t *testing.T) {
	t.Parallel()
	clock := queuetest.NewClock()
	dir, ids := withTail(t, clock)
	d := newFakeDisk()
	o := small()
	o.diskSpace, o.Clock, o.patience = d.space, clock.Now, time.Minute
	if err := o.setDefaults(); err != nil {
		t.Fatal(err)
	}
	least := newDiskGuard(dir, &o).toOpen()
	d.free.Store(least + 1<<20)
	s, err := Open(dir, o)
	if err == nil {
		mustClose(t, s)
	}
	if !errors.Is(err, queue.ErrFull) || !strings.Contains(err.Error(), " MiB are missing") {
		t.Fatalf("%v, want %v", err, queue.ErrFull)
	}
	// The ballast is given up for it, if there is one.
	if err := os.WriteFile(filepath.Join(dir, ballastName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.ballast = 16 << 20
	s = openOn(t, d, dir, clock)
	defer mustClose(t, s)
	for _, id := range ids {
		if _, err := s.Event(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	d.fill(t, s, 1<<40)
}
