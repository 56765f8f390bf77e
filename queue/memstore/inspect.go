package memstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	defaultPage = 50
	maxPage     = 1000
	// scanPage bounds how many events one call looks at, however few of them the filter lets through.
	scanPage = 10 * maxPage
)

// Event implements [queue.Inspector].
func (s *Store) Event(ctx context.Context, id queue.ID) (*queue.Event, error) {
	if err := s.enter(ctx, "event"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	e := s.byID[id]
	if e == nil {
		return nil, fmt.Errorf("event %s: %w", id, queue.ErrNotFound)
	}
	return e.Event, nil
}

// Deliveries implements [queue.Inspector].
func (s *Store) Deliveries(ctx context.Context, id queue.ID) ([]queue.Delivery, error) {
	if err := s.enter(ctx, "deliveries"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	e := s.byID[id]
	if e == nil {
		return nil, fmt.Errorf("deliveries of %s: %w", id, queue.ErrNotFound)
	}
	return e.rows(), nil
}

func (e *event) rows() []queue.Delivery {
	rows := make([]queue.Delivery, len(e.deliveries))
	for i, d := range e.deliveries {
		rows[i] = d.Delivery
	}
	return rows
}

// Attempts implements [queue.Inspector].
func (s *Store) Attempts(ctx context.Context, id queue.ID, destination string) ([]queue.Attempt, error) {
	if err := s.enter(ctx, "attempts"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	d := s.find(id, destination)
	if d == nil {
		return nil, fmt.Errorf("attempts of %s for %q: %w", id, destination, queue.ErrNotFound)
	}
	return slices.Clone(d.attempts), nil
}

// Events implements [queue.Inspector]. The cursor is the id of the last event that was looked at.
func (s *Store) Events(ctx context.Context, f queue.Filter) (queue.Page, error) {
	if _, err := queue.MatchType(f.Type, ""); err != nil {
		return queue.Page{}, fmt.Errorf("events: type %q: %w", f.Type, err)
	}
	before := ^uint64(0)
	if f.Cursor != "" {
		var err error
		if before, err = strconv.ParseUint(f.Cursor, 10, 64); err != nil {
			return queue.Page{}, fmt.Errorf("events: cursor: %w", err)
		}
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultPage
	}
	limit = min(limit, maxPage)
	if err := s.enter(ctx, "events"); err != nil {
		return queue.Page{}, err
	}
	defer s.mu.Unlock()
	if f.ID != 0 {
		return s.only(&f, before), nil
	}
	end, _ := slices.BinarySearchFunc(s.events, queue.ID(before), func(e *event, id queue.ID) int { return cmp.Compare(e.ID, id) })
	var page queue.Page
	for i := end - 1; i >= 0; i-- {
		e := s.events[i]
		if matches(e, &f) {
			page.Events = append(page.Events, summary(e))
		}
		if i > 0 && (len(page.Events) == limit || end-i == scanPage) {
			page.Next = strconv.FormatUint(uint64(e.ID), 10)
			break
		}
	}
	return page, nil
}

// only is the page of the one event that the filter names, if it lets it through.
func (s *Store) only(f *queue.Filter, before uint64) (page queue.Page) {
	if e := s.byID[f.ID]; e != nil && uint64(f.ID) < before && matches(e, f) {
		page.Events = append(page.Events, summary(e))
	}
	return page
}

func summary(e *event) queue.Summary {
	out := queue.Summary{Event: *e.Event, Size: len(e.Body), Deliveries: e.rows()}
	out.Event.Header, out.Event.Body = nil, nil
	return out
}

func matches(e *event, f *queue.Filter) bool {
	switch {
	case f.Source != "" && e.Source != f.Source,
		f.Provider != "" && e.Provider != f.Provider,
		f.EventID != "" && e.EventID != f.EventID,
		!f.Since.IsZero() && e.ReceivedAt.Before(f.Since),
		!f.Until.IsZero() && !e.ReceivedAt.Before(f.Until):
		return false
	}
	if f.Type != "" {
		// The pattern was checked before.
		if ok, _ := queue.MatchType(f.Type, e.Event.Type); !ok {
			return false
		}
	}
	if f.Destination == "" && len(f.Destinations) == 0 && len(f.States) == 0 && f.Error == "" {
		return true
	}
	return slices.ContainsFunc(e.deliveries, func(d *delivery) bool { return f.MatchesDelivery(d.Delivery) })
}

// Stats implements [queue.Inspector].
func (s *Store) Stats(ctx context.Context) (queue.Stats, error) {
	if err := s.enter(ctx, "stats"); err != nil {
		return queue.Stats{}, err
	}
	defer s.mu.Unlock()
	stats := queue.Stats{
		Sources:      make(map[string]queue.SourceStats, len(s.sources)),
		Destinations: make(map[string]queue.DestinationStats, len(s.lanes)),
		Events:       uint64(len(s.events)),
		Bytes:        s.bytes,
		FreeBytes:    -1,
	}
	for name, source := range s.sources {
		stats.Sources[name] = source
	}
	for name, l := range s.lanes {
		stats.Destinations[name] = l.snapshot()
	}
	return stats, nil
}
