package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	defaultPage = 50
	maxPage     = 1000
	scanPage    = 5000            // events one call looks at, however few of them the filter lets through
	scanRows    = 100_000         // rows about zones that it looks at: those of some 25 million events
	clockSlack  = 60 * 1000000000 // events may have been received in another order than they were stored, by this much; a clock that is ahead by less counts as right
)

// Events implements [queue.Inspector]. The cursor is a number: the next page has the events before it.
func (s *Store) Events(ctx context.Context, f queue.Filter) (queue.Page, error) {
	p, err := s.list(ctx, &f)
	if err != nil {
		return queue.Page{}, fmt.Errorf("events: %w", err)
	}
	return p.page, nil
}

// list collects a page.
func (s *Store) list(ctx context.Context, f *queue.Filter) (*pager, error) {
	if _, err := queue.MatchType(f.Type, ""); err != nil {
		return nil, fmt.Errorf("type %q: %w", f.Type, err)
	}
	before := ^uint64(0)
	if f.Cursor != "" {
		var err error
		if before, err = strconv.ParseUint(f.Cursor, 10, 64); err != nil {
			return nil, fmt.Errorf("cursor: %w", err)
		}
	}
	if f.Limit <= 0 {
		f.Limit = defaultPage
	}
	f.Limit = min(f.Limit, maxPage)
	sn, done, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	p := &pager{ctx: ctx, s: s, sn: sn, f: f}
	if !f.Until.IsZero() {
		before = min(before, s.seqAt(sn, nanos(f.Until)+clockSlack))
	}
	p.narrow()
	if id := uint64(f.ID); id != 0 {
		if id < before {
			_, err = p.look(id)
		}
		return p, err
	}
	from := p.candidates()
	defer from.close()
	p.zones = newZoneFilter(p, false)
	defer p.zones.close()
	return p, p.run(from, before)
}

// pager collects one page.
type pager struct {
	ctx    context.Context
	s      *Store
	sn     *snapshot
	f      *queue.Filter
	lanes  []*lane // of the destinations in question
	chosen bool    // the filter names destinations
	page   queue.Page
	looked int // events that were read
	zones  zoneFilter
}

// run goes back from the event before the given one.
func (p *pager) run(from candidates, before uint64) error {
	for before > 0 {
		seq, ok := from.below(before)
		if !ok {
			return nil
		}
		if len(p.page.Events) == p.f.Limit || p.looked == scanPage || p.zones.read >= scanRows {
			p.page.Next = strconv.FormatUint(before, 10)
			return nil
		}
		if err := p.ctx.Err(); err != nil {
			return err
		}
		if limit := p.zones.limit(seq); limit <= seq {
			before = limit
			continue
		}
		before = seq
		p.looked++
		if ended, err := p.look(seq); err != nil || ended {
			return err
		}
	}
	return nil
}

// look adds an event to the page if the filter lets it through. ended says that all before it are too old.
func (p *pager) look(seq uint64) (ended bool, err error) {
	e, err := p.sn.event(seq, false)
	if errors.Is(err, queue.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		// A damaged event is shown by its number alone, so that it can be found.
		if p.plain() {
			p.page.Events = append(p.page.Events, queue.Summary{Event: queue.Event{ID: queue.ID(seq)}})
		}
		return false, nil
	}
	if !p.f.Since.IsZero() && nanos(e.ReceivedAt) < nanos(p.f.Since)-clockSlack {
		return true, nil
	}
	if !p.matchesEvent(e) || p.chosen && !p.goesThere(e) {
		return false, nil
	}
	rows, err := p.s.deliveries(p.sn, e)
	if err != nil {
		return false, err
	}
	if p.matchesDeliveries(rows) {
		p.page.Events = append(p.page.Events, queue.Summary{Event: e.Event, Size: e.size, Deliveries: rows})
	}
	return false, nil
}

// plain reports whether nothing is filtered.
func (p *pager) plain() bool {
	f := p.f
	return f.Source == "" && f.Provider == "" && !p.chosen && f.Type == "" && f.EventID == "" && len(f.States) == 0 &&
		f.Error == "" && f.Since.IsZero() && f.Until.IsZero()
}

func (p *pager) matchesEvent(e *stored) bool {
	f := p.f
	switch {
	case f.Source != "" && e.Source != f.Source,
		f.Provider != "" && e.Provider != f.Provider,
		f.EventID != "" && e.EventID != f.EventID,
		!f.Since.IsZero() && e.ReceivedAt.Before(f.Since),
		!f.Until.IsZero() && !e.ReceivedAt.Before(f.Until):
		return false
	}
	if f.Type == "" {
		return true
	}
	ok, err := queue.MatchType(f.Type, e.Type)
	return ok && err == nil
}

// fewLanes is how many rows are looked up one by one.
const fewLanes = 4

// goesThere returns false if an event surely has no delivery to the destinations in question. That costs less than reading all of its deliveries.
func (p *pager) goesThere(e *stored) bool {
	if len(p.lanes) > fewLanes || slices.ContainsFunc(e.deliveries, func(d queue.NewDelivery) bool { return p.f.MatchesDestination(d.Destination) }) {
		return true
	}
	return slices.ContainsFunc(p.lanes, func(l *lane) bool {
		err := p.sn.read(deliveryKey(uint64(e.ID), l.id), func([]byte) error { return nil })
		return !errors.Is(err, queue.ErrNotFound)
	})
}

func (p *pager) matchesDeliveries(rows []queue.Delivery) bool {
	f := p.f
	return !p.chosen && len(f.States) == 0 && f.Error == "" || slices.ContainsFunc(rows, f.MatchesDelivery)
}

// seqAt returns the number of the first event that was received at a moment or later, by bisection.
func (s *Store) seqAt(sn *snapshot, at int64) uint64 {
	low, high := uint64(0), sn.seq+1
	sn.scan([]byte{tabEvent}, eventKey(s.firstEvent.Load()), func(key []byte, _ *badger.Item) bool {
		low = be.Uint64(key[1:])
		return false
	})
	s.firstEvent.Store(low)
	for low < high {
		middle := low + (high-low)/2
		found, received := s.receivedFrom(sn, middle, high)
		if found && received < at {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// receivedFrom returns when the first readable event from one number up to another was received.
func (s *Store) receivedFrom(sn *snapshot, from, to uint64) (found bool, at int64) {
	looked := 0
	sn.scan([]byte{tabEvent}, eventKey(from), func(key []byte, _ *badger.Item) bool {
		seq := be.Uint64(key[1:])
		if seq >= to || looked == 16 {
			return false
		}
		looked++
		if e, err := sn.event(seq, false); err == nil {
			found, at = true, nanos(e.ReceivedAt)
		}
		return !found
	})
	return found, at
}
