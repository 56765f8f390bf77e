package caddymodule

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// observerHub hears from the engine and tells the newest attached configuration: metrics, logs and Caddy events. Caddy's event handlers run in
// the goroutine that emits and may be slow, so events go through a bounded queue of their own.
type observerHub struct {
	mu   sync.Mutex
	apps []*App               // in the order of attachment
	died map[string]time.Time // when a delivery to a destination last died here

	rollup *rollup // set before anything is observed

	emitting sync.WaitGroup
	events   chan emission
	logger   *zap.Logger
}

// emission is a Caddy event on its way out.
type emission struct {
	app  *App
	name string
	data map[string]any
}

// maxEmissions bounds the events that wait for slow handlers. Beyond it they are dropped, and the drop is logged: hooks are a convenience, the metrics and
// the store have it all.
const maxEmissions = 1024

func newObserverHub(logger *zap.Logger) *observerHub {
	hub := &observerHub{died: map[string]time.Time{}, events: make(chan emission, maxEmissions), logger: logger}
	hub.emitting.Go(func() {
		for e := range hub.events {
			e.app.events.Emit(e.app.ctx, e.name, e.data)
		}
	})
	return hub
}

// close waits until what was emitted was handled. Nothing may be reported afterwards.
func (hub *observerHub) close() {
	close(hub.events)
	hub.emitting.Wait()
}

func (hub *observerHub) push(app *App) {
	hub.mu.Lock()
	defer hub.mu.Unlock()
	hub.apps = append(hub.apps, app)
}

func (hub *observerHub) remove(app *App) {
	hub.mu.Lock()
	defer hub.mu.Unlock()
	hub.apps = slices.DeleteFunc(hub.apps, func(a *App) bool { return a == app })
}

// active is the newest attached configuration; nil between the last one and the next.
func (hub *observerHub) active() *App {
	hub.mu.Lock()
	defer hub.mu.Unlock()
	if len(hub.apps) == 0 {
		return nil
	}
	return hub.apps[len(hub.apps)-1]
}

// deaths returns when a delivery to a destination last died, of those to which that happened since the gateway was started.
func (hub *observerHub) deaths() map[string]time.Time {
	hub.mu.Lock()
	defer hub.mu.Unlock()
	return maps.Clone(hub.died)
}

func (hub *observerHub) noteDeath(destination string) {
	hub.mu.Lock()
	defer hub.mu.Unlock()
	hub.died[destination] = now()
}

// retention is what the active configuration keeps; nothing is pruned while there is none.
func (hub *observerHub) retention() queue.Retention {
	if app := hub.active(); app != nil {
		return app.retention()
	}
	return queue.Retention{}
}

// rejected is for how long the active configuration keeps refused requests; 0 while there is none.
func (hub *observerHub) rejected() time.Duration {
	if app := hub.active(); app != nil {
		return time.Duration(app.Retain.Rejected)
	}
	return 0
}

// emit hands an event to the subscribers of the active configuration, if it has any.
func (hub *observerHub) emit(name string, data map[string]any) {
	app := hub.active()
	if app == nil || app.events == nil {
		return
	}
	select {
	case hub.events <- emission{app: app, name: name, data: data}:
	default:
		hub.logger.Warn("event was not emitted: handlers are too slow", zap.String("event", name))
	}
}

// shown is an event as logs and those who look on may see it.
func (hub *observerHub) shown(e *queue.Event) *queue.Event {
	if app := hub.active(); app != nil {
		return app.shown(e)
	}
	return &queue.Event{ID: e.ID, Source: e.Source, Provider: e.Provider, ReceivedAt: e.ReceivedAt} // nobody knows what its source hides
}

