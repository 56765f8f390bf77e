package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
	"github.com/sluice-webhooks/sluice/queue/reopen"
)

// runtimes holds one runtime per store across all configurations that Caddy has loaded at a time, keyed by what the store says is one and the same.
var runtimes = caddy.NewUsagePool()

// closeTimeout bounds how long the last configuration waits for attempts in flight; what is not settled by then is delivered again at the next start.
const closeTimeout = 15 * time.Second

// StoreModule is a Caddy module in the namespace webhooks.stores.
type StoreModule interface {
	// Key is the same for two configurations of one and the same store, such as the canonical path of its directory.
	Key() (string, error)
	// Open opens the store. It is called once for each Key, and not before the configuration starts.
	Open(logger *zap.Logger) (queue.Store, error)
	// Compatible says what keeps this configuration from sharing the store that another one of the same Key has open; nil if nothing does.
	Compatible(opened StoreModule) error
}

// LiveStoreModule is a [StoreModule] some of whose options can be changed while its store is open. Compatible does not ask about them.
type LiveStoreModule interface {
	StoreModule
	// Apply gives an open store the options of this configuration. It is called when the configuration becomes the active one.
	Apply(store queue.Store) error
}

// BoundedStoreModule is a [StoreModule] that takes no events beyond a size.
type BoundedStoreModule interface {
	StoreModule
	// MaxEvent is how many bytes an event may have, with its header.
	MaxEvent() int64
}

// maxEvent is how many bytes an event may have with its header; 0 if the store has no such bound. The store may not be loaded yet.
func (app *App) maxEvent() int64 {
	var store any = app.store
	if app.store == nil {
		name := struct{ Module string }{defaultStore}
		if len(app.StoreRaw) > 0 && json.Unmarshal(app.StoreRaw, &name) != nil {
			return 0
		}
		module, err := caddy.GetModule("webhooks.stores." + name.Module)
		if err != nil {
			return 0
		}
		store = module.New()
	}
	if bounded, ok := store.(BoundedStoreModule); ok {
		return bounded.MaxEvent()
	}
	return 0
}

// runtime is what survives reloads: an open store and the delivery engine on it.
type runtime struct {
	key    string
	module StoreModule          // that opened the store
	active *atomic.Pointer[App] // the active configuration: its store opens anew after a failure, and its logs are where everything here logs to
	store  *reopen.Store
	engine *delivery.Engine
	hub    *observerHub
	logger *zap.Logger

	quarantine *quarantine
	rollup     *rollupKeeper
	alerts     *watcher
}

// acquireRuntime opens the store or joins the runtime that has it open.
func acquireRuntime(app *App) (*runtime, error) {
	module := app.store
	key, err := module.Key()
	if err != nil {
		return nil, fmt.Errorf("locating store: %w", err)
	}
	if err := refuseMove(key); err != nil {
		return nil, err
	}
	value, loaded, err := runtimes.LoadOrNew(key, func() (caddy.Destructor, error) {
		return openRuntime(key, app)
	})
	if err != nil {
		return nil, err
	}
	rt := value.(*runtime)
	if loaded {
		if err := module.Compatible(rt.module); err != nil {
			if releaseErr := rt.release(); releaseErr != nil {
				app.logger.Error("giving the store back", zap.Error(releaseErr))
			}
			return nil, err
		}
	}
	return rt, nil
}

// sharedRuntime returns the one that other configurations of a store use.
func sharedRuntime(module StoreModule) (*runtime, error) {
	key, err := module.Key()
	if err != nil {
		return nil, fmt.Errorf("locating store: %w", err)
	}
	err = queue.ErrClosed
	var rt *runtime
	runtimes.Range(func(other, value any) bool {
		if other == key {
			rt = value.(*runtime)
			err = module.Compatible(rt.module)
		}
		return rt == nil
	})
	return rt, err
}

// refuseMove keeps a reload from leaving a store behind: the old configuration accepts events into it until the new one has taken over, and nobody would deliver those.
func refuseMove(key string) (err error) {
	runtimes.Range(func(other, _ any) bool {
		if other != key {
			err = fmt.Errorf("the store cannot become another one while %s is open: stop Caddy, move the directory if its events are to come along, and start it again", other)
		}
		return err == nil
	})
	return err
}

func openRuntime(key string, app *App) (*runtime, error) {
	var active atomic.Pointer[App]
	active.Store(app)
	logger := followingLogger(&active)
	store, err := reopen.New(reopen.Options{
		Open:   func() (queue.Store, error) { return active.Load().store.Open(logger.Named("store")) },
		Logger: logger.Named("store"),
	})
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	rt := &runtime{key: key, module: app.store, active: &active, store: store, logger: logger, hub: newObserverHub(logger)}
	rt.rollup = keepRollup(store, logger.Named("charts"))
	rt.hub.rollup = rt.rollup.rollup
	rt.engine = delivery.NewEngine(delivery.Options{
		Store: store, Logger: logger.Named("delivery"), Observer: rt.hub, Retention: rt.hub.retention,
	})
	rt.quarantine = newQuarantine(store, rt.hub.rejected, logger.Named("quarantine"))
	if err := rt.engine.Start(); err != nil {
		rt.quarantine.close()
		rt.hub.close()
		rt.rollup.close()
		return nil, errors.Join(fmt.Errorf("starting delivery: %w", err), store.Close())
	}
	rt.alerts = newWatcher(rt)
	return rt, nil
}

// release gives one reference back; the last one closes the store.
func (rt *runtime) release() error {
	_, err := runtimes.Delete(rt.key)
	return err
}

// Destruct implements caddy.Destructor: no configuration uses the store any more.
func (rt *runtime) Destruct() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	rt.alerts.close()
	if err := rt.engine.Close(ctx); err != nil {
		rt.logger.Warn("attempts in flight were cut off; they are made again at the next start", zap.Error(err))
	}
	rt.quarantine.close()
	rt.hub.close()
	rt.rollup.close()
	return rt.store.Close()
}

// generation is one configuration's time in the runtime.
type generation struct {
	once   sync.Once
	rt     *runtime
	app    *App
	routes *delivery.Generation
}

// attach makes app's routes the active ones until they are detached or a newer configuration attaches.
func (rt *runtime) attach(app *App) *generation {
	gen := &generation{rt: rt, app: app}
	rt.hub.push(app)
	rt.apply(app)
	gen.routes = rt.engine.Attach(app.routes())
	return gen
}

func (gen *generation) detach() {
	gen.once.Do(func() {
		gen.routes.Detach()
		gen.rt.hub.remove(gen.app)
		if app := gen.rt.hub.active(); app != nil { // a reload that failed: the configuration before it goes on
			gen.rt.apply(app)
		}
	})
}

// apply makes a configuration the active one: its logs, and the store's options, as far as they can change while it is open.
func (rt *runtime) apply(app *App) {
	rt.active.Store(app)
	live, ok := app.store.(LiveStoreModule)
	if !ok {
		return
	}
	if err := live.Apply(rt.store.Unwrap()); err != nil {
		rt.logger.Error("options of the store were not changed", zap.Error(err))
	}
}

// stats returns the store's counters.
func (rt *runtime) stats(ctx context.Context) (queue.Stats, error) {
	return rt.store.Stats(ctx)
}
