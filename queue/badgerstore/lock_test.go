package badgerstore

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
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
	for dir, crashes := range map[string]int{m.dir: 0, crashed: 1} {
		if _, err := CheckDir(t.Context(), dir, m.o); err != nil {
			t.Fatal(err)
		}
		lock, err := acquire(t.Context(), dir, -1, m.o.Logger)
		if err != nil {
			t.Fatal(err)
		}
		if lock.crashes != crashes {
			t.Errorf("%d crashes after a check, want %d", lock.crashes, crashes)
		}
		if err := lock.leave(); err != nil {
			t.Error(err)
		}
	}
}

// TestCrashesAreCounted opens a store again and again that is not closed as it should be.
func TestCrashesAreCounted(t *testing.T) {
	t.Parallel()
	m := newMixed(t, nil)
	m.close()
	m.o.still = true // no file goes while it is copied
	m.open()
	crash := func(want int) {
		t.Helper()
		if m.s.lock.crashes != want {
			t.Errorf("%d crashes, want %d", m.s.lock.crashes, want)
		}
		if err := m.s.awaitTables(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.dir = image(t, m.dir)
		m.open()
	}
	crash(0)
	crash(1)
	crash(2)
	maintain(t, m.s, queue.Retention{}) // reads all tables
	crash(0)
	crash(1)
	m.close()
	m.open()
	if m.s.lock.crashes != 0 {
		t.Errorf("%d crashes of a store that was closed", m.s.lock.crashes)
	}
	m.close()
	for content, want := range map[string]int{"": 0, "123\n": 1, "123 0\n": 1, "123 4\n": 5, "123 -4": maxCrashes + 1, "123 99999999999999999999": maxCrashes + 1, "x y": maxCrashes + 1} {
		if got := crashesIn([]byte(content)); got != want {
			t.Errorf("%q: %d crashes, want %d", content, got, want)
		}
	}
}
