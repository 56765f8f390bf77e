package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	alertInterval = 5 * time.Second
	metaAlerts    = "alerts/state"
)

// finding is a condition that holds at present.
type finding struct {
	Kind    string `json:"condition"`
	Subject string `json:"subject,omitempty"` // the source or destination
	Summary string `json:"summary"`
}

// firing is an alert that was told and is not over.
type firing struct {
	Alert string    `json:"alert"`
	Since time.Time `json:"since"`
	Told  time.Time `json:"told"`
	finding
}

// alertMessage is the payload of an alert's event.
type alertMessage struct {
	State string `json:"state"` // firing or resolved
	firing
}

// watcher looks at the gateway at intervals and tells what needs attention. Its state is in the store, so that neither a reload nor a restart tells an outage twice.
type watcher struct {
	rt     *runtime
	logger *zap.Logger
	quit   chan struct{}
	wg     sync.WaitGroup

	samples alertSamples
	state   map[string]firing // by key
	loaded  bool
}

func newWatcher(rt *runtime) *watcher {
	w := &watcher{rt: rt, logger: rt.logger.Named("alerts"), quit: make(chan struct{})}
	w.wg.Go(w.run)
	return w
}

func (w *watcher) close() {
	close(w.quit)
	w.wg.Wait()
}

func (w *watcher) run() {
	ticker := time.NewTicker(alertInterval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-w.quit:
			return
		case <-ticker.C:
		}
		app := w.rt.hub.active()
		if app == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), alertInterval)
		err := w.look(ctx, app, now())
		if err != nil && !failing {
			w.logger.Warn("alerts cannot be checked, which is told once until they can", zap.Error(err))
		}
		failing = err != nil
		cancel()
	}
}

// look compares what holds now with what was told, and tells the difference.
func (w *watcher) look(ctx context.Context, app *App, at time.Time) error {
	if len(app.Alerts) == 0 && len(w.state) == 0 && w.loaded {
		return nil
	}
	if err := w.load(ctx); err != nil {
		return err
	}
	seen, err := w.samples.take(ctx, w.rt, app, at)
	if err != nil {
		return err
	}
	before := len(w.state)
	changed := false
	holding := make(map[string]bool)
	for _, name := range sortedKeys(app.Alerts) {
		alert := app.Alerts[name]
		for _, rule := range alert.On {
			for _, f := range seen.find(rule, at) {
				key := name + "/" + f.Kind + "/" + f.Subject
				holding[key] = true
				told, known := w.state[key]
				if known && (alert.Repeat == 0 || at.Sub(told.Told) < time.Duration(alert.Repeat)) {
					continue
				}
				if !known {
					told = firing{Alert: name, Since: at}
				}
				told.Told, told.finding = at, f
				if err := w.tell(ctx, alert, "firing", told, at); err != nil {
					return err
				}
				w.state[key], changed = told, true
			}
		}
	}
	for key, told := range w.state {
		if holding[key] {
			continue
		}
		if alert, ok := app.Alerts[told.Alert]; ok { // an alert that left the configuration ends silently
			told.Summary = "over: " + told.Summary
			if err := w.tell(ctx, alert, "resolved", told, at); err != nil {
				return err
			}
		}
		delete(w.state, key)
	}
	if changed || len(w.state) != before {
		return w.save(ctx)
	}
	return nil
}

// tell stores the message as an event with one delivery, and emits a Caddy event.
func (w *watcher) tell(ctx context.Context, a *Alert, state string, f firing, at time.Time) error {
	body, err := json.Marshal(alertMessage{State: state, firing: f})
	if err != nil {
		return fmt.Errorf("encoding alert %s: %w", a.name, err)
	}
	id := fmt.Sprintf("%s/%s/%s/%d/%s/%d", f.Alert, f.Kind, f.Subject, f.Since.UnixMilli(), state, f.Told.UnixMilli())
	_, err = w.rt.store.Enqueue(ctx, []queue.NewEvent{{
		Event: queue.Event{
			Source: alertSource, Provider: "sluice", ReceivedAt: at.Truncate(time.Millisecond), EventID: id, Type: "alert." + state, Time: at, Subject: f.Subject,
			Method: http.MethodPost, URL: "sluice:alerts", Header: http.Header{"Content-Type": {"application/json"}}, Body: body, SecretIndex: -1,
		},
		DedupKey: id, DedupWindow: 24 * time.Hour, Deliveries: []queue.NewDelivery{{Destination: a.destination()}},
	}})
	if err != nil {
		return fmt.Errorf("telling alert %s: %w", a.name, err)
	}
	w.logger.Warn("alert", zap.String("alert", f.Alert), zap.String("state", state), zap.String("condition", f.Kind), zap.String("subject", f.Subject),
		zap.String("summary", f.Summary))
	w.rt.hub.emit("webhook_alert", map[string]any{
		"alert": f.Alert, "state": state, "condition": f.Kind, "subject": f.Subject, "summary": f.Summary,
	})
	return nil
}

func (w *watcher) load(ctx context.Context) error {
	if w.loaded {
		return nil
	}
	w.state = make(map[string]firing)
	value, err := w.rt.store.Meta(ctx, metaAlerts)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return fmt.Errorf("reading which alerts were told: %w", err)
	}
	if err == nil {
		if err := json.Unmarshal(value, &w.state); err != nil {
			return fmt.Errorf("reading which alerts were told: %w", err)
		}
	}
	w.loaded = true
	return nil
}

func (w *watcher) save(ctx context.Context) error {
	value, err := json.Marshal(w.state)
	if err != nil {
		return fmt.Errorf("keeping which alerts were told: %w", err)
	}
	if err := w.rt.store.PutMeta(ctx, metaAlerts, value); err != nil {
		return fmt.Errorf("keeping which alerts were told: %w", err)
	}
	return nil
}
