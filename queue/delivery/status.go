package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// DestinationStatus is the state of a destination as of now.
type DestinationStatus struct {
	Name       string
	Configured bool // in the active table
	Paused     bool
	Held       bool // nothing goes out at present: not configured, paused, or the breaker is not closed
	Breaker    BreakerState
	ProbeAt    time.Time // when the breaker is open: the earliest moment of a probe

	InFlight    int  // attempts under way
	Limit       int  // attempts that may be under way at present; less than Concurrency after an outage, or with Auto
	Concurrency int  // as configured
	Auto        bool // concurrency is automatic
	Rate        Rate // as configured

	queue.DestinationStats // from the store; zero if the store has no statistics
}

// Status returns the state of every destination that is configured, was configured since the start, is paused, or has deliveries in the store; by name.
func (e *Engine) Status(ctx context.Context) ([]DestinationStatus, error) {
	status := map[string]DestinationStatus{}
	if inspector, ok := e.Store.(queue.Inspector); ok {
		stats, err := inspector.Stats(ctx)
		if err != nil {
			return nil, fmt.Errorf("statistics of the store: %w", err)
		}
		for name, s := range stats.Destinations {
			status[name] = DestinationStatus{Name: name, Held: true, DestinationStats: s}
		}
	}
	e.mu.Lock()
	dispatchers := maps.Clone(e.dispatchers)
	e.mu.Unlock()
	for name, d := range dispatchers {
		s := d.status()
		s.DestinationStats = status[name].DestinationStats
		status[name] = s
	}
	out := make([]DestinationStatus, 0, len(status))
	for _, name := range slices.Sorted(maps.Keys(status)) {
		out = append(out, status[name])
	}
	return out, nil
}

func (d *dispatcher) status() DestinationStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := DestinationStatus{
		Name: d.name, Configured: d.target != nil, Paused: d.paused, Held: d.held(),
		Breaker: d.breaker.state, InFlight: d.inFlight,
	}
	if s.Breaker == BreakerOpen {
		s.ProbeAt = d.breaker.until
	}
	if d.target != nil {
		p := &d.target.policy
		s.Limit, s.Concurrency, s.Auto, s.Rate = d.pace.limit(p), p.Concurrency, p.Auto, p.Rate
	}
	return s
}

// held reports whether nothing goes out at present. d.mu is held.
func (d *dispatcher) held() bool {
	return d.target == nil || d.paused || !d.target.policy.Breaker.Off && d.breaker.state != BreakerClosed
}

// Held reports whether a destination takes nothing at present: it is not configured, paused, or its breaker is not closed. Its pending deliveries are then shown as held.
func (e *Engine) Held(destination string) bool {
	d := e.lookup(destination)
	if d == nil {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.held()
}

// pausedPrefix is where the store's metadata keeps the paused destinations.
const pausedPrefix = "delivery/paused/"

type pauseRecord struct {
	Since time.Time `json:"since"`
}

// Pause holds all deliveries of a destination until it is resumed, across restarts; attempts under way finish. The destination must be configured or known to
// the store (ErrUnknownDestination). Pausing again is harmless.
func (e *Engine) Pause(ctx context.Context, destination string) error {
	if err := e.known(ctx, destination); err != nil {
		return err
	}
	value, err := json.Marshal(pauseRecord{Since: e.Clock.Now().UTC()})
	if err != nil {
		return fmt.Errorf("pause %q: %w", destination, err)
	}
	return e.setPaused(ctx, destination, value)
}

// Resume ends a pause. What has piled up goes out with a slow start.
func (e *Engine) Resume(ctx context.Context, destination string) error {
	if err := e.known(ctx, destination); err != nil {
		return err
	}
	return e.setPaused(ctx, destination, nil)
}

func (e *Engine) setPaused(ctx context.Context, destination string, value []byte) error {
	meta, ok := e.Store.(queue.Metadata)
	if !ok {
		return fmt.Errorf("pause and resume: %w", ErrUnsupported)
	}
	e.pausing.Lock() // so that what is stored and what is in force stay the same
	defer e.pausing.Unlock()
	if err := meta.PutMeta(ctx, pausedPrefix+destination, value); err != nil {
		return fmt.Errorf("pause or resume %q: %w", destination, err)
	}
	e.mu.Lock()
	d := e.dispatcher(destination)
	e.mu.Unlock()
	if paused := value != nil; d.setPaused(paused) {
		e.Logger.Info("destination paused or resumed", zap.String("destination", destination), zap.Bool("paused", paused))
		e.Observer.PauseChanged(destination, paused)
	}
	return nil
}

// known returns ErrUnknownDestination for a name that nobody has heard of, so that a typing error is not kept for ever.
func (e *Engine) known(ctx context.Context, destination string) error {
	if e.lookup(destination) != nil {
		return nil
	}
	if inspector, ok := e.Store.(queue.Inspector); ok {
		stats, err := inspector.Stats(ctx)
		if err != nil {
			return fmt.Errorf("statistics of the store: %w", err)
		}
		if _, ok := stats.Destinations[destination]; ok {
			return nil
		}
	}
	return fmt.Errorf("%w: %q", ErrUnknownDestination, destination)
}

// loadPaused reads which destinations are paused.
func (e *Engine) loadPaused(ctx context.Context) (names []string, err error) {
	meta, ok := e.Store.(queue.Metadata)
	if !ok {
		return nil, nil
	}
	err = meta.ListMeta(ctx, pausedPrefix, "", func(key string, _ []byte) bool {
		names = append(names, strings.TrimPrefix(key, pausedPrefix))
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("paused destinations: %w", err)
	}
	return names, nil
}
