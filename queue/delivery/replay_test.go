package delivery

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// dead makes n dead deliveries to "app" and returns the application and their events.
func dead(r *rig, n int, more ...*Destination) (*app, []queue.ID) {
	r.t.Helper()
	a := always(410)
	r.start(append(more, a.destination("app", Policy{Concurrency: 100}))...)
	var ids []queue.ID
	for range n {
		ids = append(ids, r.enqueue("app"))
		sleep(time.Millisecond)
	}
	for _, id := range ids {
		r.wantState(id, "app", queue.StateDead)
	}
	a.set(func(context.Context, *Try) Result { return Result{Status: 200} })
	return a, ids
}

func (r *rig) replay(q ReplayRequest) ReplayJob {
	r.t.Helper()
	job, err := r.engine.Replay(context.Background(), q)
	if err != nil {
		r.t.Fatal("replay:", err)
	}
	return job
}

func (r *rig) wantJob(id string, state ReplayState, events, replayed, skipped int) {
	r.t.Helper()
	job, err := r.engine.ReplayStatus(id)
	if err != nil {
		r.t.Fatal(err)
	}
	if job.State != state || job.Events != events || job.Replayed != replayed || job.Skipped != skipped {
		r.t.Errorf("job is %+v, want %s with %d events, %d replayed, %d skipped", job, state, events, replayed, skipped)
	}
}

func TestReplayByFilterKeepsToItsRate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, ids := dead(r, 250)
		defer r.close()
		delivered := r.enqueue("app")
		synctest.Wait()
		job := r.replay(ReplayRequest{Filter: queue.Filter{Destination: "app", States: []queue.State{queue.StateDead}}, Rate: 10})
		if want := (ReplayEstimate{Events: 250, Deliveries: 250, Complete: true, Destinations: map[string]int{"app": 250}}); !reflect.DeepEqual(job.Estimate, want) {
			t.Errorf("estimate %+v, want %+v", job.Estimate, want)
		}
		sleep(10 * time.Second)
		r.wantJob(job.ID, ReplayRunning, 101, 101, 0)
		sleep(time.Minute)
		r.wantJob(job.ID, ReplayDone, 250, 250, 0)
		for _, id := range ids {
			r.wantState(id, "app", queue.StateDelivered)
		}
		if n := len(r.attempts(delivered, "app")); n != 1 {
			t.Errorf("%d attempts of the delivery that was not asked for", n)
		}
		if a.count() != 250+1+250 {
			t.Errorf("%d attempts", a.count())
		}
	})
}

func TestReplayGoesOnAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, ids := dead(r, 300)
		job := r.replay(ReplayRequest{Filter: queue.Filter{Destination: "app"}, Rate: 10})
		sleep(15 * time.Second)
		r.restart(a.destination("app", Policy{}))
		defer r.close()
		if jobs := r.engine.Replays(); len(jobs) != 1 || jobs[0].ID != job.ID {
			t.Fatalf("jobs after the restart: %+v", jobs)
		}
		sleep(time.Minute)
		got, err := r.engine.ReplayStatus(job.ID)
		if err != nil || got.State != ReplayDone {
			t.Fatalf("job %+v, %v", got, err)
		}
		for _, id := range ids {
			r.wantState(id, "app", queue.StateDelivered)
		}
		if again := a.count() - 600; again < 0 || again >= saveEvery {
			t.Errorf("%d deliveries were made twice over, want fewer than %d", again, saveEvery)
		}
		next := r.replay(ReplayRequest{IDs: ids[:1]})
		if next.ID <= job.ID {
			t.Errorf("id %s after %s", next.ID, job.ID)
		}
	})
}

func TestReplayIsCancelledForGood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, _ := dead(r, 100)
		job := r.replay(ReplayRequest{Filter: queue.Filter{Destination: "app"}, Rate: 10})
		sleep(2 * time.Second)
		if err := r.engine.CancelReplay(context.Background(), job.ID); err != nil {
			t.Fatal(err)
		}
		sleep(time.Hour)
		r.wantJob(job.ID, ReplayCancelled, 21, 21, 0)
		if err := r.engine.CancelReplay(context.Background(), job.ID); !errors.Is(err, ErrNoReplay) {
			t.Errorf("second cancel: %v", err)
		}
		r.restart(a.destination("app", Policy{}))
		defer r.close()
		sleep(time.Hour)
		r.wantJob(job.ID, ReplayCancelled, 21, 21, 0)
		if a.count() != 100+21 {
			t.Errorf("%d attempts, want 121", a.count())
		}
	})
}

func TestReplayByID(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, ids := dead(r, 3)
		defer r.close()
		job := r.replay(ReplayRequest{IDs: []queue.ID{ids[0], 1, ids[2]}})
		sleep(time.Minute)
		r.wantJob(job.ID, ReplayDone, 3, 2, 1)
		r.wantState(ids[0], "app", queue.StateDelivered)
		r.wantState(ids[1], "app", queue.StateDead)
		if last := a.tries[len(a.tries)-1]; last.Trigger != queue.TriggerReplay || last.Attempt != 2 {
			t.Errorf("last attempt: %+v", last)
		}
	})
}

