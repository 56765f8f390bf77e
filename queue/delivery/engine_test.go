package delivery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
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

func TestConcurrencyIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := taking(time.Second, 200)
		r := newRig(t)
		r.start(a.destination("app", Policy{Concurrency: 7}))
		defer r.close()
		for range 70 {
			r.enqueue("app")
		}
		sleep(9 * time.Second)
		if a.most != 7 || r.status("app").InFlight != 7 {
			t.Errorf("%d attempts at once, %d now, want 7", a.most, r.status("app").InFlight)
		}
		sleep(time.Second)
		if s := r.status("app"); s.Delivered != 70 || s.Pending != 0 {
			t.Errorf("after 10 s: %+v, want all 70 delivered", s)
		}
	})
}

func TestRateIsKeptExactly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := always(200)
		r := newRig(t)
		r.start(a.destination("app", Policy{Rate: Rate{PerSecond: 10, Burst: 3}}))
		defer r.close()
		for range 13 {
			r.enqueue("app")
		}
		sleep(time.Hour)
		var want []time.Duration
		for i := range 13 {
			want = append(want, time.Duration(max(0, i-2))*100*time.Millisecond)
		}
		if got := a.since(r.began); !slices.Equal(got, want) {
			t.Errorf("attempts at\n%v, want\n%v", got, want)
		}
	})
}

func TestHangingDestinationDoesNotHoldUpOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stuck, quick := hanging(), always(200)
		r := newRig(t)
		r.start(stuck.destination("stuck", Policy{Concurrency: 4}), quick.destination("quick", Policy{Concurrency: 4}))
		defer r.close()
		for range 1000 {
			r.enqueue("stuck")
		}
		for range 100 {
			r.enqueue("quick")
		}
		synctest.Wait()
		if s := r.status("quick"); s.Delivered != 100 {
			t.Errorf("the quick destination has %d of 100, and no time has passed that it could wait for", s.Delivered)
		}
		if s := r.status("stuck"); s.Delivering != 4 || stuck.count() != 4 {
			t.Errorf("the stuck destination holds %d leases and got %d attempts, want 4", s.Delivering, stuck.count())
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

func TestOpenBreakerSpendsNoAttempts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := always(503)
		r := newRig(t)
		r.start(a.destination("app", Policy{
			Concurrency: 1, Retry: RetryPolicy{Backoff: Schedule{Delays: []time.Duration{time.Hour, time.Hour, time.Hour}}},
			Breaker: BreakerPolicy{Failures: 5, Open: 30 * time.Second},
		}))
		defer r.close()
		var ids []queue.ID
		for range 20 {
			ids = append(ids, r.enqueue("app"))
		}
		synctest.Wait()
		if a.count() != 5 || !r.engine.Held("app") {
			t.Fatalf("%d attempts before the breaker opened, want 5", a.count())
		}
		sleep(5 * time.Minute)
		if a.count() != 5+10 {
			t.Errorf("%d probes in 5 minutes, want 10", a.count()-5)
		}
		a.set(func(context.Context, *Try) Result { return Result{Status: 200} })
		sleep(3 * time.Hour)
		for _, id := range ids {
			r.wantState(id, "app", queue.StateDelivered)
			if n := len(r.attempts(id, "app")); n > 2 {
				t.Errorf("%d attempts were spent on %s", n, id)
			}
		}
		noted := r.observer.noted()
		if noted[0] != "app closed>open" || noted[1] != "app open>half-open" || noted[len(noted)-1] != "app half-open>closed" {
			t.Errorf("observer was told %v", noted)
		}
	})
}

func TestOnlyOneProbe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := always(503)
		r := newRig(t)
		r.start(a.destination("app", Policy{Breaker: BreakerPolicy{Failures: 2, Open: 10 * time.Second}, Retry: RetryPolicy{Backoff: None{}}}))
		defer r.close()
		for range 2 {
			r.enqueue("app")
		}
		synctest.Wait()
		a.set(taking(25*time.Second, 200).answer)
		for range 50 {
			r.enqueue("app")
		}
		sleep(20 * time.Second)
		if s := r.status("app"); s.InFlight != 1 || s.Breaker != BreakerHalfOpen {
			t.Errorf("while the probe is out: %+v, want one attempt", s)
		}
	})
}

func TestSlowStartAfterAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := always(503)
		r := newRig(t)
		r.start(a.destination("app", Policy{Concurrency: 16, Breaker: BreakerPolicy{Failures: 1, Open: 10 * time.Second}, Retry: RetryPolicy{Backoff: None{}}}))
		defer r.close()
		r.enqueue("app")
		synctest.Wait()
		a.set(taking(time.Second, 200).answer)
		a.most = 0
		for range 200 {
			r.enqueue("app")
		}
		sleep(10*time.Second + 500*time.Millisecond)
		var limits []int
		for range 8 {
			limits = append(limits, r.status("app").InFlight)
			sleep(time.Second)
		}
		if want := []int{1, 1, 2, 4, 8, 16, 16, 16}; !slices.Equal(limits, want) {
			t.Errorf("attempts at once, second by second: %v, want %v", limits, want)
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

func TestOrderWithinAKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var failing atomic.Bool
		failing.Store(true)
		a := answering(func(_ context.Context, try *Try) Result {
			if failing.Load() && try.Delivery.OrderKey == "a" {
				return Result{Status: 500}
			}
			return Result{Status: 200}
		})
		r := newRig(t)
		r.start(a.destination("app", Policy{
			Retry: RetryPolicy{Backoff: Schedule{Delays: []time.Duration{time.Second, time.Second, time.Second}}}, Breaker: BreakerPolicy{Off: true},
		}))
		defer r.close()
		head := r.enqueueKeyed("a", "app")
		behind := r.enqueueKeyed("a", "app")
		other := r.enqueueKeyed("b", "app")
		synctest.Wait()
		r.wantState(other, "app", queue.StateDelivered)
		sleep(time.Second)
		if slices.Contains(a.events(), behind) {
			t.Error("the later delivery of the key overtook the first")
		}
		failing.Store(false)
		sleep(time.Second)
		r.wantState(head, "app", queue.StateDelivered)
		r.wantState(behind, "app", queue.StateDelivered)
		if got, want := a.events(), []queue.ID{head, other, head, head, behind}; !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) || got[len(got)-1] != behind {
			t.Errorf("attempts %v, want %v", got, want)
		}
	})
}

func TestParkedHeadStepsAside(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var head queue.ID
		a := answering(func(_ context.Context, try *Try) Result {
			if try.Event.ID == head {
				return Result{Status: 500}
			}
			return Result{Status: 200}
		})
		r := newRig(t)
		r.start(a.destination("app", Policy{
			Retry: RetryPolicy{Backoff: Schedule{Delays: []time.Duration{time.Minute, time.Minute, time.Minute}}},
			Order: OrderPolicy{Park: 2}, Breaker: BreakerPolicy{Off: true},
		}))
		defer r.close()
		if err := r.engine.Pause(context.Background(), "app"); err != nil {
			t.Fatal(err)
		}
		head = r.enqueueKeyed("a", "app")
		behind := r.enqueueKeyed("a", "app")
		if err := r.engine.Resume(context.Background(), "app"); err != nil {
			t.Fatal(err)
		}
		sleep(time.Minute - 1)
		r.wantState(behind, "app", queue.StatePending)
		sleep(1)
		r.wantState(behind, "app", queue.StateDelivered)
		r.wantState(head, "app", queue.StatePending)
		sleep(time.Hour)
		r.wantState(head, "app", queue.StateDead)
		if n := len(r.attempts(head, "app")); n != 4 {
			t.Errorf("%d attempts of the head, want all 4 of its schedule", n)
		}
	})
}

func TestReplayedDeliveryHasAFreshSeries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := always(500)
		r := newRig(t)
		r.start(a.destination("app", Policy{Retry: RetryPolicy{Backoff: Schedule{Delays: []time.Duration{time.Second, time.Second}}, MaxAge: time.Minute}}))
		defer r.close()
		id := r.enqueue("app")
		sleep(time.Hour)
		if err := r.store.Replay(context.Background(), id, "app", ""); err != nil {
			t.Fatal(err)
		}
		sleep(time.Hour)
		r.wantState(id, "app", queue.StateDead)
		if n := len(r.attempts(id, "app")); n != 6 {
			t.Errorf("%d attempts, want two series of 3", n)
		}
	})
}
