package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/sluice-webhooks/sluice/queue"
)

// alertRig is a gateway whose alerts are looked at by the test, at times of its choice.
type alertRig struct {
	t       *testing.T
	gateway *testGateway
	ops     *application // receives the messages
	app     *App
	watcher *watcher
	at      time.Time
}

func startAlerts(t *testing.T, rules, site string) *alertRig {
	r := &alertRig{t: t, ops: startApplication(t, nil), at: time.Now()}
	r.gateway = startGateway(t, r.options(rules), site)
	var err error
	if r.app, err = activeApp(); err != nil {
		t.Fatal(err)
	}
	r.watcher = stoppedWatcher(t)
	return r
}

// stoppedWatcher is a watcher in place of the gateway's own, which looks no more: the test does.
func stoppedWatcher(t *testing.T) *watcher {
	t.Helper()
	app, err := activeApp()
	if err != nil {
		t.Fatal(err)
	}
	rt, err := app.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rt.alerts.close()
	rt.alerts = &watcher{quit: make(chan struct{})}
	return &watcher{rt: rt, logger: rt.logger, quit: make(chan struct{})}
}

func (r *alertRig) options(rules string) string {
	return fmt.Sprintf("destination ops {\n to %s\n}\nalert page {\n %s\n to ops\n}", r.ops.URL, rules)
}

// look looks once, after some time.
func (r *alertRig) look(after time.Duration) {
	r.t.Helper()
	r.at = r.at.Add(after)
	if err := r.watcher.look(r.t.Context(), r.app, r.at); err != nil {
		r.t.Fatal(err)
	}
}

