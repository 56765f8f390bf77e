package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	appName      = "webhooks"
	defaultStore = "badger"
)

func init() {
	caddy.RegisterModule(new(App))
}

// App is Sluice, the webhook gateway: it keeps the events that `webhook` handlers accept in a durable store and delivers them to their destinations.
// There is at most one in a configuration; it is made with its defaults when a `webhook` handler needs it and none is configured.
type App struct {
	// Where events are kept. Default: `badger` in the directory `webhooks` of Caddy's data directory.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=webhooks.stores inline_key=module"`

	// After which age history is pruned. Pending and held deliveries never are.
	Retain *Retain `json:"retain,omitempty"`

	// The user's own providers by name: the same data as an entry of the built-in catalogue. An entry with the id of a
	// built-in provider, or with `extends`, changes only the fields it sets.
	Providers map[string]*ProviderConfig `json:"providers,omitempty"`

	// Destinations by name: where events go and how.
	Destinations map[string]*Destination `json:"destinations,omitempty"`

	// Alerts by name: who is told when something needs attention.
	Alerts map[string]*Alert `json:"alerts,omitempty"`

	ctx     caddy.Context
	serving context.Context // ends before Caddy's servers shut down, which wait for their requests; ctx ends after that
	logger  *zap.Logger
	events  *caddyevents.App
	store   StoreModule
	metrics *metrics
	tracers *tracers
	keys    *cachedFetcher // of published keys; set while this configuration uses it

	mu       sync.Mutex
	sources  map[string]*Handler // by source name; filled by the handlers' Provision
	inlines  map[string]*Destination
	opened   chan struct{} // made when opening begins (by Start or by the first request that comes before it), closed when it ends
	attach   *generation
	stopped  bool
	released bool

	hidden sync.Map                // *derived by derivedKey
	ready  atomic.Pointer[runtime] // set when opening has succeeded; it stays for requests that outlive this configuration
	failed error                   // why opening failed; to be read when opened is closed
}

// Retain says after which age history is pruned.
type Retain struct {
	// Events whose deliveries were all delivered, cancelled or filtered. Default: 7 days.
	Delivered caddy.Duration `json:"delivered,omitempty"`
	// Events with a dead delivery. Default: 30 days.
	Dead caddy.Duration `json:"dead,omitempty"`
	// Requests that were refused (the quarantine). Default: 24 hours.
	Rejected caddy.Duration `json:"rejected,omitempty"`
}

const (
	defaultRetainDelivered = 7 * 24 * time.Hour
	defaultRetainDead      = 30 * 24 * time.Hour
	defaultRetainRejected  = 24 * time.Hour
)

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: appName, New: func() caddy.Module { return new(App) }}
}

// Provision resolves the configuration. It touches neither the disk nor the network, because Caddy also provisions configurations that it never starts.
func (app *App) Provision(ctx caddy.Context) error {
	app.ctx, app.logger = ctx, ctx.Logger()
	app.sources = make(map[string]*Handler)
	app.inlines = make(map[string]*Destination)
	if err := app.checkJSON(); err != nil {
		return err
	}
	app.tracers = newTracers(app.shown)
	app.keys = keyFetcher
	app.keys.use()
	app.metrics = registerMetrics(ctx.GetMetricsRegistry(), app)
	if app.Retain == nil {
		app.Retain = new(Retain)
	}
	setDefault(&app.Retain.Delivered, defaultRetainDelivered)
	setDefault(&app.Retain.Dead, defaultRetainDead)
	setDefault(&app.Retain.Rejected, defaultRetainRejected)

	events, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("loading events app: %w", err)
	}
	app.events = events.(*caddyevents.App)
	serving, stop := context.WithCancel(ctx)
	app.serving = serving
	if err := app.events.On("stopping", stopping(stop)); err != nil {
		stop()
		return fmt.Errorf("subscribing to the end of the configuration: %w", err)
	}

	if app.StoreRaw == nil {
		app.StoreRaw = json.RawMessage(`{"module":"` + defaultStore + `"}`)
	}
	store, err := ctx.LoadModule(app, "StoreRaw")
	if err != nil {
		return fmt.Errorf("loading store: %w", err)
	}
	var ok bool
	if app.store, ok = store.(StoreModule); !ok {
		return fmt.Errorf("store %T is not a store of this version of Sluice", store)
	}

	for _, name := range sortedKeys(app.Destinations) {
		if err := app.Destinations[name].provision(ctx, app, name); err != nil {
			return fmt.Errorf("destination %s: %w", name, err)
		}
	}
	for _, name := range sortedKeys(app.Alerts) {
		if err := app.Alerts[name].provision(app, name); err != nil {
			return fmt.Errorf("alert %s: %w", name, err)
		}
	}
	return nil
}

