package memstore_test

import (
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

func open(_ testing.TB, clock *queuetest.Clock) queue.Store {
	return memstore.New(memstore.Options{Clock: clock.Now})
}

func TestConformance(t *testing.T) { queuetest.Run(t, open) }
