package delivery

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/badgerstore"
)

// benchBacklog is the environment variable with the deliveries that a hanging destination has waiting; 100,000 if it is not set.
const benchBacklog = "SLUICE_BENCH_BACKLOG"

func openDurable(b *testing.B) queue.Store {
	b.Helper()
	store, err := badgerstore.Open(b.TempDir(), badgerstore.Options{MinFree: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := store.Close(); err != nil {
			b.Error("close:", err)
		}
	})
	return store
}

// fillOrdered stores n events with as many order keys; with places of their own, if placed.
func fillOrdered(b *testing.B, s queue.Store, n, keys int, placed bool) {
	b.Helper()
	for i := 0; i < n; {
		events := make([]queue.NewEvent, min(n-i, 1000))
		for j := range events {
			now := time.Now()
			d := queue.NewDelivery{Destination: "app", OrderKey: strconv.Itoa(i % keys)}
			if placed {
				d.OrderAt, d.NotBefore = now, now
			}
			events[j] = queue.NewEvent{Event: queue.Event{Source: "s", EventID: "e", ReceivedAt: now}, Deliveries: []queue.NewDelivery{d}}
			i++
		}
		if _, err := s.Enqueue(context.Background(), events); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDurableOrderedDrain empties a backlog with order keys: as many as events, and a thousand.
func BenchmarkDurableOrderedDrain(b *testing.B) {
	for _, c := range []struct {
		name   string
		keys   func(n int) int
		placed bool
	}{
		{"own-key", func(n int) int { return n }, false},
		{"1000-keys", func(int) int { return 1000 }, false},
		{"1000-keys-within", func(int) int { return 1000 }, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			store := openDurable(b)
			fillOrdered(b, store, b.N, c.keys(b.N), c.placed)
			drain(b, store, 64)
		})
	}
}

// drain measures how long the engine takes for a backlog of b.N.
func drain(b *testing.B, store queue.Store, concurrency int) {
	b.Helper()
	observer := count("app", b.N)
	e := NewEngine(Options{Store: store, Observer: observer})
	e.Attach(table(&Destination{Name: "app", Policy: Policy{Concurrency: concurrency}, Forwarder: ForwarderFunc(instant)}))
	b.ReportAllocs()
	b.ResetTimer()
	if err := e.Start(); err != nil {
		b.Fatal(err)
	}
	<-observer.done
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
	if err := e.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkDurableDrain empties a backlog in the durable store, as after an outage, into an application that takes no time. Run it with
// -benchtime=100000x or 1000000x for a backlog of that size.
func BenchmarkDurableDrain(b *testing.B) {
	for _, concurrency := range []int{16, 256} {
		b.Run(fmt.Sprintf("concurrency=%d", concurrency), func(b *testing.B) {
			store := openDurable(b)
			fill(b, store, b.N, "app")
			drain(b, store, concurrency)
		})
	}
}

// BenchmarkDurableIsolation is BenchmarkIsolation on the durable store, with the throughput beside the latency: rounds of single events and of bursts, in turns on a
// store with a good destination alone and on one where another destination hangs on its backlog. What is reported are ratios of medians and percentiles, because a
// shared machine has its moods; with a backlog of 0 they say how large those are.
func BenchmarkDurableIsolation(b *testing.B) {
	backlog := 100_000
	if text := os.Getenv(benchBacklog); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		backlog = n
	}
	const burst = 500
	alone, beside := newLane(b, openDurable(b), 0), newLane(b, openDurable(b), backlog)
	defer alone.close(b)
	defer beside.close(b)
	var took [2][]time.Duration
	for b.Loop() {
		for i, l := range []*lane{alone, beside} {
			for range 10 {
				l.deliver(b)
			}
			began := time.Now()
			fill(b, l.store, burst, "good")
			for range burst {
				<-l.settled
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return d[len(d)/2].Seconds()
	}
	b.ReportMetric(median(took[0])/median(took[1]), "throughput-ratio")
	b.ReportMetric(burst/median(took[0]), "alone-deliveries/s")
	b.ReportMetric(beside.percentile(50)/alone.percentile(50), "p50-ratio")
	b.ReportMetric(beside.percentile(99)/alone.percentile(99), "p99-ratio")
	b.ReportMetric(alone.percentile(99)/1000, "p99-alone-µs")
	b.ReportMetric(beside.grown/1024, "KiB-engine")
}
