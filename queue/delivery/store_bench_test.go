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

// BenchmarkDurableDrain empties a backlog in the durable store, as after an outage, into an application that takes no time. Run it with
// -benchtime=100000x or 1000000x for a backlog of that size.
func BenchmarkDurableDrain(b *testing.B) {
	for _, concurrency := range []int{16, 256} {
		b.Run(fmt.Sprintf("concurrency=%d", concurrency), func(b *testing.B) {
			store := openDurable(b)
			fill(b, store, b.N, "app")
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
