package delivery

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
)

// fill stores n events for a destination.
func fill(b *testing.B, s queue.Store, n int, destination string) {
	b.Helper()
	for n > 0 {
		events := make([]queue.NewEvent, min(n, 1000))
		for i := range events {
			events[i] = queue.NewEvent{
				Event:      queue.Event{Source: "s", EventID: "e", ReceivedAt: time.Now()},
				Deliveries: []queue.NewDelivery{{Destination: destination}},
			}
		}
		if _, err := s.Enqueue(context.Background(), events); err != nil {
			b.Fatal(err)
		}
		n -= len(events)
	}
}

// counting counts settled deliveries and closes done at a number of them.
type counting struct {
	NopObserver
	destination string
	left        atomic.Int64
	done        chan struct{}
}

func count(destination string, n int) *counting {
	c := &counting{destination: destination, done: make(chan struct{})}
	c.left.Store(int64(n))
	return c
}

func (c *counting) DeliverySettled(r SettledReport) {
	if r.Destination == c.destination && c.left.Add(-1) == 0 {
		close(c.done)
	}
}

func instant(context.Context, *Try) Result { return Result{Status: 200} }

// BenchmarkDrain empties a backlog into an application that takes no time: what the engine itself costs.
func BenchmarkDrain(b *testing.B) {
	for _, concurrency := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("concurrency=%d", concurrency), func(b *testing.B) {
			store := memstore.New(memstore.Options{})
			fill(b, store, b.N, "app")
			drain(b, store, concurrency)
		})
	}
}

// BenchmarkIsolation compares a good destination alone with one beside a destination that hangs and has a backlog of a million. Events arrive one after the
// other, each when the one before was delivered, in turns at the two engines, so that the machine's moods meet both. Reported are the medians and 99th
// percentiles of the time from the enqueue to the end of the delivery as ratios, and the heap that the engine took for the backlog.
func BenchmarkIsolation(b *testing.B) {
	const backlog = 1_000_000
	alone, beside := newLane(b, memstore.New(memstore.Options{}), 0), newLane(b, memstore.New(memstore.Options{}), backlog)
	defer alone.close(b)
	defer beside.close(b)
	for b.Loop() {
		alone.deliver(b)
		beside.deliver(b)
	}
	b.ReportMetric(beside.percentile(50)/alone.percentile(50), "p50-ratio")
	b.ReportMetric(beside.percentile(99)/alone.percentile(99), "p99-ratio")
	b.ReportMetric(alone.percentile(99)/1000, "p99-alone-µs")
	b.ReportMetric(beside.grown/1024, "KiB-engine")
}

// lane is an engine with a good destination, and perhaps a hanging one beside it.
type lane struct {
	NopObserver
	store   queue.Store
	engine  *Engine
	settled chan struct{}
	took    []time.Duration
	grown   float64 // heap that the engine took, in bytes
}

func newLane(b *testing.B, store queue.Store, backlog int) *lane {
	b.Helper()
	l := &lane{store: store, settled: make(chan struct{}, 1)}
	fill(b, l.store, backlog, "hanging")
	before := heapInUse()
	l.engine = NewEngine(Options{Store: l.store, Observer: l})
	var hung sync.WaitGroup
	if backlog > 0 {
		hung.Add(DefaultConcurrency)
	}
	l.engine.Attach(table(
		&Destination{Name: "good", Forwarder: ForwarderFunc(instant)},
		&Destination{Name: "hanging", Policy: Policy{Timeout: time.Hour}, Forwarder: ForwarderFunc(func(ctx context.Context, _ *Try) Result {
			hung.Done()
			<-ctx.Done()
			return Result{}
		})},
	))
	if err := l.engine.Start(); err != nil {
		b.Fatal(err)
	}
	hung.Wait()
	l.grown = float64(heapInUse() - before)
	return l
}

func (l *lane) DeliverySettled(SettledReport) { l.settled <- struct{}{} }

func (l *lane) deliver(b *testing.B) {
	began := time.Now()
	fill(b, l.store, 1, "good")
	<-l.settled
	l.took = append(l.took, time.Since(began))
}

func (l *lane) percentile(p int) float64 {
	slices.Sort(l.took)
	return float64(l.took[(len(l.took)-1)*p/100].Nanoseconds())
}

func (l *lane) close(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.engine.Close(ctx); !errors.Is(err, context.Canceled) {
		b.Error("close:", err)
	}
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