// messages waits until n messages arrived and are settled, so that none of them is pending at a later look, and returns the last one.
func (r *alertRig) messages(n int) alertMessage {
	r.t.Helper()
	all := r.ops.await(r.t, n)
	eventually(r.t, "messages are settled", func() bool {
		stats, err := r.watcher.rt.store.Stats(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		return stats.Destinations["ops"].Pending == 0
	})
	if len(all) != n {
		r.t.Fatalf("%d messages, want %d: %s", len(all), n, all[len(all)-1].body)
	}
	var ce struct{ Data alertMessage }
	if err := json.Unmarshal(all[n-1].body, &ce); err != nil {
		r.t.Fatalf("%v in %s", err, all[n-1].body)
	}
	return ce.Data
}

func TestAlertOnSilentSource(t *testing.T) {
	r := startAlerts(t, "on silent stripe 10m", "webhook stripe {\n secret "+testSecret+"\n}")
	r.look(0)
	r.look(9 * time.Minute)
	r.look(2 * time.Minute)
	if m := r.messages(1); m.State != "firing" || m.Kind != "silent" || m.Subject != "stripe" {
		t.Errorf("%+v", m)
	}
	r.look(time.Hour) // still silent: one outage is one message
	at := r.at
	setClock(t, func() time.Time { return at })
	if resp, _ := r.gateway.sendSigned(provider(t, "stripe"), testSecret, "/", stripeEvent, r.at); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	r.look(time.Minute)
	if m := r.messages(2); m.State != "resolved" || !strings.HasPrefix(m.Summary, "over: ") {
		t.Errorf("%+v", m)
	}
}

// TestAlertOnUnknownSource wants a source that an alert names to be there: one that is misspelt would be silent for ever.
func TestAlertOnUnknownSource(t *testing.T) {
	const site = "webhook stripe {\n secret " + testSecret + "\n}"
	options := func(rule string) string {
		return "destination ops {\n to http://127.0.0.1:9\n}\nalert page {\n on " + rule + "\n to ops\n}"
	}
	g := startGateway(t, options("silent stripe 6h"), site)
	for _, rule := range []string{"silent stirpe 6h", "secret_unused 7d stirpe", "secret_old 7d stirpe"} {
		if err := g.load(options(rule), site); err == nil || !strings.Contains(err.Error(), `source "stirpe" is not configured: want one of stripe`) {
			t.Errorf("%s: %v", rule, err)
		}
	}
}

func TestAlertOnRefusedRequests(t *testing.T) {
	r := startAlerts(t, "on refused 3 per 5m", "webhook github {\n name refusing\n secret "+testSecret+"\n}")
	refuse := func(n int) {
		for range n {
			if resp, _ := r.gateway.do(http.MethodPost, "/", nil, "{}"); resp.StatusCode != 401 {
				t.Fatal(resp.Status)
			}
		}
	}
	refuse(1)
	r.look(0)
	refuse(3)
	r.look(time.Minute)
	refuse(1)
	r.look(time.Minute)
	if m := r.messages(1); m.Kind != "refused" || m.Subject != "refusing" {
		t.Errorf("%+v", m)
	}
	r.look(6 * time.Minute)
	if m := r.messages(2); m.State != "resolved" {
		t.Errorf("%+v", m)
	}
}

// TestAlertOnTheFirstRefusedRequests has a source refuse its first requests all at once, between two looks and before the first one.
func TestAlertOnTheFirstRefusedRequests(t *testing.T) {
	for name, before := range map[string]bool{"before the first look": true, "between two looks": false} {
		t.Run(name, func(t *testing.T) {
			source := "fresh-" + strings.ReplaceAll(name, " ", "-") + time.Now().Format("150405.000000000") // the counters are the process's
			r := startAlerts(t, "on refused 3 per 5m", "webhook github {\n name "+source+"\n secret "+testSecret+"\n}")
			if err := r.watcher.samples.begin(r.at, newRollup()); err != nil {
				t.Fatal(err)
			}
			if !before {
				r.look(time.Second)
			}
			for range 4 {
				if resp, _ := r.gateway.do(http.MethodPost, "/", nil, "{}"); resp.StatusCode != 401 {
					t.Fatal(resp.Status)
				}
			}
			r.look(time.Second)
			if m := r.messages(1); m.Kind != "refused" || m.Subject != source {
				t.Errorf("%+v", m)
			}
			r.look(6 * time.Minute)
			r.messages(2)
		})
	}
}

func TestAlertsOnAFailingApplication(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	app := startApplication(t, func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(500)
		}
	})
	r := startAlerts(t, "on dead\n on oldest_pending 10m\n on disk_low 1B", fmt.Sprintf(
		"webhook stripe {\n secret %s\n forward %s/dies {\n retry none\n breaker off\n}\n forward %s/waits {\n retry 10h\n breaker off\n}\n}", testSecret, app.URL, app.URL))
	r.look(0)
	sendStripe(t, r.gateway, "/")
	app.await(t, 2)
	store := runningStore(t)
	eventually(t, "one delivery is dead", func() bool {
		stats, err := store.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range stats.Destinations {
			if d.Dead == 1 {
				return true
			}
		}
		return false
	})
	r.look(time.Second)
	if m := r.messages(1); m.Kind != "dead" || !strings.HasSuffix(m.Subject, "dies") {
		t.Errorf("%+v", m)
	}
	r.look(11 * time.Minute)
	r.messages(3) // the first is over, the second begins
	r.watcher = &watcher{rt: r.watcher.rt, logger: r.watcher.logger, quit: make(chan struct{})}
	r.look(time.Minute) // a restart does not tell it again
	r.messages(3)
}

