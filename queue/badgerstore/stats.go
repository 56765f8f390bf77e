package badgerstore

import (
	"context"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
)

// Stats implements [queue.Inspector].
func (s *Store) Stats(ctx context.Context) (queue.Stats, error) {
	_, done, err := s.reading(ctx)
	if err != nil {
		return queue.Stats{}, fmt.Errorf("stats: %w", err)
	}
	defer done()
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