// stopping is called when Caddy begins to stop a configuration.
type stopping context.CancelFunc

// Handle implements caddyevents.Handler.
func (stop stopping) Handle(context.Context, caddy.Event) error {
	stop()
	return nil
}

func setDefault(d *caddy.Duration, value time.Duration) {
	if *d == 0 {
		*d = caddy.Duration(value)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// register makes a source known. Caddy provisions a handler once for each server that has it: the same name twice is one source if the
// configuration is the same, and an error if it is not.
func (app *App) register(h *Handler) error {
	app.mu.Lock()
	defer app.mu.Unlock()
	if other, ok := app.sources[h.Name]; ok {
		if !other.sameConfig(h) {
			return fmt.Errorf("source %q is configured twice with different options: give one of them another name with `name <name>`", h.Name)
		}
		h.secrets = other.secrets // what a handshake brings to one of them is live for both
		return nil
	}
	app.sources[h.Name] = h
	return nil
}

// Start opens the store, unless a configuration before this one did, and makes this configuration's routes the active ones.
func (app *App) Start() error {
	if err := app.checkAlertSources(); err != nil {
		return err
	}
	rt, err := app.acquire(app.ctx)
	if err != nil {
		return err
	}
	app.mu.Lock()
	defer app.mu.Unlock()
	if app.attach == nil && !app.stopped {
		app.attach = rt.attach(app)
	}
	return nil
}

// acquire returns the runtime that this configuration shares with those before and after it. It is called by Start and by requests, because Caddy starts
// apps in any order and the first request may come before Start. Opening may take long (another process may be on its way out); who waits for
// it waits no longer than ctx. A request that outlives its configuration goes on with the runtime it had: if nobody else uses it, its store says ErrClosed. So does one
// that came to a configuration whose loading failed before it had one: then it is that of the configuration that goes on.
func (app *App) acquire(ctx context.Context) (*runtime, error) {
	if rt := app.ready.Load(); rt != nil {
		return rt, nil
	}
	app.mu.Lock()
	if app.stopped && app.opened == nil {
		app.mu.Unlock()
		return sharedRuntime(app.store)
	}
	if app.opened == nil {
		app.opened = make(chan struct{})
		go app.open(app.opened) // Cleanup waits for it
	}
	opened := app.opened
	app.mu.Unlock()
	select {
	case <-opened:
		return app.ready.Load(), app.failed
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: it is being opened", queue.ErrClosed)
	}
}

// open opens the store or joins the configuration that has it open.
func (app *App) open(opened chan<- struct{}) {
	defer close(opened)
	rt, err := acquireRuntime(app)
	if err != nil {
		app.failed = err
		return
	}
	if err := app.adoptHandshakeSecrets(app.ctx, rt.store); err != nil {
		app.logger.Error("secrets that handshakes brought cannot be read", zap.Error(err))
	}
	if err := app.keepPrivacy(app.ctx, rt.store); err != nil {
		app.logger.Error("what sources hide cannot be kept for after they are gone", zap.Error(err))
	}
	if err := app.keepForwards(app.ctx, rt.store); err != nil {
		app.logger.Error("how forwards change events cannot be kept for after they are gone", zap.Error(err))
	}
	app.countUses(&rt.rollup.uses)
	app.ready.Store(rt)
}

// Stop takes this configuration's routes away; an older configuration that still runs, or the next one, has its own. It does not close the store.
func (app *App) Stop() error {
	app.mu.Lock()
	gen := app.attach
	app.attach, app.stopped = nil, true
	app.mu.Unlock()
	if gen != nil {
		gen.detach()
	}
	return nil
}

// Cleanup gives the store back; the last configuration that uses it closes it. Caddy calls it without Stop if loading fails late, and
// also if Provision failed half-way: then nothing was acquired and nothing is given back.
func (app *App) Cleanup() error {
	if err := app.Stop(); err != nil {
		return err
	}
	app.mu.Lock()
	opened, released := app.opened, app.released
	app.released = true
	app.mu.Unlock()
	if app.keys != nil && !released {
		app.keys.release()
	}
	if opened == nil || released {
		return nil
	}
	<-opened
	if rt := app.ready.Load(); rt != nil {
		return rt.release()
	}
	return nil
}

func (app *App) retention() queue.Retention {
	return queue.Retention{Delivered: time.Duration(app.Retain.Delivered), Dead: time.Duration(app.Retain.Dead)}
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
