package delivery

import (
	"context"
	"slices"
	"sync"
)

// Generation is an attached table of destinations.
type Generation struct {
	engine  *Engine
	targets map[string]*target

	mu       sync.Mutex
	detached bool
	underway int           // attempts that were started under this table
	idle     chan struct{} // closed once it is detached and nothing is under way
}

// target is a destination of a generation, with the defaults of its policy filled in.
type target struct {
	*Destination
	policy     Policy
	generation *Generation
}

// Attach makes a table the active one. It comes before all that were attached earlier; these become active again as later ones are detached. The table
// should have passed [Routes.Validate]. A nil table has no destinations: everything is held.
func (e *Engine) Attach(routes *Routes) *Generation {
	g := &Generation{engine: e, targets: map[string]*target{}, idle: make(chan struct{})}
	if routes != nil {
		for name, d := range routes.Destinations {
			if d != nil {
				g.targets[name] = &target{Destination: d, policy: d.Policy.withDefaults(), generation: g}
			}
		}
	}
	e.mu.Lock()
	e.generations = append(e.generations, g)
	for name := range g.targets {
		e.dispatcher(name)
	}
	closed := e.activate()
	e.mu.Unlock()
	e.breakersClosed(closed)
	return g
}

// Detach withdraws the table. Attempts under way finish under it; nothing new starts under it once Detach has returned. Detaching twice is harmless.
func (g *Generation) Detach() {
	e := g.engine
	e.mu.Lock()
	e.generations = slices.DeleteFunc(e.generations, func(other *Generation) bool { return other == g })
	closed := e.activate()
	e.mu.Unlock()
	e.breakersClosed(closed)

	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.detached {
		g.detached = true
		g.closeIfIdle()
	}
}

// Wait returns when the table is detached and the last attempt that was started under it has ended, or with ctx's error.
func (g *Generation) Wait(ctx context.Context) error {
	select {
	case <-g.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// activate hands the newest table to the dispatchers, and returns which breakers that closed, with the state they were in. e.mu is held.
func (e *Engine) activate() (closed map[string]BreakerState) {
	n := len(e.generations)
	if n == 0 { // the end, and not that destinations leave
		for _, d := range e.dispatchers {
			d.retarget(nil)
		}
		return nil
	}
	closed = map[string]BreakerState{}
	for name, d := range e.dispatchers {
		d.retarget(e.generations[n-1].targets[name])
		if from := d.disarm(); from != BreakerClosed {
			closed[name] = from
		}
	}
	return closed
}

func (e *Engine) breakersClosed(from map[string]BreakerState) {
	for name, state := range from {
		e.breakerChanged(name, state, BreakerClosed)
	}
}

func (g *Generation) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.underway++
}

func (g *Generation) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.underway--
	g.closeIfIdle()
}

func (g *Generation) closeIfIdle() {
	if g.detached && g.underway == 0 {
		close(g.idle)
	}
}
