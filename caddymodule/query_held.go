package caddymodule

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluice-webhooks/sluice/queue"
)

// shown is the state in which people see a delivery: pending ones of a destination that takes nothing are held.
func (g *gateway) shown(d *queue.Delivery) queue.State {
	if d.State == queue.StatePending && g.rt.engine.Held(d.Destination) {
		return queue.StateHeld
	}
	return d.State
}

// heldStates turns the states of a filter into stored ones: held is pending at one of the destinations that hold, and pending is that at one of the others. ok is false if
// nothing can be in the states. Where stored states say less than what was asked for, match says what a delivery has to be; else it is nil.
func (g *gateway) heldStates(ctx context.Context, f *queue.Filter) (match func(queue.Delivery) bool, ok bool, err error) {
	states := f.States
	held, pending := slices.Contains(states, queue.StateHeld), slices.Contains(states, queue.StatePending)
	if !held && !pending {
		return nil, true, nil
	}
	asked := *f
	f.States = slices.DeleteFunc(slices.Clone(states), func(s queue.State) bool { return s == queue.StateHeld || s == queue.StatePending })
	if held && pending {
		f.States = append(f.States, queue.StatePending)
		return nil, true, nil
	}
	those, all, err := g.destinationsBy(ctx, f, held)
	if err != nil {
		return nil, false, err
	}
	others := len(f.States) > 0
	if len(those) == 0 {
		return nil, others, nil
	}
	f.States = append(f.States, queue.StatePending)
	switch {
	case len(those) == all:
		return nil, true, nil
	case !others:
		f.Destinations = those
		return nil, true, nil
	}
	asked.States = nil
	return func(d queue.Delivery) bool { return asked.MatchesDelivery(d) && slices.Contains(states, g.shown(&d)) }, true, nil
}

// destinationsBy returns those of the destinations in question that hold, or those that do not, and how many are in question.
func (g *gateway) destinationsBy(ctx context.Context, f *queue.Filter, held bool) (those []string, all int, err error) {
	names := []string{f.Destination}
	if f.Destination == "" {
		stats, err := g.inspect.Stats(ctx)
		if err != nil {
			return nil, 0, fmt.Errorf("statistics of the store: %w", err)
		}
		names = sortedKeys(stats.Destinations)
	}
	for _, name := range names {
		if f.MatchesDestination(name) {
			all++
			if g.rt.engine.Held(name) == held {
				those = append(those, name)
			}
		}
	}
	return those, all, nil
}
