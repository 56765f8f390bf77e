package badgerstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/sluice-webhooks/sluice/queue"
)

// current waits until a snapshot shows everything that was decided before, and returns it. The caller gives it back.
func (s *Store) current(ctx context.Context) (*snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.usable(); err != nil {
		return nil, err
	}
	// On a disk without room nothing is written; what is in the database can be looked at all the same.
	if !s.disk.stopped() {
		if err := s.flush(ctx); err != nil {
			return nil, err
		}
	}
	return s.snaps.get(), nil
}

// Event implements [queue.Inspector].
func (s *Store) Event(ctx context.Context, id queue.ID) (*queue.Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	if err := s.usable(); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	ev, _, err := s.event(uint64(id))
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", id, err)
	}
	return ev, nil
}

// Deliveries implements [queue.Inspector].
func (s *Store) Deliveries(ctx context.Context, id queue.ID) ([]queue.Delivery, error) {
	sn, err := s.current(ctx)
	if err != nil {
		return nil, fmt.Errorf("deliveries of %s: %w", id, err)
	}
	defer s.snaps.put(sn)
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
	sn, err := s.current(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	defer s.snaps.put(sn)
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

// Stats implements [queue.Inspector].
func (s *Store) Stats(ctx context.Context) (queue.Stats, error) {
	sn, err := s.reading(ctx)
	if err != nil {
		return queue.Stats{}, fmt.Errorf("stats: %w", err)
	}
	defer s.snaps.put(sn)
	free, used := s.disk.spaces()
	stats := queue.Stats{
		Sources:      map[string]queue.SourceStats{},
		Destinations: map[string]queue.DestinationStats{},
		Bytes:        used,
		FreeBytes:    free,
		Refusing:     s.disk.accepts(),
	}
	s.mu.Lock()
	for name, src := range s.intake.sources {
		stats.Sources[name] = queue.SourceStats{Accepted: src.accepted, LastEvent: fromNanos(src.last)}
	}
	s.mu.Unlock()
	for _, l := range s.lanes.all() {
		if d, known := s.laneStats(l); known {
			stats.Destinations[l.name] = d
		}
	}
	stats.Events = s.stored()
	return stats, nil
}

// stored counts the events that the newest snapshot shows and those of the tail after it.
func (s *Store) stored() uint64 {
	for {
		sn := s.snaps.get()
		tail, ok := s.tail.after(sn.seq)
		events := sn.events
		s.snaps.put(sn)
		if ok { // else there is a newer snapshot: events leave the tail after it is there
			return uint64(max(events+int64(tail), 0))
		}
	}
}

// laneStats returns the counters of a destination; false if it never had a delivery.
func (s *Store) laneStats(l *lane) (queue.DestinationStats, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	d := queue.DestinationStats{
		Pending:    uint64(max(l.pending.Load(), 0)),
		Delivering: uint64(len(l.leases)),
		Delivered:  uint64(max(l.delivered, 0)),
		Dead:       uint64(max(l.dead, 0)),
		Cancelled:  uint64(max(l.cancelled, 0)),
	}
	l.drainTimed(s.horizon())
	if d.Pending > 0 {
		d.OldestPending = s.oldest(l, sn)
		d.NextDue = s.nextDue(l, sn)
	}
	return d, d.Pending > 0 || d.Delivered > 0 || d.Dead > 0 || d.Cancelled > 0 || l.known
}

// oldest returns when the event of the oldest unsettled delivery was received. The caller holds l.mu.
func (s *Store) oldest(l *lane, sn *snapshot) time.Time {
	seq := ^uint64(0)
	w := claimWork{s: s, l: l, sn: sn}
	if f, ok := w.peekFIFO(); ok {
		seq = f.seq
	}
	for leased := range l.leases {
		seq = min(seq, leased)
	}
	note := func(e entry) {
		if e.seq < seq && (e.place == inFIFO || e.seq > sn.seq) {
			if _, ok := w.valid(e); ok {
				seq = e.seq
			}
		}
	}
	l.waiting(note)
	for _, e := range l.schedule.unseen {
		note(e)
	}
	seq = min(seq, l.oldestOpen(sn))
	if seq == ^uint64(0) {
		return time.Time{}
	}
	if seq != l.oldestSeq {
		ev, _, err := s.event(seq)
		if err != nil {
			return time.Time{} // its delivery is going to be dead as soon as it is claimed
		}
		l.oldestSeq, l.oldestAt = seq, ev.ReceivedAt
	}
	return l.oldestAt
}

// oldestOpen returns the oldest unsettled delivery that has left the FIFO, the largest number if there is none. The caller holds l.mu.
func (l *lane) oldestOpen(sn *snapshot) uint64 {
	oldest := ^uint64(0)
	for seq, r := range l.recent {
		if r.record.open() {
			oldest = min(oldest, seq)
		}
	}
	l.lowOpen = min(l.lowOpen, oldest)
	first := ^uint64(0)
	sn.scan(destTable(tabOpen, l.id, 0), openKey(l.id, l.lowOpen), func(key []byte, _ *badger.Item) bool {
		seq := be.Uint64(key[3:])
		if r, changed := l.recent[seq]; changed && !r.record.open() {
			return true // settled, and not yet visible
		}
		first = seq
		return false
	})
	// Everything below is settled; what is put back by a replay lowers the mark again.
	l.lowOpen = min(oldest, first, sn.seq+1)
	return min(oldest, first)
}

// nextDue returns the earliest scheduled moment. The caller holds l.mu.
func (s *Store) nextDue(l *lane, sn *snapshot) time.Time {
	w := claimWork{s: s, l: l, sn: sn}
	if e, ok := w.earliest(); ok && !e.once {
		return fromNanos(e.due)
	}
	return time.Time{}
}
