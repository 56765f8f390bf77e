package memstore_test

import (
	"fmt"
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

func openBench(testing.TB) queue.Store { return memstore.New(memstore.Options{}) }

func BenchmarkEnqueue(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprint("writers=", writers), func(b *testing.B) { queuetest.BenchmarkEnqueue(b, openBench, writers, 1024) })
	}
	b.Run("backlog=100000", func(b *testing.B) { queuetest.BenchmarkEnqueueBacklog(b, openBench, 100_000, 16, 1024) })
}

func BenchmarkDrain(b *testing.B) {
	for _, batch := range []int{1, 16, 256} {
		b.Run(fmt.Sprint("batch=", batch), func(b *testing.B) { queuetest.BenchmarkDrain(b, openBench, batch, 1024) })
	}
	b.Run("backlog=100000", func(b *testing.B) { queuetest.BenchmarkDrainBacklog(b, openBench, 100_000, 256, 1024) })
}

func BenchmarkThrough(b *testing.B) { queuetest.BenchmarkThrough(b, openBench, 16, 256, 1024) }
