package caddymodule

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	alertInterval = 5 * time.Second
	metaAlerts    = "alerts/state/"
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

// key tells an alert that was told from others.
func (f firing) key() string { return f.Alert + "/" + f.Kind + "/" + f.Subject }

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
	state   map[string]firing        // by key
	owed    map[string][]owedMessage // by alert, oldest first
	loaded  bool
	changed bool // since state and owed were saved
}

func newWatcher(rt *runtime) *watcher {
	w := &watcher{rt: rt, logger: rt.logger.Named("alerts"), quit: make(chan struct{})}
	if err := w.samples.begin(now(), rt.rollup.rollup); err != nil {
		w.logger.Warn("counters cannot be read yet", zap.Error(err))
	}
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
	if len(app.Alerts) == 0 && len(w.state) == 0 && len(w.owed) == 0 && w.loaded {
		return nil
	}
	if err := w.load(ctx); err != nil {
		return err
	}
	seen, err := w.samples.take(ctx, w.rt, app, at)
	if err != nil {
		return err
	}
	holding := make(map[string]bool)
	for _, name := range sortedKeys(app.Alerts) {
		alert := app.Alerts[name]
		for _, rule := range alert.On {
			for _, f := range seen.find(rule, at) {
				w.holds(alert, f, at)
				holding[firing{Alert: name, finding: f}.key()] = true
			}
		}
	}
	for _, key := range sortedKeys(w.state) {
		told := w.state[key]
		alert, ok := app.Alerts[told.Alert]
		if holding[key] || ok && seen.undecided(alert, told, at) {
			continue
		}
		if ok { // an alert that left the configuration ends silently
			told.Summary = "over: " + told.Summary
			w.tell("resolved", told, at)
		}
		delete(w.state, key)
		w.changed = true
	}
	_ = w.save(ctx) // what was said is not said again after a crash; a failure shows below
	w.send(ctx, app, at)
	return w.save(ctx)
}

// holds tells what begins, or is to be repeated.
func (w *watcher) holds(alert *Alert, f finding, at time.Time) {
	told := firing{Alert: alert.name, Since: at, finding: f}
	if before, known := w.state[told.key()]; known {
		if alert.Repeat == 0 || at.Sub(before.Told) < time.Duration(alert.Repeat) {
			return
		}
		told.Since = before.Since
	}
	told.Told = at
	w.tell("firing", told, at)
	w.state[told.key()] = told
}

func (w *watcher) load(ctx context.Context) error {
	if w.loaded {
		return nil
	}
	told, err := loadPages[firing](ctx, w.rt.store, metaAlerts)
	if err != nil {
		return fmt.Errorf("reading which alerts were told: %w", err)
	}
	owed, err := loadPages[owedMessage](ctx, w.rt.store, metaAlertsOwed)
	if err != nil {
		return fmt.Errorf("reading which messages of alerts are owed: %w", err)
	}
	w.state, w.owed, w.loaded = make(map[string]firing, len(told)), make(map[string][]owedMessage), true
	for _, f := range told {
		w.state[f.key()] = f
	}
	for _, m := range owed {
		w.owed[m.Alert] = append(w.owed[m.Alert], m)
	}
	return nil
}

// save keeps what was told and what is owed, if it is not what is kept already.
func (w *watcher) save(ctx context.Context) error {
	if !w.changed {
		return nil
	}
	var told []firing
	for _, key := range sortedKeys(w.state) {
		told = append(told, w.state[key])
	}
	var owed []owedMessage
	for _, name := range sortedKeys(w.owed) {
		owed = append(owed, w.owed[name]...)
	}
	err := savePages(ctx, w.rt.store, metaAlertsOwed, owed)
	if err == nil { // what counts as told is owed by now
		err = savePages(ctx, w.rt.store, metaAlerts, told)
	}
	if err != nil {
		return fmt.Errorf("keeping which alerts were told: %w", err)
	}
	w.changed = false
	return nil
}
