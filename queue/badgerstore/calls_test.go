package badgerstore

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// slowReader takes what it is given once it is told to.
type slowReader struct {
	writes       int
	stuck, goOn  chan struct{}
	stuckAtWrite int
}

func (r *slowReader) Write(p []byte) (int, error) {
	if r.writes++; r.writes == r.stuckAtWrite {
		close(r.stuck)
		<-r.goOn
	}
	return len(p), nil
}

// A store that has failed is closed under whoever takes a backup slowly, and the backup ends.
func TestCloseWhileABackupIsTaken(t *testing.T) {
	s := openSmall(t, t.TempDir(), queuetest.NewClock())
	enqueue(t, s, "a", 4000, 1500)
	r := &slowReader{stuck: make(chan struct{}), goOn: make(chan struct{}), stuckAtWrite: 2}
	ended := make(chan error, 1)
	go func() { _, err := s.Backup(t.Context(), r); ended <- err }()
	<-r.stuck
	s.fail(errors.New("sync journal: input/output error"))
	if err := s.Close(); !errors.Is(err, queue.ErrFailed) {
		t.Errorf("closing: %v", err)
	}
	close(r.goOn)
	if err := <-ended; !errors.Is(err, queue.ErrClosed) {
		t.Errorf("the backup ended with %v, want that the store is closed", err)
	}
}

// Calls that are under way when a store is closed, failed or not, come back.
func TestCloseUnderCalls(t *testing.T) {
	for _, failed := range []bool{false, true} {
		t.Run(fmt.Sprintf("failed=%t", failed), func(t *testing.T) {
			for range 10 {
				closeUnderCalls(t, failed)
			}
		})
	}
}

func closeUnderCalls(t *testing.T, failed bool) {
	o := small()
	o.NoSync = true
	s, err := Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	enqueue(t, s, "a", 50, 300)
	page, err := s.Events(t.Context(), queue.Filter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	id := page.Events[0].Event.ID
	var wg, begun sync.WaitGroup
	keepOn := func(call func(i int) error) {
		begun.Add(1)
		wg.Go(func() {
			for i := 0; ; i++ {
				err := call(i)
				if i == 2 {
					begun.Done()
				}
				if errors.Is(err, queue.ErrClosed) || errors.Is(err, queue.ErrFailed) {
					if i < 2 {
						begun.Done()
					}
					return
				}
			}
		})
	}
	ctx := t.Context()
	keepOn(func(i int) error { return s.PutMeta(ctx, "k", []byte{byte(i)}) })
	keepOn(func(int) error { _, err := s.Event(ctx, id); return err })
	keepOn(func(int) error { _, err := s.Events(ctx, queue.Filter{Limit: 20}); return err })
	keepOn(func(int) error { return s.Replay(ctx, id, app, "") })
	keepOn(func(int) error { _, err := s.Stats(ctx); return err })
	keepOn(func(int) error { return s.ListMeta(ctx, "", "", func(string, []byte) bool { return true }) })
	keepOn(func(int) error {
		_, err := s.Maintain(ctx, time.Now(), queue.Retention{Delivered: time.Hour, Dead: time.Hour})
		return err
	})
	keepOn(func(i int) error {
		_, err := s.Enqueue(ctx, []queue.NewEvent{newEvent(fmt.Sprint("b", i%100), 300, time.Now(), app)})
		return err
	})
	keepOn(func(int) error {
		claimed, _, err := s.Claim(ctx, queue.ClaimRequest{Destination: app, Limit: 8, Now: time.Now(), Lease: time.Minute})
		for _, c := range claimed {
			_, err = s.Settle(ctx, []queue.Settlement{{Lease: c.Lease, State: queue.StatePending, Due: time.Now()}})
		}
		return err
	})
	begun.Wait()
	if failed {
		s.fail(errors.New("sync journal: input/output error"))
	}
	if err := s.Close(); err != nil && !failed {
		t.Error(err)
	}
	wg.Wait()
}
