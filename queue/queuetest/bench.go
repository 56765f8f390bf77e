package queuetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// OpenBench opens a new, empty store on the system's clock. The benchmark closes it.
type OpenBench func(b testing.TB) queue.Store

const (
	benchBatch = 256
	benchLease = time.Hour
)

// benchEvent makes the n-th event of a benchmark, with a dedup key and one delivery.
func benchEvent(n int64, body []byte) queue.NewEvent {
	id := fmt.Sprint("evt_", n)
	return queue.NewEvent{
		Event: queue.Event{
			Source:     "bench",
			Provider:   "hmac",
			ReceivedAt: time.Now(),
			EventID:    id,
			Type:       "invoice.paid",
			Method:     http.MethodPost,
			URL:        "https://hooks.example.com/bench",
			Header:     http.Header{"Content-Type": {"application/json"}, "X-Signature": {"0123456789abcdef0123456789abcdef"}},
			Body:       body,
		},
		DedupKey:    id,
		DedupWindow: window,
		Deliveries:  []queue.NewDelivery{{Destination: dest}},
	}
}

func benchBody(size int) []byte {
	body := make([]byte, size)
	for i := range body {
		body[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[(i*7+i/36)%36]
	}
	return body
}

func openBench(b *testing.B, open OpenBench) queue.Store {
	b.Helper()
	s := open(b)
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Errorf("close: %v", err)
		}
	})
	return s
}

// BenchmarkEnqueue measures durable enqueues of one event each by several writers at once. It reports events per second and the
// median and 99th percentile of a call, in microseconds.
func BenchmarkEnqueue(b *testing.B, open OpenBench, writers, bodySize int) {
	BenchmarkEnqueueBacklog(b, open, 0, writers, bodySize)
}

// BenchmarkEnqueueBacklog is [BenchmarkEnqueue] on a store with that many pending events.
func BenchmarkEnqueueBacklog(b *testing.B, open OpenBench, backlog, writers, bodySize int) {
	s := openBench(b, open)
	fillBench(b, s, backlog, bodySize)
	b.SetBytes(int64(bodySize))
	b.ReportAllocs()
	b.ResetTimer()
	took := enqueueBench(b, s, writers, bodySize)
	b.StopTimer()
	reportRate(b)
	reportLatency(b, took)
}

// BenchmarkDrain measures claiming and settling in batches by one worker, after as many events were enqueued as are drained.
// It reports events per second.
func BenchmarkDrain(b *testing.B, open OpenBench, batch, bodySize int) {
	BenchmarkDrainBacklog(b, open, 0, batch, bodySize)
}

// BenchmarkDrainBacklog is [BenchmarkDrain] on a store with that many more pending events.
func BenchmarkDrainBacklog(b *testing.B, open OpenBench, backlog, batch, bodySize int) {
	s := openBench(b, open)
	fillBench(b, s, backlog+b.N, bodySize)
	b.ReportAllocs()
	b.ResetTimer()
	if err := drainBench(b.Context(), s, b.N, batch); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	reportRate(b)
}

// BenchmarkThrough measures enqueues by several writers while one worker drains the store, until all is settled. It reports
// events per second from the first enqueue to the last settlement, and the latency of enqueues as [BenchmarkEnqueue] does.
func BenchmarkThrough(b *testing.B, open OpenBench, writers, batch, bodySize int) {
	s := openBench(b, open)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	drained := make(chan error, 1)
	b.SetBytes(int64(bodySize))
	b.ResetTimer()
	go func() { drained <- drainBench(ctx, s, b.N, batch) }()
	took := enqueueBench(b, s, writers, bodySize)
	if b.Failed() {
		cancel()
	}
	if err := <-drained; err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	reportRate(b)
	reportLatency(b, took)
}

// enqueueBench enqueues b.N events one by one and returns how long each call took.
func enqueueBench(b *testing.B, s queue.Store, writers, bodySize int) []time.Duration {
	body := benchBody(bodySize)
	took := make([][]time.Duration, writers)
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				start := time.Now()
				if _, err := s.Enqueue(b.Context(), []queue.NewEvent{benchEvent(n, body)}); err != nil {
					b.Errorf("enqueue: %v", err)
					return
				}
				took[w] = append(took[w], time.Since(start))
			}
		})
	}
	wg.Wait()
	return slices.Concat(took...)
}

// fillBench enqueues n events in large batches; their dedup keys are apart from those of enqueueBench.
func fillBench(b *testing.B, s queue.Store, n, bodySize int) {
	b.Helper()
	body := benchBody(bodySize)
	for from := 0; from < n; from += benchBatch {
		events := make([]queue.NewEvent, min(benchBatch, n-from))
		for i := range events {
			events[i] = benchEvent(-int64(from+i)-1, body)
		}
		if _, err := s.Enqueue(b.Context(), events); err != nil {
			b.Fatalf("enqueue: %v", err)
		}
	}
}

// drainBench delivers n events, and waits to be woken when none is due.
func drainBench(ctx context.Context, s queue.Store, n, batch int) error {
	for left := n; left > 0; {
		claimed, _, err := s.Claim(ctx, queue.ClaimRequest{Destination: dest, Limit: min(batch, left), Now: time.Now(), Lease: benchLease})
		if err != nil {
			return fmt.Errorf("claim with %d left: %w", left, err)
		}
		if len(claimed) == 0 {
			select {
			case <-s.Wake():
			case <-ctx.Done():
				return fmt.Errorf("waiting with %d left: %w", left, ctx.Err())
			}
			continue
		}
		lost, err := s.Settle(ctx, deliveredBench(claimed))
		if err = errors.Join(append(lost, err)...); err != nil {
			return fmt.Errorf("settle with %d left: %w", left, err)
		}
		left -= len(claimed)
	}
	return nil
}

func deliveredBench(claimed []queue.Claimed) []queue.Settlement {
	settlements := make([]queue.Settlement, len(claimed))
	for i, c := range claimed {
		settlements[i] = queue.Settlement{
			Lease: c.Lease,
			State: queue.StateDelivered,
			Attempt: &queue.Attempt{
				Number:   c.Delivery.Attempts + 1,
				Trigger:  queue.TriggerFirst,
				At:       time.Now(),
				Duration: time.Millisecond,
				Status:   http.StatusOK,
			},
		}
	}
	return settlements
}

func reportRate(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func reportLatency(b *testing.B, took []time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
