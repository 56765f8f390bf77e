package delivery

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

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
