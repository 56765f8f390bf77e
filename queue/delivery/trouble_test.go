package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// newFaultyRig is a rig whose store can be made to fail, and the engine's logs.
func newFaultyRig(t *testing.T) (*rig, *queuetest.Faulty, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	var faulty *queuetest.Faulty
	r := newRig(t, func(o *Options) {
		faulty = queuetest.NewFaulty(o.Store)
		o.Store, o.Logger = faulty, zap.New(core)
	})
	return r, faulty, logs
}

func TestClaimsThatFailAreTriedAgainWithoutNoise(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := always(200)
		r, faulty, logs := newFaultyRig(t)
		r.start(a.destination("app", Policy{}), a.destination("other", Policy{}))
		defer r.close()
		synctest.Wait()
		faulty.Inject(queuetest.OpClaim, queuetest.Fault{Err: queue.ErrFailed})
		before := faulty.Calls(queuetest.OpClaim)
		id := r.enqueue("app", "other")
		sleep(10 * time.Minute)
		if n := faulty.Calls(queuetest.OpClaim) - before; n < 20 || n > 200 {
			t.Errorf("%d claims in 10 minutes of a failing store", n)
		}
		if n := logs.Len(); n < 1 || n > 11 {
			t.Errorf("%d lines logged", n)
		}
		faulty.Heal()
		sleep(maxBackoff)
		r.wantState(id, "app", queue.StateDelivered)
		r.wantState(id, "other", queue.StateDelivered)
		if f := r.observer.failing; len(f) != 2 || !errors.Is(f[0], queue.ErrFailed) || f[1] != nil {
			t.Errorf("observer was told %v, want the failure and its end", f)
		}
	})
}

func TestOutcomesAreKeptWhileTheStoreFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := always(200)
		r, faulty, _ := newFaultyRig(t)
		r.start(a.destination("app", Policy{Concurrency: 2, Timeout: time.Hour}))
		defer r.close()
		faulty.Inject(queuetest.OpSettle, queuetest.Fault{Err: queue.ErrFailed})
		var ids []queue.ID
		for range 1000 {
			ids = append(ids, r.enqueue("app"))
		}
		sleep(time.Minute)
		if n := a.count(); n < minUnsettled || n > minUnsettled+2 {
			t.Errorf("%d attempts while no outcome could be stored, want them to stop at %d", n, minUnsettled)
		}
		faulty.Heal()
		sleep(maxBackoff)
		for _, id := range ids {
			r.wantState(id, "app", queue.StateDelivered)
		}
		if n := a.count(); n != 1000 {
			t.Errorf("%d attempts for 1000 deliveries, want no second one", n)
		}
	})
}

func TestOutcomesThatWaitGoInOneCommit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := always(200)
		r, faulty, _ := newFaultyRig(t)
		r.start(a.destination("app", Policy{Concurrency: 50}))
		defer r.close()
		gate := make(chan struct{})
		faulty.Inject(queuetest.OpSettle, queuetest.Fault{Gate: gate, Times: 1})
		for range 51 {
			r.enqueue("app")
		}
		synctest.Wait()
		before := faulty.Calls(queuetest.OpSettle)
		close(gate)
		synctest.Wait()
		if s := r.status("app"); before != 1 || faulty.Calls(queuetest.OpSettle) > 3 || s.Delivered != 51 {
			t.Errorf("%d commits, %d delivered; want a lone outcome at once and what waits behind it together", faulty.Calls(queuetest.OpSettle), s.Delivered)
		}
	})
}

func TestLostLeaseChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := taking(time.Second, 200)
		r := newRig(t)
		r.start(a.destination("app", Policy{}))
		defer r.close()
		id := r.enqueue("app")
		synctest.Wait()
		if err := r.store.Cancel(context.Background(), id, "app"); err != nil {
			t.Fatal(err)
		}
		sleep(time.Minute)
		r.wantState(id, "app", queue.StateCancelled)
		if len(r.observer.settled) != 0 || r.status("app").InFlight != 0 {
			t.Errorf("observer was told %+v", r.observer.settled)
		}
		next := r.enqueue("app")
		sleep(time.Minute)
		r.wantState(next, "app", queue.StateDelivered)
	})
}

func TestCloseWithAStoreThatIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := taking(time.Second, 200)
		r := newRig(t)
		r.start(a.destination("app", Policy{}))
		r.enqueue("app")
		synctest.Wait()
		if err := r.store.Close(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := r.engine.Close(context.Background()); !errors.Is(err, errUnsettled) {
			t.Errorf("close: %v", err)
		}
		if took := time.Since(began); took < time.Second || took > time.Second+minBackoff {
			t.Errorf("close took %s, want it not to try for long", took)
		}
	})
}