// TestAlertOnDeathsBetweenLooks has a delivery die before the first look, and again after it was replayed: at no look there are more dead deliveries than at the one before.
func TestAlertOnDeathsBetweenLooks(t *testing.T) {
	app := startApplication(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnprocessableEntity) })
	r := startAlerts(t, "on dead", "webhook stripe {\n secret "+testSecret+"\n forward "+app.URL+"/dies {\n dead_on 4xx\n breaker off\n}\n}")
	at := r.at
	setClock(t, func() time.Time { return at })
	sendStripe(t, r.gateway, "/")
	app.await(t, 1)
	died := func(attempts int) queue.ID {
		var id queue.ID
		eventually(t, "the delivery is dead", func() bool {
			page, err := runningStore(t).Events(t.Context(), queue.Filter{States: []queue.State{queue.StateDead}})
			if err != nil || len(page.Events) == 0 || page.Events[0].Deliveries[0].Attempts != attempts {
				return false
			}
			id = page.Events[0].Event.ID
			return len(r.watcher.rt.hub.deaths()) == 1
		})
		return id
	}
	id := died(1)
	r.look(0)
	if m := r.messages(1); m.State != "firing" || m.Kind != "dead" {
		t.Errorf("%+v", m)
	}
	r.look(10 * time.Minute)
	if m := r.messages(2); m.State != "resolved" {
		t.Errorf("%+v", m)
	}
	again := r.at
	setClock(t, func() time.Time { return again })
	page, err := runningStore(t).Events(t.Context(), queue.Filter{States: []queue.State{queue.StateDead}})
	if err != nil {
		t.Fatal(err)
	}
	if err := runningStore(t).Replay(t.Context(), id, page.Events[0].Deliveries[0].Destination, ""); err != nil {
		t.Fatal(err)
	}
	app.await(t, 2)
	died(2)
	eventually(t, "the death was noticed", func() bool {
		for _, when := range r.watcher.rt.hub.deaths() {
			return !when.Before(again)
		}
		return false
	})
	r.look(time.Second)
	if m := r.messages(3); m.State != "firing" || m.Kind != "dead" {
		t.Errorf("%+v", m)
	}
}

// lookOverTwoMinutes looks twice, two minutes of silence apart.
func lookOverTwoMinutes(t *testing.T) *runtime {
	t.Helper()
	app, err := activeApp()
	if err != nil {
		t.Fatal(err)
	}
	rt, err := app.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{rt: rt, logger: rt.logger, quit: make(chan struct{})}
	for _, after := range []time.Duration{0, 2 * time.Minute} {
		if err := w.look(t.Context(), app, time.Now().Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	return rt
}

func TestAlertToSlack(t *testing.T) {
	ops := startApplication(t, nil)
	startGateway(t, fmt.Sprintf("destination slack {\n to %s\n}\nalert page {\n on silent stripe 1m\n to slack\n format slack\n}", ops.URL),
		"webhook stripe {\n secret "+testSecret+"\n}")
	lookOverTwoMinutes(t)
	var message map[string]string
	if err := json.Unmarshal(ops.await(t, 1)[0].body, &message); err != nil || len(message) != 1 || !strings.Contains(message["text"], "source stripe has brought no event") {
		t.Errorf("%v %v", message, err)
	}
}

// TestAlertOnABreakerOfADestinationThatLeft takes a destination whose breaker is open out of the configuration: that it is open is over.
func TestAlertOnABreakerOfADestinationThatLeft(t *testing.T) {
	app := startApplication(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	const rules, source = "on breaker_open", "webhook stripe {\n secret " + testSecret + "\n%s\n}"
	r := startAlerts(t, rules, fmt.Sprintf(source, "forward "+app.URL+" {\n breaker 1 1h\n retry 10h\n}"))
	r.look(0)
	sendStripe(t, r.gateway, "/")
	name := inlineName("stripe", app.URL)
	eventually(t, "breaker is open", func() bool { return !r.watcher.rt.engine.Held("ops") && r.watcher.rt.engine.Held(name) })
	r.look(time.Second)
	if m := r.messages(1); m.State != "firing" || m.Kind != "breaker_open" || m.Subject != name {
		t.Errorf("%+v", m)
	}
	if err := r.gateway.load(r.options(rules), fmt.Sprintf(source, "")); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.app, err = activeApp(); err != nil {
		t.Fatal(err)
	}
	r.look(time.Second)
	if m := r.messages(2); m.State != "resolved" || m.Subject != name {
		t.Errorf("%+v", m)
	}
	var open dto.Metric
	if err := processMetrics.breaker.WithLabelValues(name).Write(&open); err != nil || open.GetGauge().GetValue() != 0 {
		t.Errorf("caddy_webhooks_breaker_open: %v, %v", &open, err)
	}
}
