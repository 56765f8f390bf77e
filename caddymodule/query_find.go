package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/reopen"
)

// originals are the events that a store knows by their dedup claim, newest first.
type originals []queue.ID

func (o originals) newest() queue.ID {
	if len(o) == 0 {
		return 0
	}
	return o[0]
}

func (o originals) others() []queue.ID {
	if len(o) < 2 {
		return nil
	}
	return o[1:]
}

// originals finds events by the provider's id where that is what makes them unique: with most providers it is. It finds nothing if the store does not keep claims
// that way, or no longer; then a search has to.
func (g *gateway) originals(ctx context.Context, id, source string) (originals, error) {
	sources := []string{source}
	if source == "" {
		stats, err := g.inspect.Stats(ctx)
		if err != nil {
			return nil, fmt.Errorf("statistics of the store: %w", err)
		}
		sources = sortedKeys(stats.Sources)
	}
	var found originals
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
	slices.SortFunc(found, func(a, b queue.ID) int {
		if a > b {
			return -1
		}
		return 1
	})
	return found, nil
}

// byProviderID lists the events with a provider's id, where nothing else but perhaps their source is asked for and their claims lead to them. ok says so.
func (g *gateway) byProviderID(ctx context.Context, f *queue.Filter) (page eventPage, ok bool, err error) {
	if f.EventID == "" || f.Cursor != "" || f.Provider != "" || f.Destination != "" || f.Type != "" || len(f.States) > 0 || f.Error != "" ||
		!f.Since.IsZero() || !f.Until.IsZero() {
		return page, false, nil
	}
	found, err := g.originals(ctx, f.EventID, f.Source)
	if err != nil || len(found) == 0 {
		return page, false, err
	}
	page.Events = []eventView{}
	for _, id := range found[:min(len(found), f.Limit)] {
		one, err := g.eventByID(ctx, id)
		if err != nil {
			return page, false, err
		}
		page.Events = append(page.Events, one.Events...)
	}
	return page, true, nil
}
