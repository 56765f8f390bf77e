package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// clock sets the gateway's clock to the time of the test, after some time.
func (r *alertRig) clock(after time.Duration) {
	r.at = r.at.Add(after)
	at := r.at
	setClock(r.t, func() time.Time { return at })
}

// restart stops the gateway and starts it again, after some time.
func (r *alertRig) restart(after time.Duration, rules, site string) {
	r.t.Helper()
	r.clock(after)
	if err := r.gateway.restart(r.options(rules), site); err != nil {
		r.t.Fatal(err)
	}
	var err error
	if r.app, err = activeApp(); err != nil {
		r.t.Fatal(err)
	}
	r.watcher = stoppedWatcher(r.t)
}

// stateOf waits until the only delivery to a destination is in a state.
func (r *alertRig) stateOf(destination string, state queue.State) (id queue.ID) {
	r.t.Helper()
	eventually(r.t, destination+" is "+state.String(), func() bool {
		page, err := runningStore(r.t).Events(r.t.Context(), queue.Filter{Destination: destination, States: []queue.State{state}})
		if err != nil {
			r.t.Fatal(err)
		}
		if len(page.Events) == 1 {
			id = page.Events[0].Event.ID
		}
		return id != 0
	})
	return id
}

// TestAlertsOutliveARestart has every kind of alert whose evidence is not in the store as such fire before a restart. None of them is over because the gateway
// has forgotten why it began, and none begins once more.
func TestAlertsOutliveARestart(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	app := startApplication(t, func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(500)
		}
	})
	source := "restarted-" + time.Now().Format("150405.000000000")
	rules := "on dead 60s\n on breaker_open\n on refused 3 per 10m\n on secret_unused 20s\n on silent quiet 20s"
	site := fmt.Sprintf(`handle /quiet {
		webhook stripe {
			name quiet
			secret whsec_quiet
		}
	}
	webhook stripe {
		name %s
		secret %s
		dedup off
		forward %s/dies {
			retry none
			breaker off
		}
		forward %s/waits {
			retry 10h
			breaker 1 10h
		}
	}`, source, testSecret, app.URL, app.URL)
	dies, waits := inlineName(source, app.URL+"/dies"), inlineName(source, app.URL+"/waits")
	r := startAlerts(t, rules, site)
	r.clock(0)
	r.look(0)
	sendStripe(t, r.gateway, "/")
	app.await(t, 2)
	r.stateOf(dies, queue.StateDead)
	for range 4 {
		r.gateway.do(http.MethodPost, "/", nil, "{}")
	}
	eventually(t, "breaker is open", func() bool {
		status, err := r.watcher.rt.engine.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range status {
			if d.Name == waits && d.Held {
				return true
			}
		}
		return false
	})
	r.look(30 * time.Second)
	r.messages(6) // a secret of each source, and one of each other kind

	for range 3 {
		r.restart(time.Second, rules, site)
		r.look(5 * time.Second)
		r.look(5 * time.Second)
		r.messages(6)
	}
	r.look(20 * time.Minute)
	over := map[string]bool{}
	r.messages(8)
	for _, m := range r.ops.all()[6:] {
		for _, kind := range []string{"dead", "refused"} {
			over[kind] = over[kind] || strings.Contains(string(m.body), `"state":"resolved"`) && strings.Contains(string(m.body), `"condition":"`+kind+`"`)
		}
	}
	if len(over) != 2 {
		t.Errorf("over: %v", over)
	}
	down.Store(false)
	if err := runningStore(t).Replay(t.Context(), r.stateOf(waits, queue.StatePending), waits, ""); err != nil {
		t.Fatal(err)
	}
	r.stateOf(waits, queue.StateDelivered)
	r.look(time.Second)
	if m := r.messages(9); m.State != "resolved" || m.Kind != "breaker_open" {
		t.Errorf("%+v", m)
	}
	r.clock(0)
	r.gateway.sendSigned(provider(t, "stripe"), testSecret, "/", stripeEvent, r.at)
	r.look(time.Second)
	if m := r.messages(10); m.State != "resolved" || m.Kind != "secret_unused" || m.Subject != source+"/1" {
		t.Errorf("%+v", m)
	}
}

// TestAlertOnWhatWasBeforeARestart begins what no look saw: a death just before, and a secret that is unused for longer than the gateway runs at a time.
func TestAlertOnWhatWasBeforeARestart(t *testing.T) {
	app := startApplication(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	rules := "on dead 15m\n on secret_unused 7d"
	site := fmt.Sprintf("webhook stripe {\n secret %s\n forward %s {\n retry none\n breaker off\n}\n}", testSecret, app.URL)
	r := startAlerts(t, rules, site)
	r.clock(0)
	sendStripe(t, r.gateway, "/")
	app.await(t, 1)
	r.stateOf(inlineName("stripe", app.URL), queue.StateDead)
	r.restart(time.Second, rules, site)
	r.look(5 * time.Second)
	if m := r.messages(1); m.State != "firing" || m.Kind != "dead" {
		t.Errorf("%+v", m)
	}
	r.restart(5*24*time.Hour, rules, site)
	r.look(5 * time.Second)
	r.messages(1)
	r.look(time.Hour)
	if m := r.messages(2); m.State != "resolved" || m.Kind != "dead" {
		t.Errorf("%+v", m)
	}
	r.look(3 * 24 * time.Hour)
	if m := r.messages(3); m.State != "firing" || m.Kind != "secret_unused" {
		t.Errorf("%+v", m)
	}
}
