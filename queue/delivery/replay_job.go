package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"go.uber.org/zap"
)

// saveEvery is after how many deliveries put back a job's progress is stored: that many may be put back twice after a crash.
const saveEvery = 20

// replayPosition is a place in the events of a request.
type replayPosition struct {
	Cursor string   `json:"cursor,omitempty"` // of the present page
	After  queue.ID `json:"after,omitempty"`  // the last event of it that was done; 0: none. Pages are newest first, so that it and those above it are done.
	Index  int      `json:"index,omitempty"`  // of the next id, for requests by ids
}

// replayRecord is a job as it is stored.
type replayRecord struct {
	ReplayJob
	Position replayPosition `json:"position"`
}

// replayEvent is an event of a page.
type replayEvent struct {
	id         queue.ID
	gone       bool
	deliveries []queue.Delivery
	after      replayPosition // where the page goes on after it
}

// nextReplayPage returns the events at a position, and the position of the next page; nil at the end.
func nextReplayPage(ctx context.Context, in queue.Inspector, r *ReplayRequest, p replayPosition) ([]replayEvent, *replayPosition, error) {
	if len(r.IDs) > 0 {
		return replayPageByID(ctx, in, r, p)
	}
	f := r.Filter
	f.Cursor = p.Cursor
	page, err := in.Events(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	var events []replayEvent
	for _, s := range page.Events {
		id := s.Event.ID
		if p.After != 0 && id >= p.After {
			continue
		}
		events = append(events, replayEvent{id: id, deliveries: s.Deliveries, after: replayPosition{Cursor: p.Cursor, After: id}})
	}
	if page.Next == "" {
		return events, nil, nil
	}
	return events, &replayPosition{Cursor: page.Next}, nil
}

func replayPageByID(ctx context.Context, in queue.Inspector, r *ReplayRequest, p replayPosition) ([]replayEvent, *replayPosition, error) {
	end := min(p.Index+replayPage, len(r.IDs))
	var events []replayEvent
	for i := p.Index; i < end; i++ {
		deliveries, err := in.Deliveries(ctx, r.IDs[i])
		gone := errors.Is(err, queue.ErrNotFound) || errors.Is(err, queue.ErrDamaged)
		if err != nil && !gone {
			return nil, nil, err
		}
		events = append(events, replayEvent{id: r.IDs[i], gone: gone, deliveries: deliveries, after: replayPosition{Index: i + 1}})
	}
	if end == len(r.IDs) {
		return events, nil, nil
	}
	return events, &replayPosition{Index: end}, nil
}

// replayRun is a job that runs.
type replayRun struct {
	replays *replays
	limiter limiter
	trouble backoff

	ctx  context.Context // ends when the job is cancelled or the engine stops
	stop context.CancelFunc

	saving sync.Mutex // held while the record is stored, so that an older one never overwrites a newer one

	mu      sync.Mutex
	record  replayRecord
	unsaved int // deliveries put back since the record was stored
}

// run works the request off, page by page.
func (j *replayRun) run() {
	defer j.stop()
	e := j.replays.engine
	in := e.Store.(queue.Inspector)
	request := &j.record.Request // never changes
	for position := j.record.Position; ; {
		var page []replayEvent
		var more *replayPosition
		if !j.try(func() (err error) {
			page, more, err = nextReplayPage(j.ctx, in, request, position)
			return err
		}) {
			return
		}
		for _, event := range page {
			if !j.replay(event) {
				return
			}
		}
		if more == nil {
			j.replays.finish(j, ReplayDone)
			return
		}
		position = *more
		j.mu.Lock()
		j.record.Position = position
		j.mu.Unlock()
	}
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
func (j *replayRun) replay(event replayEvent) bool {
	request := &j.record.Request
	var steps []replayStep
	if !event.gone {
		steps = request.plan(event.deliveries)
	}
	replayed, underWay := 0, 0
	for _, step := range steps {
		if !j.throttle() {
			return false
		}
		var end stepEnd
		if !j.try(func() (err error) {
			end, err = j.step(event.id, step)
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
	return j.progress(event, replayed, underWay)
}

// step puts one delivery back. The page with its event was read a while ago, so that it looks anew for what is under way.
func (j *replayRun) step(id queue.ID, step replayStep) (stepEnd, error) {
	e, key := j.replays.engine, step.orderKey
	deliveries, err := e.Store.(queue.Inspector).Deliveries(j.ctx, id)
	if err != nil {
		return stepGone, unlessGone(err)
	}
	if step.underWay(deliveries) {
		return stepUnderWay, nil
	}
	if step.destination == j.record.Request.ToDestination {
		if t := e.target(step.destination); t != nil && t.OrderKey != nil {
			event, err := e.Store.(queue.Inspector).Event(j.ctx, id)
			if err != nil {
				return stepGone, unlessGone(err)
			}
			key = t.OrderKey(event)
		}
	}
	if err := e.Store.Replay(j.ctx, id, step.destination, key); err != nil {
		return stepGone, unlessGone(err)
	}
	for _, old := range step.cancel {
		if err := e.Store.Cancel(j.ctx, id, old); unlessGone(err) != nil {
			return stepDone, err
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
func (j *replayRun) progress(event replayEvent, replayed, underWay int) bool {
	j.mu.Lock()
	r := &j.record
	r.Events++
	r.Replayed += replayed
	r.UnderWay += underWay
	if replayed == 0 {
		r.Skipped++
	}
	r.Position = event.after
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
