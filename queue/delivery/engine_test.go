package delivery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

func TestFanOutSettlesEachDestinationByItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		good, gone := always(204), always(410)
		r := newRig(t)
		r.start(good.destination("good", Policy{}), gone.destination("gone", Policy{}))
		defer r.close()
		id := r.enqueue("good", "gone")
		r.wantState(id, "good", queue.StateDelivered)
		r.wantState(id, "gone", queue.StateDead)
		if good.count() != 1 || gone.count() != 1 {
			t.Errorf("%d and %d attempts, want one each", good.count(), gone.count())
		}
		if n := len(r.observer.settled); n != 2 {
			t.Errorf("observer was told of %d settled deliveries, want 2", n)
		}
		for _, s := range r.observer.settled {
			if s.Event.ID != id || s.Attempts != 1 || (s.Destination == "gone") != (s.State == queue.StateDead) {
				t.Errorf("observer was told %+v", s)
			}
		}
	})
}

func TestAttemptsTellTheirTrigger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := always(500)
		r := newRig(t)
		r.start(a.destination("app", Policy{Retry: RetryPolicy{Backoff: Schedule{Delays: []time.Duration{time.Second}}}}))
		defer r.close()
		id := r.enqueue("app")
		sleep(time.Minute)
		a.set(func(context.Context, *Try) Result { return Result{Status: 200} })
		if err := r.store.Replay(context.Background(), id, "app", ""); err != nil {
			t.Fatal(err)
		}
		r.wantState(id, "app", queue.StateDelivered)
		want := []queue.Trigger{queue.TriggerFirst, queue.TriggerRetry, queue.TriggerReplay}
		for i, try := range a.tries {
			if try.Trigger != want[i] || try.Attempt != i+1 || r.attempts(id, "app")[i].Trigger != want[i] {
				t.Errorf("try %d: number %d, trigger %s, want %s", i+1, try.Attempt, try.Trigger, want[i])
			}
		}
	})
}

func TestTimeoutEndsAnAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := hanging()
		r := newRig(t)
		r.start(a.destination("app", Policy{Timeout: 3 * time.Second, Retry: RetryPolicy{Backoff: None{}}}))
		defer r.close()
		id := r.enqueue("app")
		sleep(3*time.Second - 1)
		r.wantState(id, "app", queue.StateDelivering)
		sleep(1)
		r.wantState(id, "app", queue.StateDead)
		if a := r.attempts(id, "app")[0]; a.Class != ClassTimeout || a.Duration != 3*time.Second || a.Status != 0 {
			t.Errorf("record of the attempt: %+v", a)
		}
	})
}

func TestPanicOfTheForwarderIsAFailedAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := answering(func(context.Context, *Try) Result { panic("secret payload") })
		r := newRig(t)
		r.start(a.destination("app", Policy{Retry: RetryPolicy{Backoff: None{}}}))
		defer r.close()
		id := r.enqueue("app")
		r.wantState(id, "app", queue.StateDead)
		if a := r.attempts(id, "app")[0]; a.Class != ClassInternal || strings.Contains(a.Error, "secret") {
			t.Errorf("record of the attempt: %+v", a)
		}
	})
}

func TestPauseHoldsAcrossRestarts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, a := context.Background(), always(200)
		r := newRig(t)
		d := a.destination("app", Policy{})
		r.start(d)
		if err := r.engine.Pause(ctx, "nobody"); !errors.Is(err, ErrUnknownDestination) {
			t.Errorf("pause of an unknown destination: %v", err)
		}
		for range 2 {
			if err := r.engine.Pause(ctx, "app"); err != nil {
				t.Fatal(err)
			}
		}
		id := r.enqueue("app")
		sleep(time.Hour)
		r.wantState(id, "app", queue.StatePending)
		r.restart(d)
		defer r.close()
		sleep(time.Hour)
		r.wantState(id, "app", queue.StatePending)
		if s := r.status("app"); !s.Paused || !s.Held || !r.engine.Held("app") || s.Pending != 1 {
			t.Errorf("status of the paused destination: %+v", s)
		}
		if err := r.engine.Resume(ctx, "app"); err != nil {
			t.Fatal(err)
		}
		r.wantState(id, "app", queue.StateDelivered)
		if attempts := r.attempts(id, "app"); len(attempts) != 1 || r.engine.Held("app") {
			t.Errorf("%d attempts, held %t; want 1 and not held", len(attempts), r.engine.Held("app"))
		}
		if got, want := r.observer.noted(), []string{"app paused=true", "app paused=false"}; !slices.Equal(got, want) {
			t.Errorf("observer was told %v, want %v", got, want)
		}
	})
}

