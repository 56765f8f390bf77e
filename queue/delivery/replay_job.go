package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// saveEvery is after how many deliveries put back a job's progress is stored: that many may be put back twice after a crash.
const saveEvery = 20

// replayRecord is a job as it is stored.
type replayRecord struct {
	ReplayJob
	Position replayPosition `json:"position"`
}

// replayRun is a job that runs.
type replayRun struct {
	replays *replays
	limiter limiter
	trouble backoff
	resumed bool // the first event with anything left to do may be half done

	ctx  context.Context // ends when the job is cancelled or the engine stops
	stop context.CancelFunc

	saving sync.Mutex // held while the record is stored, so that an older one never overwrites a newer one

	mu      sync.Mutex
	record  replayRecord
	unsaved int // deliveries put back since the record was stored
}

// run works the request off, from the oldest event to the newest.
func (j *replayRun) run() {
	defer j.stop()
	for more := true; more; {
		var ids []queue.ID
		var ok bool
		if ids, more, ok = j.ahead(); !ok {
			return
		}
		for _, id := range ids {
			if !j.replay(id) {
				return
			}
		}
	}
	j.replays.finish(j, ReplayDone)
}

// try does something with the store until it works; false means that the job ends.
func (j *replayRun) try(do func() error) bool {
	e := j.replays.engine
	for {
		err := do()
		if j.ctx.Err() != nil {
			return false
		}
		e.health.report("replay", err)
		if err == nil {
			j.trouble.reset()
			return true
		}
		if !e.pauseUntil(j.ctx, j.trouble.next()) {
			return false
		}
	}
}

// replay puts the deliveries of an event back; false means that the job ends.
func (j *replayRun) replay(id queue.ID) bool {
	var steps []replayStep
	if !j.try(func() error {
		deliveries, err := j.replays.engine.Store.(queue.Inspector).Deliveries(j.ctx, id)
		if err == nil {
			steps = j.record.Request.plan(deliveries)
		}
		return unlessGone(err)
	}) {
		return false
	}
	replayed, underWay := 0, 0
	for _, step := range steps {
		if !j.throttle() {
			return false
		}
		var end stepEnd
		if !j.try(func() (err error) {
			end, err = j.step(id, step.destination)
			return err
		}) {
			return false
		}
		switch end {
		case stepDone:
			replayed++
		case stepUnderWay:
			underWay++
		}
	}
	return j.progress(id, replayed, underWay)
}

// step puts the delivery to one destination back. Time may have passed since it was planned, so that it is planned anew.
func (j *replayRun) step(id queue.ID, destination string) (stepEnd, error) {
	e, request := j.replays.engine, &j.record.Request
	deliveries, err := e.Store.(queue.Inspector).Deliveries(j.ctx, id)
	if err != nil {
		return stepGone, unlessGone(err)
	}
	steps := request.plan(deliveries)
	i := slices.IndexFunc(steps, func(s replayStep) bool { return s.destination == destination })
	if i < 0 {
		return stepGone, nil
	}
	step := steps[i]
	resumed := j.resumed
	j.resumed = false
	if resumed && j.putBack(deliveries) {
		return j.cancel(id, step.cancel)
	}
	if step.underWay(deliveries) {
		return stepUnderWay, nil
	}
	key := step.orderKey
	if destination == request.ToDestination {
		if t := e.target(destination); t != nil && t.OrderKey != nil {
			event, err := e.Store.(queue.Inspector).Event(j.ctx, id)
			if err != nil {
				return stepGone, unlessGone(err)
			}
			key = t.OrderKey(event)
		}
	}
	if err := e.Store.Replay(j.ctx, id, destination, key); err != nil {
		return stepGone, unlessGone(err)
	}
	return j.cancel(id, step.cancel)
}

// putBack reports whether this move put the event back already, before it was interrupted.
func (j *replayRun) putBack(deliveries []queue.Delivery) bool {
	r := &j.record.ReplayJob
	return r.Request.Move && slices.ContainsFunc(deliveries, func(d queue.Delivery) bool {
		return d.Destination == r.Request.ToDestination && d.Replayed && (!d.State.Settled() || !d.SettledAt.Before(r.Created))
	})
}

// cancel ends the step of a move where the deliveries waited.
func (j *replayRun) cancel(id queue.ID, destinations []string) (stepEnd, error) {
	for _, old := range destinations {
		if !j.try(func() error { return unlessGone(j.replays.engine.Store.Cancel(j.ctx, id, old)) }) {
			return stepDone, j.ctx.Err()
		}
	}
	return stepDone, nil
}

// unlessGone drops errors that mean that there is nothing to replay any more.
func unlessGone(err error) error {
	if errors.Is(err, queue.ErrNotFound) || errors.Is(err, queue.ErrDamaged) {
		return nil
	}
	return err
}

// throttle keeps to the job's rate; false means that the job ends.
func (j *replayRun) throttle() bool {
	e := j.replays.engine
	rate := Rate{PerSecond: j.record.Request.Rate, Burst: max(1, int(j.record.Request.Rate/10))}
	for {
		now := e.Clock.Now()
		n, at := j.limiter.available(rate, 1, now)
		if n == 1 {
			j.limiter.take(rate, 1, now)
			return true
		}
		if !e.pauseUntil(j.ctx, at.Sub(now)) {
			return false
		}
	}
}

// progress notes that an event is done, and stores that from time to time; false means that the job ends.
func (j *replayRun) progress(id queue.ID, replayed, underWay int) bool {
	j.mu.Lock()
	r := &j.record
	r.Events++
	r.Replayed += replayed
	r.UnderWay += underWay
	if replayed == 0 {
		r.Skipped++
	}
	r.Position.Done = id
	j.unsaved += max(1, replayed)
	due := j.unsaved >= saveEvery
	if due {
		j.unsaved = 0
	}
	j.mu.Unlock()
	return !due || j.try(func() error { return j.save(j.ctx) })
}

// save stores the job's record.
func (j *replayRun) save(ctx context.Context) error {
	meta, ok := j.replays.engine.Store.(queue.Metadata)
	if !ok {
		return fmt.Errorf("replay: %w", ErrUnsupported)
	}
	j.saving.Lock()
	defer j.saving.Unlock()
	j.mu.Lock()
	value, err := json.Marshal(&j.record)
	j.mu.Unlock()
	if err == nil {
		err = meta.PutMeta(ctx, replayKey(j.record.ID), value)
	}
	if err != nil {
		return fmt.Errorf("replay %s: %w", j.record.ID, err)
	}
	return nil
}

func (j *replayRun) snapshot() ReplayJob {
	j.mu.Lock()
	defer j.mu.Unlock()
	job := j.record.ReplayJob
	job.Request.IDs = slices.Clone(job.Request.IDs)
	return job
}

// close ends the job in a state, once; it is false if it has ended before.
func (j *replayRun) close(state ReplayState, now time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.record.State != ReplayRunning {
		return false
	}
	j.record.State, j.record.Finished = state, now
	return true
}

func (j *replayRun) log(text string) {
	job := j.snapshot()
	j.replays.engine.Logger.Info(text, zap.String("replay", job.ID), zap.Int("events", job.Events),
		zap.Int("replayed", job.Replayed), zap.Int("skipped", job.Skipped))
}

func replayKey(id string) string { return replayPrefix + id }
