package badgerstore

import (
	"errors"
	"fmt"

	"github.com/sluice-webhooks/sluice/queue"
)

// recover brings what is in the journal into the database.
func (s *Store) recover(dir string, state appliedState) error {
	for id, row := range state.lanes {
		l := newLane(row.name, id)
		s.lanes.add(l)
	}
	if err := s.tailFits(dir, state.seq); err != nil {
		return err
	}
	if err := s.restoreBuckets(&state); err != nil {
		return err
	}
	s.applier = newApplier(s, state)
	a := s.applier
	a.tx = a.begin()
	bucket, err := a.replayBucket()
	if err != nil {
		a.tx.discard()
		return err
	}
	last, old, err := replayJournal(s.o.files, dir, s.o.EncryptionKey, state.seq, func(seq uint64, rec []byte) error {
		p, err := s.pendingOf(seq, rec)
		if err != nil {
			return err
		}
		s.noteTime(p.enqueued)
		if p.claim.until != 0 {
			bucket = max(bucket, firstBucket(dayOf(p.enqueued)))
			p.claim.bucket, p.claim.log = bucket, s.buckets.extend(bucket, p.claim.until).log
		}
		return a.addEvent(p)
	})
	if err == nil && a.state.kept&keptPart != 0 {
		err = a.passBegun()
		last = a.state.seq
	}
	if err == nil {
		err = a.commit()
	}
	if err != nil {
		a.tx.discard()
		if errors.Is(err, queue.ErrDamaged) {
			err = fmt.Errorf("%w%s", err, wayOut)
		}
		return err
	}
	if err := s.checkMark(last, a.state.commits, old); err != nil {
		return err
	}
	s.promised.Store(last)
	if s.newestSegment != 0 {
		if err := s.noteSegment(0); err != nil {
			return err
		}
	}
	if s.journal, err = openJournal(s.o.files, dir, &s.o, old, s.noteSegment); err != nil {
		return err
	}
	s.intake.next = last + 1
	s.claims.floor = last
	return s.journal.release(last)
}

// restoreBuckets takes in the buckets of claims that the database has.
func (s *Store) restoreBuckets(state *appliedState) error {
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	for number, r := range state.buckets {
		row := uint32(0)
		if r.form == formLog {
			var err error
			if row, err = sn.nextLogRow(number); err != nil {
				return fmt.Errorf("dedup claims: %w", err)
			}
		}
		s.buckets.restore(number, r, row)
	}
	return nil
}

// tailFits refuses to bring the journal's events into the database where the disk has no room for them. It reads them only where that is in doubt.
func (s *Store) tailFits(dir string, applied uint64) error {
	if err := s.disk.measure(); err != nil || s.disk.free.Load() >= s.disk.least {
		return err
	}
	need := s.disk.toOpen()
	_, _, err := replayJournal(s.o.files, dir, s.o.EncryptionKey, applied, func(_ uint64, rec []byte) error {
		need += s.o.room(len(rec))
		return nil
	})
	if err != nil {
		return nil //nolint:nilerr // reading it once more says what is wrong, and the way out
	}
	return s.disk.toStart(need)
}

// pendingOf makes of a record what Enqueue made of its event.
func (s *Store) pendingOf(seq uint64, rec []byte) (*pending, error) {
	e, err := decodeEvent(rec, seq, true)
	if err != nil {
		return nil, fmt.Errorf("journal: event %s: %w", queue.ID(seq), err)
	}
	p := &pending{seq: seq, ev: &e.Event, record: rec, claim: e.claim, enqueued: e.enqueued}
	for _, d := range e.deliveries {
		l, err := s.lanes.get(d.Destination, seq)
		if err != nil {
			return nil, err
		}
		p.deliveries = append(p.deliveries, newPendingDelivery(l, &d, e.enqueued))
	}
	return p, nil
}
