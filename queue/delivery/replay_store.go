package delivery

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// replayPrefix is where the store's metadata keeps replay jobs.
const replayPrefix = "delivery/replay/"

// replays are the replay jobs that run or are remembered.
type replays struct {
	engine *Engine
	ahead  int // see replayAhead

	mu   sync.Mutex
	jobs map[string]*replayRun
	last int64 // number of the newest id
}

func newReplays(e *Engine) *replays {
	return &replays{engine: e, ahead: replayAhead, jobs: map[string]*replayRun{}}
}

// create stores a new job and starts it.
func (s *replays) create(ctx context.Context, r ReplayRequest, estimate ReplayEstimate) (ReplayJob, error) {
	job := s.newRun(replayRecord{ReplayJob: ReplayJob{
		Request: r, Estimate: estimate, State: ReplayRunning, Created: s.engine.Clock.Now().UTC(),
	}})
	if err := s.register(job); err != nil {
		job.stop()
		return ReplayJob{}, err
	}
	err := job.save(ctx)
	if err == nil {
		err = s.launch(job) // if the engine is closed in this very moment, the job runs at the next start
	}
	if err != nil {
		job.stop()
		s.forget(job.record.ID)
		return ReplayJob{}, fmt.Errorf("start of a replay: %w", err)
	}
	s.prune(ctx)
	return job.snapshot(), nil
}

func (s *replays) newRun(r replayRecord) *replayRun {
	j := &replayRun{replays: s, record: r}
	j.ctx, j.stop = context.WithCancel(s.engine.stopping)
	return j
}

// register gives the job an id and a place.
func (s *replays) register(j *replayRun) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	active := 0
	for _, other := range s.jobs {
		if other.snapshot().State == ReplayRunning {
			active++
		}
	}
	if active >= maxActiveReplays {
		return fmt.Errorf("%w: %d", ErrTooManyReplays, active)
	}
	s.last = max(s.last+1, j.record.Created.UnixMicro()) // two jobs of one moment differ, and ids sort by time
	j.record.ID = "rp_" + strconv.FormatInt(s.last, 36)
	s.jobs[j.record.ID] = j
	return nil
}

func (s *replays) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.jobs, id)
}

// launch runs a job on its own goroutine.
func (s *replays) launch(j *replayRun) error {
	e := s.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.phase != phaseRunning {
		return ErrEngineClosed
	}
	j.log("replay starts")
	e.roles.Go(j.run)
	return nil
}

// load reads the stored jobs.
func (s *replays) load(ctx context.Context) (records []replayRecord, err error) {
	meta, ok := s.engine.Store.(queue.Metadata)
	if !ok {
		return nil, nil
	}
	err = meta.ListMeta(ctx, replayPrefix, "", func(key string, value []byte) bool {
		var r replayRecord
		if err := json.Unmarshal(value, &r); err != nil || replayKey(r.ID) != key {
			s.engine.Logger.Error("stored replay job cannot be read; it is left out", zap.String("key", key), zap.Error(err))
			return true
		}
		records = append(records, r)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("replay jobs: %w", err)
	}
	return records, nil
}

// resume takes up stored jobs. The engine's lock is held.
func (s *replays) resume(records []replayRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		j := s.newRun(r)
		s.jobs[r.ID] = j
		s.last = max(s.last, r.Created.UnixMicro())
		if r.State == ReplayRunning {
			j.resumed = true
			j.log("replay goes on")
			s.engine.roles.Go(j.run)
		} else {
			j.stop()
		}
	}
}

// finish ends a job that has come to its end. If the engine stops before that is stored, the next start finds the job at its end once more.
func (s *replays) finish(j *replayRun, state ReplayState) {
	if !j.close(state, s.engine.Clock.Now().UTC()) {
		return
	}
	j.try(func() error { return j.save(j.ctx) })
	j.log("replay is through")
}

// cancel ends a job before its end.
func (s *replays) cancel(ctx context.Context, id string) error {
	s.mu.Lock()
	j := s.jobs[id]
	s.mu.Unlock()
	if j == nil {
		return fmt.Errorf("%w: %q", ErrNoReplay, id)
	}
	if !j.close(ReplayCancelled, s.engine.Clock.Now().UTC()) {
		return replayEnded(id)
	}
	j.stop()
	j.log("replay was cancelled")
	return j.save(ctx)
}

// CanCancelReplay returns the error of CancelReplay, and stops nothing.
func (e *Engine) CanCancelReplay(id string) error {
	job, err := e.ReplayStatus(id)
	if err == nil && job.State != ReplayRunning {
		err = replayEnded(id)
	}
	return err
}

// replayEnded is the error for a replay that is none any more; it is an ErrNoReplay.
type replayEnded string

func (id replayEnded) Error() string     { return fmt.Sprintf("replay %q has ended already", string(id)) }
func (replayEnded) Is(target error) bool { return target == ErrNoReplay }

func (s *replays) get(id string) (ReplayJob, error) {
	s.mu.Lock()
	j := s.jobs[id]
	s.mu.Unlock()
	if j == nil {
		return ReplayJob{}, fmt.Errorf("%w: %q", ErrNoReplay, id)
	}
	return j.snapshot(), nil
}

// list returns all jobs, newest first.
func (s *replays) list() []ReplayJob {
	s.mu.Lock()
	defer s.mu.Unlock()
	jobs := make([]ReplayJob, 0, len(s.jobs))
	for _, j := range s.jobs {
		jobs = append(jobs, j.snapshot())
	}
	slices.SortFunc(jobs, func(a, b ReplayJob) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.ID, a.ID)) })
	return jobs
}

// prune forgets the oldest finished jobs. What cannot be deleted now is tried again with the next job.
func (s *replays) prune(ctx context.Context) {
	meta, kept := s.engine.Store.(queue.Metadata), 0
	for _, job := range s.list() {
		if job.State == ReplayRunning {
			continue
		}
		if kept++; kept <= keptReplays {
			continue
		}
		if err := meta.PutMeta(ctx, replayKey(job.ID), nil); err != nil {
			s.engine.Logger.Warn("finished replay job is not forgotten yet", zap.String("replay", job.ID), zap.Error(err))
			return
		}
		s.forget(job.ID)
	}
}