func TestReplayToAnotherDestination(t *testing.T) {
	bubble(t, func(t *testing.T) {
		other := always(200)
		elsewhere := other.destination("other", Policy{})
		elsewhere.OrderKey = func(e *queue.Event) string { return e.Type }
		r := newRig(t)
		a, ids := dead(r, 5, elsewhere)
		defer r.close()
		filtered := r.enqueue()
		job := r.replay(ReplayRequest{Filter: queue.Filter{Destination: "app"}, ToDestination: "other"})
		sleep(time.Minute)
		r.wantJob(job.ID, ReplayDone, 5, 5, 0)
		for _, id := range ids {
			r.wantState(id, "app", queue.StateDead)
			r.wantState(id, "other", queue.StateDelivered)
			if d := r.delivery(id, "other"); d.OrderKey != "thing.happened" {
				t.Errorf("order key %q, want the one of the new destination", d.OrderKey)
			}
		}
		r.replay(ReplayRequest{IDs: []queue.ID{filtered}, ToDestination: "other"})
		sleep(time.Minute)
		r.wantState(filtered, "other", queue.StateDelivered)
		if a.count() != 5 {
			t.Errorf("%d attempts at the old destination", a.count())
		}
	})
}

func TestMoveFromADestinationThatWentAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := always(200)
		r := newRig(t)
		r.start(a.destination("new", Policy{}))
		defer r.close()
		var ids []queue.ID
		for range 5 {
			ids = append(ids, r.enqueue("old"))
			sleep(time.Millisecond)
		}
		r.replay(ReplayRequest{
			Filter:        queue.Filter{Destination: "old", States: []queue.State{queue.StatePending}},
			ToDestination: "new", Move: true,
		})
		sleep(time.Minute)
		for _, id := range ids {
			r.wantState(id, "old", queue.StateCancelled)
			r.wantState(id, "new", queue.StateDelivered)
		}
	})
}

func TestReplayLeavesWhatIsUnderWayAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := hanging()
		r := newRig(t)
		r.start(a.destination("app", Policy{}))
		id := r.enqueue("app")
		sleep(time.Millisecond)
		job := r.replay(ReplayRequest{Filter: queue.Filter{Destination: "app"}})
		sleep(time.Second)
		r.wantJob(job.ID, ReplayDone, 1, 0, 1)
		r.wantState(id, "app", queue.StateDelivering)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := r.engine.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("close: %v", err)
		}
	})
}

func TestReplayRefusesNonsense(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, a := context.Background(), always(200)
		r := newRig(t)
		if _, err := r.engine.Replay(ctx, ReplayRequest{}); !errors.Is(err, ErrEngineClosed) {
			t.Errorf("before the start: %v", err)
		}
		r.start(a.destination("app", Policy{}))
		for name, q := range map[string]ReplayRequest{
			"too many ids":         {IDs: make([]queue.ID, MaxReplayIDs+1)},
			"ids and a filter":     {IDs: []queue.ID{1}, Filter: queue.Filter{Source: "s"}},
			"negative rate":        {Rate: -1},
			"move without a place": {Move: true},
			"move to itself":       {Move: true, ToDestination: "app", Filter: queue.Filter{Destination: "app"}},
			"held":                 {Filter: queue.Filter{States: []queue.State{queue.StateHeld}}},
		} {
			if _, err := r.engine.Replay(ctx, q); !errors.Is(err, ErrReplayRequest) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := r.engine.Replay(ctx, ReplayRequest{ToDestination: "nobody"}); !errors.Is(err, ErrUnknownDestination) {
			t.Errorf("to nobody: %v", err)
		}
		if err := r.engine.Pause(ctx, "app"); err != nil {
			t.Fatal(err)
		}
		for range 60 {
			r.enqueue("app")
			job := r.replay(ReplayRequest{IDs: []queue.ID{1}})
			sleep(time.Second)
			r.wantJob(job.ID, ReplayDone, 1, 0, 1)
		}
		if n := len(r.engine.Replays()); n > keptReplays+1 {
			t.Errorf("%d finished jobs are remembered", n)
		}
		for i := range maxActiveReplays + 1 {
			_, err := r.engine.Replay(ctx, ReplayRequest{Filter: queue.Filter{States: []queue.State{queue.StatePending}}, Rate: 0.001})
			if (i == maxActiveReplays) != errors.Is(err, ErrTooManyReplays) {
				t.Errorf("job %d: %v", i+1, err)
			}
		}
		r.close()
		jobs := r.engine.Replays()
		if !slices.IsSortedFunc(jobs, func(a, b ReplayJob) int { return b.Created.Compare(a.Created) }) {
			t.Error("jobs are not listed newest first")
		}
	})
}

// TestReplayLeavesAttemptsAlone replays a delivery while an attempt of it is under way: a second one would run beside it. It is counted, and its lease stays.
func TestReplayLeavesAttemptsAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, ids := dead(r, 1)
		defer r.close()
		a.set(func(context.Context, *Try) Result {
			<-time.After(5 * time.Second)
			return Result{Status: 200}
		})
		ids = append(ids, r.enqueue("app"))
		synctest.Wait()
		r.wantState(ids[1], "app", queue.StateDelivering)
		job := r.replay(ReplayRequest{IDs: ids})
		if want := (ReplayEstimate{Events: 1, Deliveries: 1, UnderWay: 1, Complete: true, Destinations: map[string]int{"app": 1}}); !reflect.DeepEqual(job.Estimate, want) {
			t.Errorf("estimate %+v, want %+v", job.Estimate, want)
		}
		sleep(time.Second)
		r.wantJob(job.ID, ReplayDone, 2, 1, 1)
		if done, err := r.engine.ReplayStatus(job.ID); done.UnderWay != 1 || err != nil {
			t.Errorf("job %+v, %v, want one delivery under way", done, err)
		}
		sleep(2 * time.Minute)
		for _, id := range ids {
			r.wantState(id, "app", queue.StateDelivered)
		}
		if a.count() != 3 { // one that failed, and one for each event
			t.Errorf("%d attempts, want 3", a.count())
		}
	})
}
