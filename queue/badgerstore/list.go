package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/dgraph-io/badger/v4"
	"github.com/sluice-webhooks/sluice/queue"
)

const (
	defaultPage = 50
	maxPage     = 1000
	scanPage    = 5000            // events one call looks at, however few of them the filter lets through
	clockSlack  = 60 * 1000000000 // events may have been received in another order than they were stored, by this much
)

// Events implements [queue.Inspector]. The cursor is the number of the last event that was looked at.
func (s *Store) Events(ctx context.Context, f queue.Filter) (queue.Page, error) {
	if _, err := path.Match(f.Type, ""); err != nil {
		return queue.Page{}, fmt.Errorf("events: type %q: %w", f.Type, err)
	}
	before := ^uint64(0)
	if f.Cursor != "" {
		var err error
		if before, err = strconv.ParseUint(f.Cursor, 10, 64); err != nil {
			return queue.Page{}, fmt.Errorf("events: cursor: %w", err)
		}
	}
	if f.Limit <= 0 {
		f.Limit = defaultPage
	}
	f.Limit = min(f.Limit, maxPage)
	sn, err := s.current(ctx)
	if err != nil {
		return queue.Page{}, fmt.Errorf("events: %w", err)
	}
	defer s.snaps.put(sn)
	p := &pager{ctx: ctx, s: s, sn: sn, f: &f}
	p.prepare()
	if !f.Until.IsZero() {
		before = min(before, s.seqAt(sn, nanos(f.Until)+clockSlack))
	}
	if err := p.run(before); err != nil {
		return queue.Page{}, fmt.Errorf("events: %w", err)
	}
	return p.page, nil
}

// pager collects one page.
type pager struct {
	ctx    context.Context
	s      *Store
	sn     *snapshot
	f      *queue.Filter
	table  byte // whose keys begin with the events' numbers
	page   queue.Page
	looked int
}

// prepare picks the table to go through: the one of dead letters has just what a filter for them asks for.
func (p *pager) prepare() {
	p.table = tabEvent
	if len(p.f.States) > 0 && !slices.ContainsFunc(p.f.States, func(s queue.State) bool { return s != queue.StateDead }) {
		p.table = tabDead
	}
}

// run goes back from the event before the given one.
func (p *pager) run(before uint64) (err error) {
	if before == 0 {
		return nil
	}
	last := before
	p.sn.scanBack([]byte{p.table}, append(key8(p.table, before-1), 0xff, 0xff), func(key []byte, _ *badger.Item) bool {
		seq := be.Uint64(key[1:])
		if seq == last {
			return true // another delivery of the same event
		}
		if len(p.page.Events) == p.f.Limit || p.looked == scanPage {
			p.page.Next = strconv.FormatUint(last, 10)
			return false
		}
		if err = p.ctx.Err(); err != nil {
			return false
		}
		last = seq
		p.looked++
		var ended bool
		ended, err = p.look(seq)
		return err == nil && !ended
	})
	return err
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
	if !p.matchesEvent(e) {
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
	return f.Source == "" && f.Provider == "" && f.Destination == "" && f.Type == "" && f.EventID == "" && len(f.States) == 0 &&
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
	ok, err := path.Match(f.Type, e.Type)
	return ok && err == nil
}

func (p *pager) matchesDeliveries(rows []queue.Delivery) bool {
	f := p.f
	if f.Destination == "" && len(f.States) == 0 && f.Error == "" {
		return true
	}
	return slices.ContainsFunc(rows, func(d queue.Delivery) bool {
		return (f.Destination == "" || d.Destination == f.Destination) &&
			(len(f.States) == 0 || slices.Contains(f.States, d.State)) &&
			(f.Error == "" || d.LastError == f.Error)
	})
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
