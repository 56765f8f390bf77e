package badgerstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
)

// current begins a call that reads what was decided before it. It waits until a snapshot shows that, and returns it. done ends the call. On a disk without room nothing is
// written; what is in the database can be looked at all the same.
func (s *Store) current(ctx context.Context) (sn *snapshot, done func(), err error) {
	if sn, done, err = s.caughtUp(ctx); errors.Is(err, queue.ErrFull) {
		return s.reading(ctx)
	}
	return sn, done, err
}

// caughtUp is current for those who need all of it; queue.ErrFull where nothing is written.
func (s *Store) caughtUp(ctx context.Context) (sn *snapshot, done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := s.enter(); err != nil {
		return nil, nil, err
	}
	if err = s.disk.writable(); err == nil {
		err = s.flush(ctx)
	}
	if err != nil {
		s.leave()
		return nil, nil, err
	}
	sn, done = s.look()
	return sn, done, nil
}

// look returns the newest snapshot to a call that has begun. done gives it back and ends the call.
func (s *Store) look() (sn *snapshot, done func()) {
	sn = s.snaps.get()
	return sn, func() {
		s.snaps.put(sn)
		s.leave()
	}
}

// Event implements [queue.Inspector].
func (s *Store) Event(ctx context.Context, id queue.ID) (*queue.Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	if err := s.enter(); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	defer s.leave()
	ev, _, err := s.event(uint64(id))
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", id, err)
	}
	return ev, nil
}

// Deliveries implements [queue.Inspector].
func (s *Store) Deliveries(ctx context.Context, id queue.ID) ([]queue.Delivery, error) {
	sn, done, err := s.current(ctx)
	if err != nil {
		return nil, fmt.Errorf("deliveries of %s: %w", id, err)
	}
	defer done()
	e, err := sn.event(uint64(id), false)
	if err != nil {
		return nil, fmt.Errorf("deliveries of %s: %w", id, err)
	}
	rows, err := s.deliveries(sn, e)
	if err != nil {
		return nil, fmt.Errorf("deliveries of %s: %w", id, err)
	}
	return rows, nil
}

// deliveries returns the deliveries of an event, sorted by destination.
func (s *Store) deliveries(sn *snapshot, e *stored) ([]queue.Delivery, error) {
	seq := uint64(e.ID)
	rows := make([]queue.Delivery, 0, len(e.deliveries))
	err := s.records(sn, seq, func(l *lane, r record) {
		d := r.delivery(seq, l.name)
		if n, ok := e.delivery(l.name); ok {
			d.OrderKey = n.OrderKey
		}
		rows = append(rows, d)
	})
	if err != nil {
		return nil, err
	}
	for _, n := range e.deliveries {
		if !slices.ContainsFunc(rows, func(d queue.Delivery) bool { return d.Destination == n.Destination }) {
			r := initial(n, e.enqueued)
			rows = append(rows, r.delivery(seq, n.Destination))
		}
	}
	for i := range rows {
		if l := s.lanes.find(rows[i].Destination); l != nil && l.leased(seq) && !rows[i].State.Settled() {
			rows[i].State = queue.StateDelivering
		}
	}
	slices.SortFunc(rows, func(a, b queue.Delivery) int { return strings.Compare(a.Destination, b.Destination) })
	return rows, nil
}

// records calls fn for each delivery of an event that has a row.
func (s *Store) records(sn *snapshot, seq uint64, fn func(*lane, record)) (err error) {
	prefix := seqTable(tabDelivery, seq, 0)
	sn.scan(prefix, prefix, func(key []byte, item *badger.Item) bool {
		l := s.lanes.withID(be.Uint16(key[9:]))
		if l == nil {
			return true
		}
		err = item.Value(func(sealed []byte) error {
			value, ok := unseal(key, sealed)
			if !ok {
				return fmt.Errorf("delivery to %q: %w", l.name, queue.ErrDamaged)
			}
			r, err := decodeRecord(value)
			if err == nil {
				fn(l, r)
			}
			return err
		})
		return err == nil
	})
	return err
}

// leased reports whether a delivery is leased.
func (l *lane) leased(seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leases[seq] != nil
}

// Attempts implements [queue.Inspector].
func (s *Store) Attempts(ctx context.Context, id queue.ID, destination string) ([]queue.Attempt, error) {
	doing := fmt.Sprintf("attempts of %s for %q", id, destination)
	sn, done, err := s.current(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	defer done()
	seq := uint64(id)
	e, err := sn.event(seq, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	l := s.lanes.find(destination)
	if l == nil {
		return nil, fmt.Errorf("%s: %w", doing, queue.ErrNotFound)
	}
	r, ok, err := sn.record(seq, l.id)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	if _, had := e.delivery(destination); !ok && !had {
		return nil, fmt.Errorf("%s: %w", doing, queue.ErrNotFound)
	}
	attempts, err := sn.attempts(seq, l.id)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	if r.last != nil {
		attempts = append(attempts, *r.last)
	}
	slices.SortFunc(attempts, func(a, b queue.Attempt) int { return cmp.Compare(a.Number, b.Number) })
	return attempts, nil
}

// attempts reads the attempts of a delivery before the last one.
func (n *snapshot) attempts(seq uint64, dest uint16) (attempts []queue.Attempt, err error) {
	prefix := be.AppendUint16(seqTable(tabAttempt, seq, 2), dest)
	n.scan(prefix, prefix, func(key []byte, item *badger.Item) bool {
		err = item.Value(func(sealed []byte) error {
			value, ok := unseal(key, sealed)
			d := decoder{b: value}
			if ok {
				attempts = append(attempts, decodeAttempt(&d))
			}
			if !ok || d.bad {
				return queue.ErrDamaged
			}
			return nil
		})
		return err == nil
	})
	return attempts, err
}
