package caddymodule

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
	"github.com/sluice-webhooks/sluice/queue/reopen"
)

func init() {
	caddy.RegisterModule(new(alertRecorder))
}

// alertRecorder handles Caddy events: it keeps what alerts say.
type alertRecorder struct{}

var recordedAlerts struct {
	sync.Mutex
	said []string
}

func (*alertRecorder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.alert_recorder", New: func() caddy.Module { return new(alertRecorder) }}
}

func (*alertRecorder) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}

func (*alertRecorder) Handle(_ context.Context, e caddy.Event) error {
	recordedAlerts.Lock()
	defer recordedAlerts.Unlock()
	recordedAlerts.said = append(recordedAlerts.said, fmt.Sprintf("%v %v", e.Data["alert"], e.Data["state"]))
	return nil
}

// awaitAlerts waits for so many Caddy events, and returns them.
func awaitAlerts(t *testing.T, n int) (said []string) {
	t.Helper()
	eventually(t, "Caddy events of alerts", func() bool {
		recordedAlerts.Lock()
		defer recordedAlerts.Unlock()
		said = slices.Clone(recordedAlerts.said)
		return len(said) >= n
	})
	return said
}

// TestAlertsOfAFullStore has a store that is full for one of two destinations. The other one is told, and all is said once in the log and as Caddy events; the
// message that waits leaves as soon as there is room, also after a restart, and before the one that follows it.
func TestAlertsOfAFullStore(t *testing.T) {
	recordedAlerts.said = nil
	ops, slow := startApplication(t, nil), startApplication(t, nil)
	g := startGateway(t, "", "webhook stripe {\n secret "+testSecret+"\n}")
	start := func() *watcher {
		config := g.caddyfile(fmt.Sprintf("destination slow {\n to %s\n}\ndestination ops {\n to %s\n}\n"+
			"alert aaa {\n on silent stripe 1m\n to slow\n}\nalert zzz {\n on silent stripe 1m\n to ops\n}", slow.URL, ops.URL),
			"webhook stripe {\n secret "+testSecret+"\n dedup off\n forward slow\n}")
		config = strings.Replace(config, "min_free 1KiB", "min_free 1KiB\n max_pending 1", 1)
		config = strings.Replace(config, "admin off", "admin off\n events {\n on webhook_alert alert_recorder\n }", 1)
		adapted, err := adapt(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := loadRaw(adapted); err != nil {
			t.Fatal(err)
		}
		return stoppedWatcher(t)
	}
	w := start()
	if err := w.rt.engine.Pause(t.Context(), "slow"); err != nil {
		t.Fatal(err)
	}
	sendStripe(t, g, "/")
	if resp, _ := g.sendSigned(provider(t, "stripe"), testSecret, "/", stripeEvent, time.Now()); resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("store is not full: %s", resp.Status)
	}
	at := time.Now()
	look := func(after time.Duration) {
		t.Helper()
		at = at.Add(after)
		app, err := activeApp()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.look(t.Context(), app, at); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		look(2 * time.Minute)
	}
	if got := ops.await(t, 1); !strings.Contains(string(got[0].body), `"alert":"zzz"`) {
		t.Errorf("%s", got[0].body)
	}
	if said := awaitAlerts(t, 2); !slices.Equal(said, []string{"aaa firing", "zzz firing"}) {
		t.Errorf("said: %v", said)
	}
	at = time.Now() // the event that came is not silence
	look(time.Second)
	awaitAlerts(t, 4)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	w = start()
	look(time.Second)
	if err := w.rt.engine.Resume(t.Context(), "slow"); err != nil {
		t.Fatal(err)
	}
	for n, state := range []string{"", "firing", "resolved"} {
		if got := slow.await(t, n+1)[n]; state != "" && !strings.Contains(string(got.body), `"alert.`+state+`"`) {
			t.Errorf("message %d: %s", n, got.body)
		}
		eventually(t, "there is room", func() bool { return pendingTo(t, w.rt.store, "slow") == 0 })
		look(time.Second)
	}
	if said := awaitAlerts(t, 4); len(said) != 4 || len(slow.all()) != 3 || len(ops.await(t, 2)) != 2 {
		t.Errorf("said %v; messages: %d and %d", said, len(slow.all())-1, len(ops.all()))
	}
}

func pendingTo(t *testing.T, store queue.Inspector, destination string) uint64 {
	t.Helper()
	stats, err := store.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stats.Destinations[destination].Pending
}

