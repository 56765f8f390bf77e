// Package delivery is the engine between the queue and the applications: it decides when a delivery is attempted, and whether again. It knows
// nothing of HTTP; a [Forwarder] makes the attempts.
//
// Each destination has a dispatcher with its own state: what it may start now follows from its concurrency, rate, breaker and pause, and it claims
// no more than that. So a destination that hangs holds its own slots and nothing else, and memory goes with the destinations and the attempts under
// way, never with the backlog. An attempt's outcome goes through one settler, which puts together what arrives while the store is busy.
//
//	store.Wake ─▶ dispatcher (one per destination) ─ Claim ─▶ attempt (one goroutine each) ─▶ outcome ─▶ settler ─ Settle
//
// Reloads swap the table of destinations ([Engine.Attach], [Generation.Detach]); the state of a destination belongs to its name and stays.
package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// Errors that callers decide on.
var (
	// ErrUnknownDestination means that a name is neither configured nor known to the store.
	ErrUnknownDestination = errors.New("unknown destination")
	// ErrUnsupported means that the store lacks what an operation needs (queue.Inspector, queue.Metadata).
	ErrUnsupported = errors.New("not supported by this store")
	// ErrEngineClosed means that the engine was closed or has not been started.
	ErrEngineClosed = errors.New("delivery engine is not running")
)

// finalGrace is how long Close goes on trying to store the outcomes of attempts that it had to cut.
const finalGrace = 2 * time.Second

// DefaultMaintainEvery is the time between two rounds of the janitor.
const DefaultMaintainEvery = time.Minute

// Options are what an engine is made of.
type Options struct {
	Store queue.Store // required; the engine does not close it. It uses queue.Inspector, queue.Metadata and queue.Maintainer where the store has them.

	Clock    Clock       // nil: RealClock
	Logger   *zap.Logger // nil: no logs
	Observer Observer    // nil: nobody

	// Retention is asked at each round of the janitor, so that a reload can change it; nil: keep everything.
	Retention     func() queue.Retention
	MaintainEvery time.Duration // 0: 1 minute

	Random func() float64 // from [0, 1), safe for concurrent use; nil: math/rand
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = RealClock{}
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Observer == nil {
		o.Observer = NopObserver{}
	}
	if o.Retention == nil {
		o.Retention = func() queue.Retention { return queue.Retention{} }
	}
	setDefault(&o.MaintainEvery, DefaultMaintainEvery)
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return o
}

// Engine delivers what is in a store. All methods are safe for concurrent use.
type Engine struct {
	Options
	settler *settler
	health  *storeHealth
	replays *replays
	pausing sync.Mutex // held while a pause or its end is stored

	mu          sync.Mutex
	phase       phase
	generations []*Generation // in the order of their attachment; the last one is active
	dispatchers map[string]*dispatcher

	stopping context.Context // ends when nothing new may be started
	stop     context.CancelFunc
	attempts context.Context // ends when attempts under way are cut
	cut      context.CancelFunc

	roles  sync.WaitGroup // dispatchers, wake loop, janitor, replays
	crew   *crew          // attempts
	closed chan struct{}  // closed when Close is through
}

type phase uint8

const (
	phaseNew phase = iota
	phaseRunning
	phaseClosed
)

// NewEngine returns an engine that does nothing until it is started.
func NewEngine(o Options) *Engine {
	e := &Engine{Options: o.withDefaults(), dispatchers: map[string]*dispatcher{}, closed: make(chan struct{})}
	e.stopping, e.stop = context.WithCancel(context.Background())
	e.attempts, e.cut = context.WithCancel(context.Background())
	e.crew = newCrew(e.stopping.Done())
	e.health = &storeHealth{engine: e}
	e.settler = newSettler(e)
	e.replays = newReplays(e)
	return e
}

// Start reads which destinations are paused, takes up unfinished replays, and begins to deliver. Starting twice is harmless. It fails if the store
// cannot be read (it may then be tried again), or with ErrEngineClosed after Close.
func (e *Engine) Start() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch e.phase {
	case phaseRunning:
		return nil
	case phaseClosed:
		return ErrEngineClosed
	}
	paused, err := e.loadPaused(e.stopping)
	if err != nil {
		return err
	}
	jobs, err := e.replays.load(e.stopping)
	if err != nil {
		return err
	}
	for _, name := range paused {
		e.dispatcher(name).setPaused(true)
	}
	e.phase = phaseRunning
	e.settler.start()
	for _, d := range e.dispatchers {
		e.roles.Go(d.run)
	}
	e.roles.Go(e.listen)
	e.roles.Go(e.janitor)
	e.replays.resume(jobs)
	return nil
}

// Close stops claiming, waits for the attempts under way until ctx ends, then cuts them (they are given back and no attempt is spent), stores their outcomes
// and joins every goroutine. Closing again waits for the first Close. It returns an error if attempts were cut or outcomes could not be stored; the deliveries of
// the latter are made again. Close the store afterwards.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	was := e.phase
	e.phase = phaseClosed
	e.mu.Unlock()
	if was == phaseClosed {
		<-e.closed
		return nil
	}
	defer close(e.closed)
	e.stop()
	defer e.cut()
	if was == phaseNew {
		return nil
	}
	e.roles.Wait()
	cancelled := context.AfterFunc(ctx, e.cut)
	e.crew.wait()
	if cancelled() {
		return e.settler.close(ctx)
	}
	final, cancel := e.Clock.WithTimeout(context.WithoutCancel(ctx), finalGrace)
	defer cancel()
	return errors.Join(ctx.Err(), e.settler.close(final))
}

// dispatcher returns the dispatcher of a destination and makes it at need. e.mu is held.
func (e *Engine) dispatcher(name string) *dispatcher {
	d := e.dispatchers[name]
	if d == nil {
		d = newDispatcher(e, name)
		e.dispatchers[name] = d
		if e.phase == phaseRunning {
			e.roles.Go(d.run)
		}
	}
	return d
}

func (e *Engine) running() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.phase == phaseRunning
}

func (e *Engine) lookup(name string) *dispatcher {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.dispatchers[name]
}

// listen passes on what the store says about new work.
func (e *Engine) listen() {
	wake := e.Store.Wake()
	for {
		select {
		case name, open := <-wake:
			if !open {
				return // the store was closed; nothing will become due any more
			}
			e.Wake(name)
		case <-e.stopping.Done():
			return
		}
	}
}

// Wake makes the engine look for due deliveries of a destination, or of all if the name is empty. The store's own Wake is followed without it.
func (e *Engine) Wake(destination string) {
	if destination != "" {
		if d := e.lookup(destination); d != nil {
			d.wake()
		}
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range e.dispatchers {
		d.wake()
	}
}