func TestStartFailsWithItsStoreAndMayBeRepeated(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, faulty, _ := newFaultyRig(t)
		faulty.Inject(queuetest.OpMeta, queuetest.Fault{Err: queue.ErrFailed})
		if err := r.engine.Start(); !errors.Is(err, queue.ErrFailed) {
			t.Errorf("start: %v", err)
		}
		faulty.Heal()
		a := always(200)
		r.start(a.destination("app", Policy{}))
		defer r.close()
		r.wantState(r.enqueue("app"), "app", queue.StateDelivered)
	})
}

func TestJanitorMaintains(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := always(200)
		r := newRig(t, func(o *Options) {
			o.Retention = func() queue.Retention { return queue.Retention{Delivered: time.Hour} }
		})
		r.start(a.destination("app", Policy{}))
		defer r.close()
		id := r.enqueue("app")
		sleep(59 * time.Minute)
		r.wantState(id, "app", queue.StateDelivered)
		sleep(10 * time.Minute)
		if _, err := r.memory.Event(context.Background(), id); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("event that is older than the retention: %v", err)
		}
	})
}

// TestStress starts, stops, reloads, pauses and asks from many goroutines at once; the race detector and the bubble's check for goroutines
// that are left over do the rest.
func TestStress(t *testing.T) {
	for round := range 20 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ctx, a := context.Background(), taking(time.Millisecond, 200)
				store := memstore.New(memstore.Options{})
				e := NewEngine(Options{Store: store})
				r := &rig{t: t, store: store, memory: store, engine: e}
				var everybody sync.WaitGroup
				for n := range 4 {
					everybody.Go(func() {
						for i := range 20 {
							g := e.Attach(table(a.destination("app", Policy{Concurrency: 1 + n}), a.destination(fmt.Sprint("app", i), Policy{})))
							r.enqueue("app", fmt.Sprint("app", i))
							<-time.After(time.Duration(n) * time.Millisecond)
							g.Detach()
						}
					})
					everybody.Go(func() {
						for range 10 {
							if err := e.Start(); err != nil && !errors.Is(err, ErrEngineClosed) {
								t.Error(err)
							}
							<-time.After(time.Duration(n) * time.Millisecond)
						}
					})
					everybody.Go(func() {
						for range 20 {
							if err := e.Pause(ctx, "app"); err != nil && !errors.Is(err, ErrUnknownDestination) {
								t.Error(err)
							}
							if _, err := e.Status(ctx); err != nil {
								t.Error(err)
							}
							if err := e.Resume(ctx, "app"); err != nil && !errors.Is(err, ErrUnknownDestination) {
								t.Error(err)
							}
							_, err := e.Replay(ctx, ReplayRequest{Rate: 1000})
							if err != nil && !errors.Is(err, ErrEngineClosed) && !errors.Is(err, ErrTooManyReplays) {
								t.Error(err)
							}
							<-time.After(time.Millisecond)
						}
					})
				}
				everybody.Go(func() {
					<-time.After(time.Duration(round) * time.Millisecond)
					for range 3 {
						everybody.Go(func() {
							if err := e.Close(ctx); err != nil {
								t.Error(err)
							}
						})
					}
				})
				everybody.Wait()
			})
		})
	}
}

// lateStore answers claims late, with what was true earlier.
type lateStore struct {
	*memstore.Store
	late time.Duration
}

func (s *lateStore) Claim(ctx context.Context, r queue.ClaimRequest) ([]queue.Claimed, time.Time, error) {
	claimed, next, err := s.Store.Claim(ctx, r)
	<-time.After(s.late)
	return claimed, next, err
}

// TestNewsDuringAClaimIsNotMissed lets deliveries become due after a claim has looked and before it has answered.
func TestNewsDuringAClaimIsNotMissed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := taking(time.Second, 500)
		r := newRig(t, func(o *Options) { o.Store = &lateStore{o.Store.(*memstore.Store), 5 * time.Second} })
		r.start(a.destination("app", Policy{
			Timeout: time.Hour, Retry: RetryPolicy{Backoff: Schedule{Delays: []time.Duration{2 * time.Second}}},
		}))
		defer r.close()
		synctest.Wait()
		r.enqueue("app") // while the first look is under way, which finds nothing
		sleep(10*time.Second + 500*time.Millisecond)
		r.engine.Wake("app") // the attempt began at 10 s and fails at 11 s, while this look, from 10.5 s to 15.5 s, found it leased
		sleep(time.Minute)
		if got := a.since(r.began); len(got) != 2 || got[0] != 10*time.Second || got[1] > 21*time.Second {
			t.Errorf("attempts at %v, want the second at 20.5 s", got)
		}
	})
}
