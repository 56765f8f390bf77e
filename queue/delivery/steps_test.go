package delivery

import (
	"context"
	"errors"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-webhooks/sluice/queue"
)

// pick chooses a delivery.
func (r *modelRun) pick() (key modelKey, ok bool) {
	if len(r.events) == 0 {
		return modelKey{}, false
	}
	key = modelKey{rapid.SampledFrom(r.events).Draw(r.t, "event"), rapid.SampledFrom(modelNames).Draw(r.t, "destination")}
	r.model.mu.Lock()
	defer r.model.mu.Unlock()
	return key, r.model.deliveries[key] != nil
}

func (r *modelRun) leased(key modelKey) bool {
	deliveries, err := r.store.Deliveries(context.Background(), key.event)
	if err != nil {
		r.t.Fatal(err)
	}
	return slices.ContainsFunc(deliveries, func(d queue.Delivery) bool {
		return d.Destination == key.destination && d.State == queue.StateDelivering
	})
}

func (r *modelRun) replay() {
	key, ok := r.pick()
	if !ok {
		return
	}
	r.model.mu.Lock()
	defer r.model.mu.Unlock()
	d := r.model.deliveries[key]
	for other, o := range r.model.deliveries {
		sameKey := other == key || d.orderKey != "" && o.orderKey == d.orderKey && other.destination == key.destination
		if sameKey && r.leased(other) {
			return // the store takes its lease away, or lets a later one of the order key finish first: as documented, and beyond this model
		}
	}
	if err := r.store.Replay(context.Background(), key.event, key.destination, d.orderKey); err != nil {
		r.t.Fatal(err)
	}
	d.settled, d.aside, d.due, d.joins, d.replayed = 0, false, time.Time{}, time.Time{}, true
}

func (r *modelRun) cancel() {
	key, ok := r.pick()
	if !ok {
		return
	}
	r.model.mu.Lock()
	defer r.model.mu.Unlock()
	d := r.model.deliveries[key]
	if r.leased(key) {
		return // as with a replay: the next one of its key would not wait for the attempt under way
	}
	err := r.store.Cancel(context.Background(), key.event, key.destination)
	if (err == nil) != (d.settled == 0) || err != nil && !errors.Is(err, queue.ErrNotFound) {
		r.t.Fatalf("cancel of %v, which is %s: %v", key, d.settled, err)
	}
	if err == nil {
		d.settled = queue.StateCancelled
	}
}

func (r *modelRun) pause(name string, paused bool) {
	r.model.mu.Lock()
	r.model.paused[name] = false
	r.model.mu.Unlock()
	do := r.engine.Resume
	if paused {
		do = r.engine.Pause
	}
	if err := do(context.Background(), name); err != nil {
		r.t.Fatal(err)
	}
	r.model.mu.Lock()
	defer r.model.mu.Unlock()
	r.model.paused[name] = paused
}

// stop ends the engine: in peace, impatiently, or by a crash that nothing of what is under way survives.
func (r *modelRun) stop(how string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if how != "peace" {
		cancel()
	}
	if how == "crash" {
		r.handle.crash()
	}
	r.handle.Heal()
	err := r.engine.Close(ctx)
	if how == "peace" && err != nil {
		r.t.Fatal("close:", err)
	}
}
