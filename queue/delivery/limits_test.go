package delivery

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

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

// TestBreakerEndsWithItsDestination takes the breaker of a destination away while it is open: by a table without the destination, and by one that has it switched off.
func TestBreakerEndsWithItsDestination(t *testing.T) {
	for name, off := range map[string]bool{"destination left": false, "breaker off": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := taking(time.Second, 503)
				r := newRig(t)
				policy := Policy{Breaker: BreakerPolicy{Failures: 1, Open: 10 * time.Second}, Retry: RetryPolicy{Backoff: None{}}}
				first := r.start(a.destination("app", policy))
				defer r.close()
				r.enqueue("app")
				sleep(time.Second)
				r.enqueue("app")
				sleep(10*time.Second + 500*time.Millisecond)
				if s := r.status("app"); s.Breaker != BreakerHalfOpen {
					t.Fatalf("breaker is %s, want half-open: the probe is under way", s.Breaker)
				}
				var routes *Routes
				if off {
					policy.Breaker = BreakerPolicy{Off: true}
					routes = table(a.destination("app", policy))
				}
				r.engine.Attach(routes)
				first.Detach()
				for _, when := range []string{"at once", "after the attempt that was under way"} {
					if s := r.status("app"); s.Breaker != BreakerClosed || !s.ProbeAt.IsZero() || s.Held == off {
						t.Errorf("%s: %+v", when, s)
					}
					sleep(time.Second)
				}
				if noted, want := r.observer.noted(), []string{"app closed>open", "app open>half-open", "app half-open>closed"}; !slices.Equal(noted, want) {
					t.Errorf("observer was told %v, want %v", noted, want)
				}
			})
		})
	}
}

// TestStopLeavesBreakersAlone has the engine stop while a breaker is open and a probe under way: nobody is told that it closed.
func TestStopLeavesBreakersAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := taking(time.Second, 503)
		r := newRig(t)
		g := r.start(a.destination("app", Policy{Breaker: BreakerPolicy{Failures: 1, Open: 10 * time.Second}, Retry: RetryPolicy{Backoff: None{}}}))
		r.enqueue("app")
		sleep(time.Second)
		r.enqueue("app")
		sleep(10*time.Second + 500*time.Millisecond)
		g.Detach()
		sleep(time.Second)
		r.close()
		for _, change := range r.observer.noted() {
			if strings.HasSuffix(change, ">closed") {
				t.Errorf("observer was told %s", change)
			}
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

// TestSlowStartDespiteSomeFailures is about an application that refuses some events while it takes the others.
func TestSlowStartDespiteSomeFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var tries atomic.Int64
		taken, refused := taking(100*time.Millisecond, 200), taking(100*time.Millisecond, 503)
		a := answering(func(ctx context.Context, try *Try) Result {
			if tries.Add(1)%5 == 0 {
				return refused.answer(ctx, try)
			}
			return taken.answer(ctx, try)
		})
		r := newRig(t)
		r.start(a.destination("app", Policy{
			Concurrency: 16, Retry: RetryPolicy{Backoff: None{}},
			Breaker: BreakerPolicy{Off: true}, // outcomes of one moment may come in any order, and so five failures in a row
		}))
		defer r.close()
		if err := r.engine.Pause(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		for range 3000 {
			r.enqueue("app")
		}
		if err := r.engine.Resume(t.Context(), "app"); err != nil {
			t.Fatal(err)
		}
		sleep(10 * time.Second)
		if s := r.status("app"); s.InFlight != 16 || s.Pending == 0 {
			t.Errorf("%d attempts at once, %d pending, breaker %s; want 16 long after a resume", s.InFlight, s.Pending, s.Breaker)
		}
	})
}
