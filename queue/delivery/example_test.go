package delivery_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
	"github.com/sluice-webhooks/sluice/queue/memstore"
)

// Delivers an event to an application that fails once.
func Example() {
	done := make(chan struct{})
	failures := 1
	billing := &delivery.Destination{
		Name: "billing",
		Policy: delivery.Policy{
			Concurrency: 1,
			Retry:       delivery.RetryPolicy{Backoff: delivery.Schedule{Delays: []time.Duration{10 * time.Millisecond}}},
		},
		Forwarder: delivery.ForwarderFunc(func(_ context.Context, try *delivery.Try) delivery.Result {
			fmt.Println(try.Event.Type, "attempt", try.Attempt, try.Trigger)
			if failures > 0 {
				failures--
				return delivery.Result{Status: 503}
			}
			close(done)
			return delivery.Result{Status: 200}
		}),
	}

	store := memstore.New(memstore.Options{})
	engine := delivery.NewEngine(delivery.Options{Store: store})
	engine.Attach(&delivery.Routes{Destinations: map[string]*delivery.Destination{"billing": billing}})
	if err := engine.Start(); err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	receipts, err := store.Enqueue(ctx, []queue.NewEvent{{
		Event:      queue.Event{Source: "shop", EventID: "evt_1", Type: "invoice.paid", ReceivedAt: time.Now()},
		Deliveries: []queue.NewDelivery{{Destination: "billing"}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	<-done
	if err := engine.Close(ctx); err != nil {
		fmt.Println(err)
	}
	deliveries, err := store.Deliveries(ctx, receipts[0].ID)
	fmt.Println(deliveries[0].State, err)
	// Output:
	// invoice.paid attempt 1 first
	// invoice.paid attempt 2 retry
	// delivered <nil>
}