// offlineWatcher is a watcher of a gateway that has no more than a store.
func offlineWatcher(t *testing.T) (*watcher, *queuetest.Faulty) {
	t.Helper()
	faulty := queuetest.NewFaulty(memstore.New(memstore.Options{}))
	store, err := reopen.New(reopen.Options{Open: func() (queue.Store, error) { return faulty, nil }, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	hub := newObserverHub(zap.NewNop())
	t.Cleanup(hub.close)
	w := &watcher{rt: &runtime{store: store, hub: hub}, logger: zap.NewNop()}
	if err := w.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w, faulty
}

// TestManyConditions has thousands of conditions begin at once: all are told, once, by that alert and by others, and all are remembered.
func TestManyConditions(t *testing.T) {
	const destinations = 3000
	w, faulty := offlineWatcher(t)
	app, at := &App{Alerts: map[string]*Alert{"many": {To: "ops", name: "many"}, "one": {To: "ops", name: "one"}}}, time.Now()
	begin := func() {
		w.holds(app.Alerts["one"], finding{Kind: "disk_low", Summary: "less than 1 GiB are free on the store's disk"}, at)
		for i := range destinations {
			name := fmt.Sprintf("https://application-%d.example.com/webhooks/incoming", i)
			w.holds(app.Alerts["many"], finding{Kind: "breaker_open", Subject: name, Summary: "breaker of " + name + " is open: 1 deliveries are held"}, at)
		}
		if err := w.save(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	restart := func() {
		w = &watcher{rt: w.rt, logger: w.logger}
		if err := w.load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	begin()
	restart()
	if len(w.state) != destinations+1 || len(w.owed["many"]) != destinations || len(w.owed["one"]) != 1 {
		t.Fatalf("%d conditions, %d and %d messages", len(w.state), len(w.owed["many"]), len(w.owed["one"]))
	}
	faulty.Inject(queuetest.OpEnqueue, queuetest.Fault{Err: queue.ErrTooLarge, Times: 2}) // the first commit, and the first message by itself
	w.send(t.Context(), app, at)
	begin() // nothing of it is new
	restart()
	if stats, err := w.rt.store.Stats(t.Context()); err != nil || stats.Destinations["ops"].Pending != destinations || len(w.owed) != 0 || len(w.state) != destinations+1 {
		t.Errorf("%d messages, %d conditions, owed %v: %v", stats.Destinations["ops"].Pending, len(w.state), w.owed, err)
	}
	clear(w.state)
	w.changed = true
	if err := w.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if restart(); len(w.state) != 0 {
		t.Errorf("%d conditions are left", len(w.state))
	}
}

// TestOwedMessages has the store fail once: a message stays behind the one before it, and a repetition takes the place of what it repeats.
func TestOwedMessages(t *testing.T) {
	w, faulty := offlineWatcher(t)
	app, at := &App{Alerts: map[string]*Alert{"a": {To: "ops"}}}, time.Now()
	f := firing{Alert: "a", Since: at, Told: at, finding: finding{Kind: "disk_low"}}
	for i := range 2 * maxOwed {
		w.tell("firing", firing{Alert: "a", Since: at.Add(time.Duration(i))}, at)
	}
	if owed := w.owed["a"]; len(owed) != maxOwed || !owed[0].Since.Equal(at.Add(maxOwed)) {
		t.Errorf("%d messages wait, from %s on", len(owed), owed[0].Since)
	}
	clear(w.owed)
	w.tell("firing", f, at)
	f.Told = at.Add(time.Minute)
	w.tell("firing", f, f.Told)
	w.tell("resolved", f, at.Add(time.Hour))
	w.tell("firing", firing{Alert: "of another configuration", Since: at}, at)
	types := func() (types []string) {
		page, err := w.rt.store.Events(t.Context(), queue.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events { // newest first
			types = append([]string{e.Event.Type}, types...)
		}
		return types
	}
	faulty.Inject(queuetest.OpEnqueue, queuetest.Fault{Err: queue.ErrFull, Times: 2}) // both at once, and the first by itself
	if w.send(t.Context(), app, at); len(w.owed["a"]) != 2 || types() != nil {
		t.Errorf("%d messages wait, and stored is %v", len(w.owed), types())
	}
	if w.send(t.Context(), app, at); len(w.owed) != 0 || !slices.Equal(types(), []string{"alert.firing", "alert.resolved"}) {
		t.Errorf("%d messages wait, and stored is %v", len(w.owed), types())
	}
}