func TestReloadKeepsWhatBelongsToTheName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		older, newer := taking(10*time.Second, 200), always(200)
		r := newRig(t)
		first := r.start(older.destination("app", Policy{Rate: Rate{PerSecond: 0.1, Burst: 1}}))
		defer r.close()
		id := r.enqueue("app")
		synctest.Wait()
		second := r.engine.Attach(table(newer.destination("app", Policy{Rate: Rate{PerSecond: 0.1, Burst: 1}})))
		first.Detach()
		first.Detach()
		waiting, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := first.Wait(waiting); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the detached table has an attempt under way, and waiting for it gave %v", err)
		}
		r.enqueue("app")
		if err := first.Wait(context.Background()); err != nil {
			t.Error(err)
		}
		r.wantState(id, "app", queue.StateDelivered)
		sleep(time.Minute)
		if got := newer.since(r.began); !slices.Equal(got, []time.Duration{10 * time.Second}) || older.count() != 1 {
			t.Errorf("the new table made attempts at %v, want one when the bucket of the old one allows it", got)
		}
		second.Detach()
	})
}

func TestDetachFallsBackToTheOlderTable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		older, newer := always(200), always(200)
		r := newRig(t)
		first := r.start(older.destination("app", Policy{}))
		defer r.close()
		second := r.engine.Attach(table(newer.destination("app", Policy{})))
		r.enqueue("app")
		synctest.Wait()
		second.Detach()
		r.enqueue("app")
		synctest.Wait()
		if older.count() != 1 || newer.count() != 1 {
			t.Errorf("%d attempts under the older table and %d under the newer, want 1 and 1", older.count(), newer.count())
		}
		first.Detach()
		id := r.enqueue("app")
		sleep(time.Hour)
		r.wantState(id, "app", queue.StatePending)
		if s := r.status("app"); s.Configured || !s.Held {
			t.Errorf("without a table: %+v, want it held", s)
		}
		r.engine.Attach(table(newer.destination("app", Policy{})))
		r.wantState(id, "app", queue.StateDelivered)
	})
}

func TestDestinationThatIsNotConfiguredIsHeldAndVisible(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.start()
		defer r.close()
		id := r.enqueue("lost")
		sleep(time.Hour)
		r.wantState(id, "lost", queue.StatePending)
		if s := r.status("lost"); !s.Held || s.Configured || s.Pending != 1 {
			t.Errorf("status: %+v", s)
		}
	})
}

func TestCloseGivesBackWhatItCuts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := hanging()
		r := newRig(t)
		r.start(a.destination("app", Policy{Timeout: time.Hour}))
		id := r.enqueue("app")
		sleep(time.Minute)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		began := time.Now()
		if err := r.engine.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close: %v", err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("close took %s", took)
		}
		r.wantState(id, "app", queue.StatePending)
		if len(r.attempts(id, "app")) != 0 {
			t.Error("an attempt was spent")
		}
		if err := r.engine.Close(context.Background()); err != nil {
			t.Error("second close:", err)
		}
		if err := r.engine.Start(); !errors.Is(err, ErrEngineClosed) {
			t.Errorf("start after close: %v", err)
		}
	})
}

func TestCloseWaitsForAttemptsThatEndInTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := taking(3*time.Second, 200)
		r := newRig(t)
		r.start(a.destination("app", Policy{}))
		id := r.enqueue("app")
		next := r.enqueue("app")
		synctest.Wait()
		r.close()
		r.wantState(id, "app", queue.StateDelivered)
		r.wantState(next, "app", queue.StateDelivered)
	})
}
