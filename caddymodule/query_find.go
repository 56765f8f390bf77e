package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/reopen"
)

// maxSameIDs is how many events with one id of the provider are looked for: the one that is meant, and others to be named.
const maxSameIDs = 10

// sameID finds the events with a provider's id, newest first. A list has them all: those of sources that take the same event twice, too, to which no dedup claim leads. Claims
// help out where the store is still making its index, and a list would take too long.
func (g *gateway) sameID(ctx context.Context, id, source string) ([]queue.ID, error) {
	bounded, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	filter := queue.Filter{EventID: id, Source: source, Limit: maxSameIDs}
	var found []queue.ID
	for {
		page, err := g.inspect.Events(bounded, filter)
		if err != nil && bounded.Err() != nil && ctx.Err() == nil {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("looking for event %q: %w", id, err)
		}
		for i := range page.Events {
			found = append(found, page.Events[i].Event.ID)
		}
		if page.Next == "" || len(found) >= maxSameIDs {
			return found[:min(len(found), maxSameIDs)], nil
		}
		filter.Cursor = page.Next
	}
	claimed, err := g.originals(ctx, id, source)
	if err != nil {
		return nil, err
	}
	found = append(found, claimed...)
	slices.Sort(found)
	found = slices.Compact(found)
	slices.Reverse(found)
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: event %q is not among the newest ones, and the index of older ones is not complete yet; use its wh_ id, list events between two times, or ask again in some minutes", errSearchLimit, id)
	}
	return found, nil
}

// originals finds events by the provider's id where that is what makes them unique: with most providers it is. It finds nothing if the store does not keep claims
// that way, or no longer; then a search has to.
func (g *gateway) originals(ctx context.Context, id, source string) ([]queue.ID, error) {
	sources := []string{source}
	if source == "" {
		stats, err := g.inspect.Stats(ctx)
		if err != nil {
			return nil, fmt.Errorf("statistics of the store: %w", err)
		}
		sources = sortedKeys(stats.Sources)
	}
	var found []queue.ID
	for _, name := range sources {
		own, err := g.rt.store.Original(ctx, name, id)
		switch {
		case errors.Is(err, queue.ErrNotFound):
			continue
		case errors.Is(err, reopen.ErrUnsupported):
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("looking for event %q: %w", id, err)
		}
		e, err := g.inspect.Event(ctx, own)
		if errors.Is(err, queue.ErrNotFound) || errors.Is(err, queue.ErrDamaged) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking for event %q: %w", id, err)
		}
		if e.EventID == id {
			found = append(found, own)
		}
	}
	return found, nil
}