// AttemptFinished implements [delivery.Observer].
func (hub *observerHub) AttemptFinished(r delivery.AttemptReport) {
	r.Event = hub.shown(r.Event)
	tellAttempt(&r)
	hub.rollup.attempt(r.Destination, r.Attempt.Class == "", r.Attempt.At, r.Attempt.Duration)
	outcome := r.Attempt.Class
	if outcome == "" {
		outcome = "delivered"
	}
	processMetrics.attempts.WithLabelValues(r.Destination, outcome).Inc()
	processMetrics.attemptSec.WithLabelValues(r.Destination).Observe(r.Attempt.Duration.Seconds())
	fields := []zap.Field{
		zap.Stringer("event", r.Event.ID), zap.String("event_id", r.Event.EventID), zap.String("source", r.Event.Source),
		zap.String("destination", r.Destination), zap.Int("attempt", r.Attempt.Number), zap.Int("status", r.Attempt.Status),
		zap.Duration("duration", r.Attempt.Duration),
	}
	if r.Attempt.Class == "" {
		hub.logger.Debug("attempt succeeded", fields...)
		return
	}
	fields = append(fields, zap.String("class", r.Attempt.Class), zap.String("reason", r.Attempt.Error))
	if r.State == queue.StatePending {
		fields = append(fields, zap.Time("next", r.Due))
	}
	hub.logger.Info("attempt failed", fields...)
}

// DeliverySettled implements [delivery.Observer].
func (hub *observerHub) DeliverySettled(r delivery.SettledReport) {
	r.Event = hub.shown(r.Event)
	tellSettled(&r)
	processMetrics.deliveries.WithLabelValues(r.Destination, r.State.String()).Inc()
	if r.State == queue.StateDead {
		hub.noteDeath(r.Destination)
	}
	fields := []zap.Field{
		zap.Stringer("event", r.Event.ID), zap.String("event_id", r.Event.EventID), zap.String("source", r.Event.Source),
		zap.String("destination", r.Destination), zap.Int("attempts", r.Attempts), zap.Duration("age", r.Age),
	}
	if r.State == queue.StateDelivered {
		processMetrics.age.WithLabelValues(r.Destination).Observe(r.Age.Seconds())
		hub.logger.Debug("delivered", fields...)
		return
	}
	hub.rollup.died(r.Destination, r.Event.ReceivedAt.Add(r.Age))
	hub.logger.Warn("delivery is dead", append(fields, zap.String("class", r.LastError), zap.Int("status", r.LastStatus))...)
	hub.emit("webhook_dead", map[string]any{
		"event": r.Event.ID.String(), "event_id": r.Event.EventID, "type": r.Event.Type, "source": r.Event.Source,
		"destination": r.Destination, "attempts": r.Attempts, "status": r.LastStatus, "class": r.LastError,
	})
}

// BreakerChanged implements [delivery.Observer].
func (hub *observerHub) BreakerChanged(destination string, from, to delivery.BreakerState) {
	open := 0.0
	if to != delivery.BreakerClosed {
		open = 1
	}
	processMetrics.breaker.WithLabelValues(destination).Set(open)
	tellDestination(tailBreaker, destination, to.String())
	hub.rollup.breaker(destination, breakerChange{At: now().UTC(), State: to.String()})
	hub.logger.Info("breaker changed", zap.String("destination", destination), zap.Stringer("from", from), zap.Stringer("to", to))
	switch {
	case to == delivery.BreakerOpen && from == delivery.BreakerClosed:
		hub.emit("webhook_breaker_open", map[string]any{"destination": destination})
	case to == delivery.BreakerClosed:
		hub.emit("webhook_breaker_closed", map[string]any{"destination": destination})
	}
}

// PauseChanged implements [delivery.Observer].
func (hub *observerHub) PauseChanged(destination string, paused bool) {
	name := "webhook_resumed"
	if paused {
		name = "webhook_paused"
	}
	tellDestination(tailPause, destination, strings.TrimPrefix(name, "webhook_"))
	hub.logger.Info("destination paused or resumed", zap.String("destination", destination), zap.Bool("paused", paused))
	hub.emit(name, map[string]any{"destination": destination})
}

// StoreFailing implements [delivery.Observer].
func (hub *observerHub) StoreFailing(err error) {
	if err == nil {
		hub.logger.Info("store takes settlements again")
		hub.emit("webhook_store_recovered", nil)
		return
	}
	hub.logger.Error("store refuses settlements", zap.Error(err))
	hub.emit("webhook_store_failed", map[string]any{"at": time.Now().UTC().Format(time.RFC3339)})
}

var _ delivery.Observer = (*observerHub)(nil)
