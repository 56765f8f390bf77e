package badgerstore

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// openWith opens a store with small options that a test changes.
func openWith(t testing.TB, dir string, clock *queuetest.Clock, change func(*Options)) (*Store, error) {
	t.Helper()
	o := small()
	o.Clock = clock.Now
	if change != nil {
		change(&o)
	}
	return Open(dir, o)
}

// TestLockIsWaitedFor opens a store whose owner is on its way out.
func TestLockIsWaitedFor(t *testing.T) {
	t.Parallel()
	clock, dir := queuetest.NewClock(), t.TempDir()
	first := openSmall(t, dir, clock)
	ids := enqueue(t, first, "a", 3, 100)
	opened := make(chan error, 1)
	go func() {
		second, err := openWith(t, dir, clock, func(o *Options) { o.LockWait = time.Minute })
		if err == nil {
			for _, id := range ids {
				if _, err := second.Event(t.Context(), id); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			}
			err = second.Close()
		}
		opened <- err
	}()
	timer := time.NewTimer(3 * lockRetry)
	defer timer.Stop()
	select {
	case err := <-opened:
		t.Fatalf("two owners of one store: %v", err)
	case <-timer.C:
	}
	mustClose(t, first)
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// TestLockConflict tries to open a store whose owner stays.
func TestLockConflict(t *testing.T) {
	t.Parallel()
	clock, dir := queuetest.NewClock(), t.TempDir()
	first := openSmall(t, dir, clock)
	defer mustClose(t, first)
	owner := fmt.Sprintf("in use by process %d", os.Getpid())
	for _, wait := range []time.Duration{-1, 2 * lockRetry} {
		_, err := openWith(t, dir, clock, func(o *Options) { o.LockWait = wait })
		if err == nil || !strings.Contains(err.Error(), owner) || !strings.Contains(err.Error(), dir) {
			t.Errorf("waiting %s: %v, want %q and the directory", wait, err, owner)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := small()
	o.LockWait = time.Hour
	if _, err := OpenContext(ctx, dir, o); err == nil || !strings.Contains(err.Error(), owner) {
		t.Errorf("waiting until the caller gives up: %v", err)
	}
	enqueue(t, first, "still", 1, 100)
}

// TestLockByDefault is about how long an owner on its way out is waited for.
func TestLockByDefault(t *testing.T) {
	t.Parallel()
	var o Options
	if err := o.setDefaults(); err != nil || o.LockWait != time.Minute {
		t.Errorf("%s, %v, want a minute", o.LockWait, err)
	}
}

// TestSecondCloseIsHarmless closes a store that another one has taken over since.
func TestSecondCloseIsHarmless(t *testing.T) {
	t.Parallel()
	clock, dir := queuetest.NewClock(), t.TempDir()
	first := openSmall(t, dir, clock)
	mustClose(t, first)
	second := openSmall(t, dir, clock)
	mustClose(t, first)
	if _, err := openWith(t, dir, clock, nil); err == nil {
		t.Error("closing the first owner again has let a third one in")
	}
	mustClose(t, second)
}

// TestLookingLeavesLock looks at stores that nobody has open: whether they were closed as they should be still shows afterwards.
func TestLookingLeavesLock(t *testing.T) {
	t.Parallel()
	m := newMixed(t, nil)
	crashed := image(t, m.dir)
	m.close()
	for dir, closed := range map[string]bool{m.dir: true, crashed: false} {
		if _, err := CheckDir(t.Context(), dir, m.o); err != nil {
			t.Fatal(err)
		}
		lock, err := acquire(t.Context(), dir, -1, m.o.Logger)
		if err != nil {
			t.Fatal(err)
		}
		if lock.closed != closed {
			t.Errorf("%s: closed %v after a check, want %v", dir, lock.closed, closed)
		}
		if err := lock.leave(); err != nil {
			t.Error(err)
		}
	}
}
