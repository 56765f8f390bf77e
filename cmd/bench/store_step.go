package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/badgerstore"
)

// step is what a process does with a store, between opening and closing it.
type step struct {
	Do      string        `json:"do"` // fill, enqueue, flood, drain, seek, open
	Dir     string        `json:"dir"`
	Writers int           `json:"writers"`
	Size    int           `json:"size"`
	Time    time.Duration `json:"time"`
	Count   int           `json:"count"`
}

// stepResult is what it has measured.
type stepResult struct {
	Open    time.Duration `json:"open"`
	Rate    float64       `json:"rate"`
	Worst   float64       `json:"worst"` // least rate of a window of the time
	P50     time.Duration `json:"p50"`
	P99     time.Duration `json:"p99"`
	Memory  float64       `json:"memory"` // anonymous memory in MiB: the most while it ran
	Pending uint64        `json:"pending"`
}

// runStoreStep is the child process: it prints the result as JSON.
func runStoreStep(description string) error {
	var s step
	if err := json.Unmarshal([]byte(description), &s); err != nil {
		return fmt.Errorf("read step: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	start := time.Now()
	store, err := badgerstore.Open(s.Dir, badgerstore.Options{})
	if err != nil {
		return err
	}
	result := stepResult{Open: time.Since(start)}
	do := map[string]func(context.Context, queue.Store, *stepResult) error{
		"fill": s.fill, "enqueue": s.enqueue, "flood": s.flood, "drain": s.drain, "seek": s.seek, "open": s.idle,
	}[s.Do]
	if do == nil {
		return errors.Join(fmt.Errorf("unknown step %q", s.Do), store.Close())
	}
	if s.Do != "flood" {
		err = atRest(ctx, func() time.Duration { cpu, _ := cpuOf(os.Getpid()); return cpu })
	}
	if err == nil {
		err = do(ctx, store, &result)
	}
	if stats, statsErr := store.Stats(ctx); statsErr == nil {
		result.Pending = stats.Destinations[stepDestination].Pending
	} else {
		err = errors.Join(err, statsErr)
	}
	if err = errors.Join(err, store.Close()); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

const (
	stepDestination = "application"
	stepBatch       = 256
	stepLease       = time.Hour
	stepDedup       = 72 * time.Hour
)

// events makes events with ids that no other process has used.
type events struct {
	body []byte
	next atomic.Int64
}

func newEvents(size int) *events {
	e := &events{body: jsonBody(idForm, size)}
	e.next.Store(time.Now().UnixNano())
	return e
}

func (e *events) one() queue.NewEvent {
	id := fmt.Sprintf("%016x-event-of-the-benchmark", e.next.Add(1))
	return queue.NewEvent{
		Event: queue.Event{
			Source: "bench", Provider: "github", ReceivedAt: time.Now(), EventID: id, Type: "push", Method: http.MethodPost,
			URL: "http://hooks.example.com/github", ClientIP: "127.0.0.1", Body: e.body,
			Header: http.Header{
				"Content-Type": {"application/json"}, "X-Github-Delivery": {id}, "X-Github-Event": {"push"}, "User-Agent": {"GitHub-Hookshot/044aadd"},
				"X-Hub-Signature-256": {"sha256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
			},
		},
		DedupKey: id, DedupWindow: stepDedup, Deliveries: []queue.NewDelivery{{Destination: stepDestination}},
	}
}

func (e *events) batch(n int) []queue.NewEvent {
	batch := make([]queue.NewEvent, n)
	for i := range batch {
		batch[i] = e.one()
	}
	return batch
}

// fill enqueues Count events in large commits.
func (s *step) fill(ctx context.Context, store queue.Store, r *stepResult) error {
	made, start := newEvents(s.Size), time.Now()
	for left := s.Count; left > 0; left -= stepBatch {
		if _, err := store.Enqueue(ctx, made.batch(min(left, stepBatch))); err != nil {
			return err
		}
	}
	r.Rate = float64(s.Count) / time.Since(start).Seconds()
	return nil
}

// enqueue lets writers enqueue single events for the time.
func (s *step) enqueue(ctx context.Context, store queue.Store, r *stepResult) error {
	made := newEvents(s.Size)
	var enqueued atomic.Int64
	w := watch(&enqueued, s.Time)
	out, err := write(s.Writers, s.Time, func(int) func() error {
		return func() error {
			_, err := store.Enqueue(ctx, []queue.NewEvent{made.one()})
			enqueued.Add(1)
			return err
		}
	})
	r.Worst, r.Memory = w.end()
	r.Rate, r.P50, r.P99 = out.rate(), out.latency.quantile(.5), out.latency.quantile(.99)
	return err
}

// flood enqueues until it is killed.
func (s *step) flood(ctx context.Context, store queue.Store, _ *stepResult) error {
	made := newEvents(s.Size)
	_, err := write(s.Writers, time.Hour, func(int) func() error {
		return func() error {
			_, err := store.Enqueue(ctx, []queue.NewEvent{made.one()})
			return err
		}
	})
	return err
}

// drain delivers Count events, or what there is, in batches.
func (s *step) drain(ctx context.Context, store queue.Store, r *stepResult) error {
	start, done := time.Now(), 0
	for done < s.Count {
		claimed, err := claim(ctx, store, min(stepBatch, s.Count-done))
		if err != nil || len(claimed) == 0 {
			return errors.Join(err, fmt.Errorf("%d of %d events were there to drain", done, s.Count))
		}
		if err := settle(ctx, store, claimed); err != nil {
			return err
		}
		done += len(claimed)
	}
	r.Rate = float64(done) / time.Since(start).Seconds()
	return nil
}

// seek measures how long it takes to find the next due delivery behind all that were delivered.
func (s *step) seek(ctx context.Context, store queue.Store, r *stepResult) error {
	var took histogram
	for range s.Count {
		start := time.Now()
		claimed, err := claim(ctx, store, 1)
		if err != nil || len(claimed) == 0 {
			return errors.Join(err, errors.New("nothing is due"))
		}
		took.add(time.Since(start))
		if err := settle(ctx, store, claimed); err != nil {
			return err
		}
	}
	r.P50, r.P99 = took.quantile(.5), took.quantile(.99)
	return nil
}

// idle measures what a store takes that nobody uses.
func (s *step) idle(_ context.Context, _ queue.Store, r *stepResult) error {
	runtime.GC()
	r.Memory, _ = anonymous(os.Getpid())
	return nil
}

func claim(ctx context.Context, store queue.Store, n int) ([]queue.Claimed, error) {
	claimed, _, err := store.Claim(ctx, queue.ClaimRequest{Destination: stepDestination, Limit: n, Now: time.Now(), Lease: stepLease})
	return claimed, err
}

func settle(ctx context.Context, store queue.Store, claimed []queue.Claimed) error {
	settlements := make([]queue.Settlement, len(claimed))
	for i, c := range claimed {
		settlements[i] = queue.Settlement{
			Lease: c.Lease, State: queue.StateDelivered,
			Attempt: &queue.Attempt{Trigger: queue.TriggerFirst, At: time.Now(), Duration: time.Millisecond, Status: http.StatusOK},
		}
	}
	lost, err := store.Settle(ctx, settlements)
	return errors.Join(append(lost, err)...)
}
