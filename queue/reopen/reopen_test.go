package reopen_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
	"github.com/sluice-webhooks/sluice/queue/reopen"
)

func TestConformance(t *testing.T) {
	queuetest.Run(t, func(t testing.TB, clock *queuetest.Clock) queue.Store {
		s, err := reopen.New(reopen.Options{Open: func() (queue.Store, error) { return memstore.New(memstore.Options{Clock: clock.Now}), nil }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// brittle is a store that fails on demand, as a disk does.
type brittle struct {
	queue.Store
	failed atomic.Bool
	closed atomic.Int32
}

func (b *brittle) Enqueue(ctx context.Context, events []queue.NewEvent) ([]queue.Receipt, error) {
	if b.failed.Load() {
		return nil, queue.ErrFailed
	}
	return b.Store.Enqueue(ctx, events)
}

func (b *brittle) Close() error {
	b.closed.Add(1)
	return b.Store.Close()
}

func TestReopensAfterFailure(t *testing.T) {
	var (
		mu      sync.Mutex
		opened  []*brittle
		refuse  atomic.Int32 // how often opening fails
		elapsed = make(chan time.Time)
	)
	s, err := reopen.New(reopen.Options{
		After: func(time.Duration) <-chan time.Time { return elapsed },
		Open: func() (queue.Store, error) {
			if refuse.Load() > 0 {
				refuse.Add(-1)
				return nil, errors.New("disk is still broken")
			}
			mu.Lock()
			defer mu.Unlock()
			b := &brittle{Store: memstore.New(memstore.Options{})}
			opened = append(opened, b)
			return b, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	enqueue := func() error {
		_, err := s.Enqueue(t.Context(), []queue.NewEvent{{Event: queue.Event{Source: "s", EventID: "e"}}})
		return err
	}
	if err := enqueue(); err != nil {
		t.Fatal(err)
	}
	refuse.Store(2)
	opened[0].failed.Store(true)
	if err := enqueue(); !errors.Is(err, queue.ErrFailed) {
		t.Fatalf("got %v", err)
	}
	elapsed <- time.Time{} // received only after an attempt to open has failed
	if err := enqueue(); !errors.Is(err, queue.ErrFailed) || !strings.Contains(err.Error(), "disk is still broken") {
		t.Fatalf("between two stores: %v", err)
	}
	elapsed <- time.Time{}
	for name := range s.Wake() { // the new store announces itself, because everything leased is due again
		if name == "" && s.Unwrap() != nil {
			break
		}
	}
	if err := enqueue(); err != nil {
		t.Fatalf("after reopening: %v", err)
	}
	if got := opened[0].closed.Load(); got != 1 {
		t.Errorf("the store that failed was closed %d times", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := enqueue(); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if got := opened[1].closed.Load(); got != 1 {
		t.Errorf("the open store was closed %d times", got)
	}
}
