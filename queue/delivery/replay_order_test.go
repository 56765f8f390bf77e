package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// ids are the events of the tries, in their order.
func (a *app) ids() (ids []queue.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, try := range a.tries {
		ids = append(ids, try.Event.ID)
	}
	return ids
}

// TestReplayGoesFromOldestToNewest: deliveries of one order key come in their order, whatever the job looks at in one go.
func TestReplayGoesFromOldestToNewest(t *testing.T) {
	for _, ahead := range []int{replayAhead, 300, 50} {
		for _, byID := range []bool{false, true} {
			bubble(t, func(t *testing.T) {
				a := always(410)
				r := newRig(t)
				r.engine.replays.ahead = ahead
				r.start(a.destination("app", Policy{}))
				defer r.close()
				var ids []queue.ID
				for range 250 {
					ids = append(ids, r.enqueueKeyed("key", "app"))
					sleep(time.Millisecond)
				}
				a.set(func(context.Context, *Try) Result { return Result{Status: 200} })
				q := ReplayRequest{Filter: queue.Filter{Destination: "app"}, Rate: 1000}
				if byID {
					q.IDs = slices.Concat(ids, ids[:10])
					slices.Reverse(q.IDs)
				}
				job := r.replay(q)
				sleep(time.Minute)
				r.wantJob(job.ID, ReplayDone, 250, 250, 0)
				if got := a.ids()[250:]; !slices.Equal(got, ids) || job.Estimate.Deliveries != 250 {
					t.Errorf("ahead %d, by id %t: delivered in the order %v, %d estimated", ahead, byID, got, job.Estimate.Deliveries)
				}
			})
		}
	}
}

// TestReplayTakesUpJobsOfEarlierVersions, which went from the newest event to the oldest.
func TestReplayTakesUpJobsOfEarlierVersions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a, ids := dead(r, 20)
		r.close()
		for i, record := range []replayRecord{
			{ReplayJob{Request: ReplayRequest{Filter: queue.Filter{Destination: "app", Until: time.Now(), Limit: 5}, Rate: 100}}, replayPosition{After: ids[7]}},
			{ReplayJob{Request: ReplayRequest{IDs: []queue.ID{ids[19], ids[10], ids[15]}, Rate: 100}}, replayPosition{Index: 1}},
		} {
			record.ID, record.State = []string{"rp_1", "rp_2"}[i], ReplayRunning
			value, err := json.Marshal(record)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.memory.PutMeta(t.Context(), replayKey(record.ID), value); err != nil {
				t.Fatal(err)
			}
		}
		r.engine = NewEngine(r.options)
		r.start(a.destination("app", Policy{}))
		defer r.close()
		sleep(time.Minute)
		r.wantJob("rp_1", ReplayDone, 7, 7, 0)
		r.wantJob("rp_2", ReplayDone, 2, 2, 0)
		for i, id := range ids {
			want := queue.StateDead
			if i < 7 || i == 10 || i == 15 {
				want = queue.StateDelivered
			}
			r.wantState(id, "app", want)
		}
	})
}

// TestMoveCancelsInTheEnd: what a move has put back is not put back again because cancelling the old delivery failed at first.
func TestMoveCancelsInTheEnd(t *testing.T) {
	for name, to := range map[string]*app{"delivered": always(200), "under way": hanging()} {
		bubble(t, func(t *testing.T) {
			r, faulty, _ := newFaultyRig(t)
			r.start(to.destination("new", Policy{Timeout: time.Hour}))
			id := r.enqueue("old")
			sleep(time.Millisecond)
			faulty.Inject(queuetest.OpCancel, queuetest.Fault{Err: queue.ErrFull, Times: 2})
			r.replay(ReplayRequest{
				Filter:        queue.Filter{Destination: "old", States: []queue.State{queue.StatePending}},
				ToDestination: "new", Move: true,
			})
			sleep(time.Minute)
			r.wantState(id, "old", queue.StateCancelled)
			if n := to.count(); n != 1 {
				t.Errorf("%s: %d attempts at the new destination, want 1", name, n)
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := r.engine.Close(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

// TestMoveGoesOnAfterARestart: what a move has put back before it was interrupted is cancelled after it, and not put back again.
func TestMoveGoesOnAfterARestart(t *testing.T) {
	for name, to := range map[string]*app{"delivered": always(200), "dead": always(410)} {
		bubble(t, func(t *testing.T) {
			r, faulty, _ := newFaultyRig(t)
			destination := to.destination("new", Policy{})
			r.start(destination)
			ids := []queue.ID{r.enqueue("old"), r.enqueue("old"), r.enqueue("old")}
			sleep(time.Millisecond)
			faulty.Inject(queuetest.OpCancel, queuetest.Fault{Err: queue.ErrFull})
			job := r.replay(ReplayRequest{
				Filter:        queue.Filter{Destination: "old", States: []queue.State{queue.StatePending}},
				ToDestination: "new", Move: true,
			})
			sleep(time.Second)
			if n := to.count(); n != 1 {
				t.Fatalf("%s: %d attempts before the restart", name, n)
			}
			r.close()
			faulty.Heal(queuetest.OpCancel)
			r.engine = NewEngine(r.options)
			r.start(destination)
			sleep(time.Minute)
			for _, id := range ids {
				r.wantState(id, "old", queue.StateCancelled)
			}
			if n := to.count(); n != len(ids) {
				t.Errorf("%s: %d attempts at the new destination, want %d", name, n, len(ids))
			}
			r.wantJob(job.ID, ReplayDone, len(ids), len(ids), 0)
			r.close()
		})
	}
}

// TestMoveLeavesWhatWasDeliveredMeanwhile: a move is about what waits, and not any more about what waited when it was asked for.
func TestMoveLeavesWhatWasDeliveredMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		from, to := always(200), always(200)
		r := newRig(t)
		r.start(from.destination("old", Policy{}), to.destination("new", Policy{}))
		defer r.close()
		if err := r.engine.Pause(t.Context(), "old"); err != nil {
			t.Fatal(err)
		}
		for range 40 {
			r.enqueue("old")
		}
		sleep(time.Millisecond)
		job := r.replay(ReplayRequest{
			Filter:        queue.Filter{Destination: "old", States: []queue.State{queue.StatePending}},
			ToDestination: "new", Move: true, Rate: 2,
		})
		sleep(4 * time.Second)
		if err := r.engine.Resume(t.Context(), "old"); err != nil {
			t.Fatal(err)
		}
		sleep(time.Minute)
		synctest.Wait()
		if n := to.count(); n == 0 || n == 40 || from.count()+n != 40 {
			t.Errorf("%d delivered to the old destination and %d to the new one, want 40 in all", from.count(), n)
		}
		r.wantJob(job.ID, ReplayDone, 40, to.count(), 40-to.count())
	})
}
